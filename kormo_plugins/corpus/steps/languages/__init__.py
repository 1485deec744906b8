"""Language identification: a compiled pass over the bytes, its tables and weights, and external models."""
