"""What tells languages apart: a compiled pass over the bytes, its tables and weights, and other people's models."""
