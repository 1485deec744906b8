"""Cleaning steps: each a parameter model, a source for its defaults, and a class of a screenful."""
