from .made_tokenizers import real_text, tokenizer

__all__ = ["real_text", "tokenizer"]
