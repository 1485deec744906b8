"""Readers: files, folders and hub datasets.

A reader yields documents, and a `Rejected` for every input that could not become one (a broken line, a missing column,
a truncated archive). The pipeline counts and keeps both, so nothing is skipped silently.
"""
