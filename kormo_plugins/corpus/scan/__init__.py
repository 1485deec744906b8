"""Compiled scans over the code points of a text, shared by the steps that process the same text."""
