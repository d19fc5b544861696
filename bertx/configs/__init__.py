"""The configs, one file an architecture."""
