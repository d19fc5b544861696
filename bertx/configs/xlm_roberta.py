"""XLM-RoBERTa's config."""

from __future__ import annotations

from .base import ModelSpec, config_class
from .roberta import NAMING, RobertaConfig


@config_class
class XLMRobertaConfig(RobertaConfig):
    """The config of an XLM-RoBERTa model: see ModelConfig."""

    vocab_size: int = 30522
    model_type: str = "xlm-roberta"


SPEC = ModelSpec(
    model_type="xlm-roberta",
    name="XLM-RoBERTa",
    class_prefixes=("XLMRoberta",),
    config_class=XLMRobertaConfig,
    module="xlm_roberta",
    tokenizers=("XLMRobertaTokenizer", "XLMRobertaTokenizerFast"),
    naming=NAMING,
)
