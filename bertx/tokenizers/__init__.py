"""Tokenizers over the `tokenizers` library."""
