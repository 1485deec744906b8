"""Hook implementations of the mixture room."""
