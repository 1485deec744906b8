"""HTML to text: inline tags, whole pages, character sets, and main-text extractors."""
