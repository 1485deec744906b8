"""Hook implementations of the kernels room."""
