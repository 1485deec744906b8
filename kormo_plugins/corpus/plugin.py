"""Hook implementations of the corpus room."""
