"""Where documents come from: files, folders and hub datasets.

A reader yields documents, and `Rejected` for what could not become one (a broken line, a missing column, an archive
cut short): the pipeline counts and keeps both. Nothing is skipped in silence.
"""
