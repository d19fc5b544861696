"""BERT's config."""

from __future__ import annotations

from .base import ModelConfig, ModelSpec, config_class


@config_class
class BertConfig(ModelConfig):
    """The config of a BERT model: see ModelConfig."""

    model_type: str = "bert"


SPEC = ModelSpec(
    model_type="bert",
    name="BERT",
    class_prefixes=("Bert",),
    config_class=BertConfig,
    module="bert",
    tokenizers=("BertTokenizer", "BertTokenizerFast"),
    class_aliases={"BertForCausalLM": "BertLMHeadModel"},  # TensorFlow's and Flax's name
)
