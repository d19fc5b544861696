"""RoBERTa's config."""

from __future__ import annotations

from .base import ModelConfig, ModelSpec, config_class


@config_class
class RobertaConfig(ModelConfig):
    """The config of a RoBERTa model: see ModelConfig."""

    vocab_size: int = 50265
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    model_type: str = "roberta"

    @property
    def max_sequence_length(self) -> int:
        """How many tokens a sequence may have: positions count from pad_token_id + 1."""
        return self.max_position_embeddings - self.pad_token_id - 1

    def _problems(self) -> list[str]:
        found = super()._problems()
        if not isinstance(self.pad_token_id, int) or self.pad_token_id < 0:
            found.append(f"pad_token_id is {self.pad_token_id!r}, expected an id: positions are counted from it")
        elif isinstance(self.max_position_embeddings, int) and self.max_sequence_length < 1:
            found.append(
                f"max_position_embeddings is {self.max_position_embeddings}, expected more than pad_token_id + 1"
            )
        return found


SPEC = ModelSpec(
    model_type="roberta",
    name="RoBERTa",
    class_prefixes=("Roberta",),
    config_class=RobertaConfig,
    module="roberta",
    tokenizers=("RobertaTokenizer", "RobertaTokenizerFast"),
)
