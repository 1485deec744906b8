"""Hook implementations of the posttraining room."""
