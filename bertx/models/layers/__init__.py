"""The parts that architectures share: embeddings, attention, losses, outputs."""
