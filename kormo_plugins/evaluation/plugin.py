"""Hook implementations of the evaluation room."""
