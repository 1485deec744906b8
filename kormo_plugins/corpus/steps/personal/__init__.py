"""Where personal data stands in a text: numbers, and mail and IP addresses."""
