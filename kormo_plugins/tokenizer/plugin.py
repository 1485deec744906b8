"""Hook implementations of the tokenizer room."""
