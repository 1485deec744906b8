"""Cleaning steps: each has a parameter model, sources for its defaults, and a short class."""
