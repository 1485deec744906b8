"""Releases: packaging a run or a chain so that others can verify and reproduce it."""
