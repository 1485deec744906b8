"""GGUF, the file that llama.cpp, Ollama and LM Studio read: weights, vocabulary, chat template and settings in one."""
