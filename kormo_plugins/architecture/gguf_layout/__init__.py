"""Conversion to GGUF, the single-file format of llama.cpp, Ollama and LM Studio."""
