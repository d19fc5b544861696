"""BERT's config."""

from __future__ import annotations

from bertx_weights.naming import KerasHubNaming, Naming

from .base import ModelConfig, ModelSpec, config_class


@config_class
class BertConfig(ModelConfig):
    """The config of a BERT model: see ModelConfig."""

    model_type: str = "bert"


# KerasHub's masked-LM head computes the exact GELU, and a LayerNorm of epsilon 1e-5.
_KERAS_HUB = KerasHubNaming(
    blocks={
        "embeddings.word_embeddings": "layers/reversible_embedding",
        "embeddings.position_embeddings": "layers/position_embedding",
        "embeddings.token_type_embeddings": "layers/embedding",
        "pooler.dense": "layers/dense",
        "classifier": "task/layers/dense",
    },
    fixed={"layer_norm_eps": 1e-12},
    keys={"num_segments": "type_vocab_size"},
    activations=("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
    pooler=True,
    without_masked_lm=(
        "KerasHub's masked-LM head computes another GELU and epsilon than its encoder, which no config can say"
    ),
)

SPEC = ModelSpec(
    model_type="bert",
    name="BERT",
    class_prefixes=("Bert",),
    config_class=BertConfig,
    module="bert",
    tokenizers=("BertTokenizer", "BertTokenizerFast"),
    class_aliases={"BertForCausalLM": "BertLMHeadModel"},  # TensorFlow's and Flax's name
    naming={
        "tensorflow": Naming(
            {"cls.predictions": "mlm___cls/predictions", "cls.seq_relationship": "nsp___cls/seq_relationship"}
        ),
        "flax": Naming(),
        "orbax": Naming(),
        "keras-hub": _KERAS_HUB,
        "tf1": Naming(),
        "tf2": Naming(),
    },
)
