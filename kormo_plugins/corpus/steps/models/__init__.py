"""Steps that ask a model: classifiers and language models, and what they compute with."""
