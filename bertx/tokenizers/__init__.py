"""Tokenizers over the `tokenizers` library: a base, one file a class, and `auto`, which chooses the class."""
