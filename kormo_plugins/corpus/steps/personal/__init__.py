"""Finds personal data in a text: numbers, e-mail and IP addresses."""
