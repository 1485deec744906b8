"""Instruction following: constraints that a program can check, in English and in Korean."""
