"""From HTML to text: tags in running text, whole pages, character sets, and extractors of the main text."""
