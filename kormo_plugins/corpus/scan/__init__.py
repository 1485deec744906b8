"""Compiled scans over the code points of a text, each shared by the steps that ask about the same text."""
