"""Synthetic documents from seed documents, written by a model behind an OpenAI-compatible endpoint."""
