"""Call conventions of other libraries, kept out of the models."""
