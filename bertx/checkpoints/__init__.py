"""Reading, writing and converting checkpoints."""
