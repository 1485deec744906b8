"""Instruction following: verifiable constraints in English and Korean."""
