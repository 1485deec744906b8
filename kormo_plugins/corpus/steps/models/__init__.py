"""Model-based steps: classifiers and language models, and their compiled code."""
