"""One Trainer subclass and its support code, so that training does exactly what the recipe says.

Axolotl's trainer is silently wrong in a few respects: it averages over micro-batches instead of tokens, iterates over
all previous samples on resume, applies weight decay to embeddings, and accepts a half-written checkpoint as complete.
`trainer.py` corrects these, each in a method of a few lines; the modules beside it contain the parts that can be
understood and tested without a trainer.
"""
