"""Hook implementations of the architecture room."""
