"""Architectures that each differ from `kormo` in one respect; see README.md."""
