"""The axes of each parameter by name, so that a backend can spread a model over devices."""

# The end of a schema name → its axes, in the schema's layout.
AXES = {
    "word_embeddings.weight": ("vocab", "embed"),
    "position_embeddings.weight": ("position", "embed"),
    "token_type_embeddings.weight": ("type", "embed"),
    "self.query.weight": ("heads", "embed"),
    "self.query.bias": ("heads",),
    "self.key.weight": ("heads", "embed"),
    "self.key.bias": ("heads",),
    "self.value.weight": ("heads", "embed"),
    "self.value.bias": ("heads",),
    "self.distance_embedding.weight": ("distance", "head"),
    "attention.output.dense.weight": ("embed", "heads"),
    "attention.output.dense.bias": ("embed",),
    "intermediate.dense.weight": ("mlp", "embed"),
    "intermediate.dense.bias": ("mlp",),
    "output.dense.weight": ("embed", "mlp"),
    "output.dense.bias": ("embed",),
    "LayerNorm.weight": ("embed",),
    "LayerNorm.bias": ("embed",),
    "pooler.dense.weight": ("pooled", "embed"),
    "pooler.dense.bias": ("pooled",),
    "transform.dense.weight": ("pooled", "embed"),
    "transform.dense.bias": ("pooled",),
    "predictions.bias": ("vocab",),
    "decoder.weight": ("vocab", "embed"),
    "decoder.bias": ("vocab",),
    "seq_relationship.weight": ("label", "embed"),
    "seq_relationship.bias": ("label",),
    "classifier.weight": ("label", "embed"),
    "classifier.bias": ("label",),
    "qa_outputs.weight": ("label", "embed"),
    "qa_outputs.bias": ("label",),
}


def axes_of(name):
    """The axes of a schema name."""
    # The longest end counts: attention.output.dense is no output.dense.
    return next(AXES[end] for end in sorted(AXES, key=len, reverse=True) if f".{name}".endswith(f".{end}"))
