"""The training room: one Trainer subclass and what it needs to train exactly what the recipe says.

Axolotl's trainer is right about most things and silently wrong about a few: it averages micro-batches instead of
tokens, counts through every sample on resume, forgets that embeddings are not decayed, and takes a half-written
checkpoint for a complete one. `trainer.py` corrects these, each in a method of a few lines; the modules beside it
contain the parts that can be understood and tested without a trainer.
"""
