"""A deterministic bilingual text generator: all else can be tried offline, on a fresh machine.

The mental model, from the bottom up:

1. `morphology` and `english` bend words (particles, endings, plurals, tenses); pure functions.
2. `words/*.txt` and `phrases/*.txt` hold pairs, Korean over English; new text goes there, not into Python.
3. `template` compiles a pair once per language and speech level; `lexicon` keeps a style's share of them.
4. `worlds` draws a small consistent world: who, where, when, with what. Its names are the document's number
   in disguise, so no two documents of a corpus are alike.
5. a genre (`genres/*.py`) is one function that tells such a world through a `Writer`.
6. `generate` lays the documents out in blocks, so that their union is the same for any number of shards.

Since a phrase is a pair, a bilingual document is one whose writer kept both sides: its halves say the same.
"""
