"""Asking OpenAI-compatible endpoints."""
