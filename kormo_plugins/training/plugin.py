"""Hook implementations of the training room."""
