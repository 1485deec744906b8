"""A deterministic bilingual text generator for offline use on a fresh machine.

The mental model, from the bottom up:

1. `morphology` and `english` inflect words (particles, endings, plurals, tenses); pure functions.
2. `words/*.txt` and `phrases/*.txt` hold Korean-English pairs; new text goes there, not into Python.
3. `template` compiles a pair once per language and speech level; `lexicon` selects a style's share of them.
4. `worlds` draws a small consistent world: people, town, date, things. Its names encode the document's number, so no
   two documents of a corpus are equal.
5. A genre (`genres/*.py`) is one function that writes about such a world through a `Writer`.
6. `generate` lays the documents out in blocks, so that their union is the same for any number of shards.

Since a phrase is a pair, a bilingual document is one whose writer kept both languages: its halves are translations.
"""
