"""A deterministic bilingual text generator: everything else can be tried offline, on a machine just installed.

The mental model, from the bottom up:

1. `morphology` and `english` bend words (particles, endings, plurals, tenses); pure functions.
2. `words/*.txt` and `phrases/*.txt` hold pairs, Korean over English. A contributor adds text there, not in Python.
3. `template` compiles a pair once per language and speech level; `lexicon` loads the files and keeps a style's share.
4. `worlds` draws a small consistent world: who, where, when, with what. Its names are the document's number in
   disguise, so no two documents of a corpus are alike.
5. a genre (`genres/*.py`) is one function that tells such a world through a `Writer`.
6. `generate` lays the documents out in blocks, so that shards are made in parallel and their union never changes.

Since a phrase is a pair, a bilingual document is one whose writer kept both sides: its halves say the same.
"""
