"""Architectures that differ from `kormo` in one thing each; see README.md."""
