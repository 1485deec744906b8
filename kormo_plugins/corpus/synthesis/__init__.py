"""Synthetic documents, generated from seed documents by a model behind an OpenAI-compatible endpoint."""
