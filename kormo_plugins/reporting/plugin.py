"""Hook implementations of the reporting room."""
