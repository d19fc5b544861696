"""RoBERTa's config."""

from __future__ import annotations

from bertx_weights.naming import KerasHubNaming, Naming

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
    def first_position(self) -> int:
        """pad_token_id + 1, as in fairseq: the positions before are for padding."""
        return (self.pad_token_id or 0) + 1

    def _problems(self) -> list[str]:
        found = super()._problems()
        if not isinstance(self.pad_token_id, int) or self.pad_token_id < 0:
            found.append(f"pad_token_id is {self.pad_token_id!r}, expected an id: positions are counted from it")
        elif isinstance(self.max_position_embeddings, int) and self.max_sequence_length < 1:
            found.append(
                f"max_position_embeddings is {self.max_position_embeddings}, expected more than pad_token_id + 1"
            )
        return found


_KERAS_HUB = KerasHubNaming(
    blocks={
        "embeddings.word_embeddings": "layers/token_and_position_embedding/token_embedding",
        "embeddings.position_embeddings": "layers/token_and_position_embedding/position_embedding",
        "classifier.dense": "task/layers/dense",
        "classifier.out_proj": "task/layers/dense_1",
        "lm_head.dense": "task/layers/masked_lm_head/_intermediate_dense",
        "lm_head.layer_norm": "task/layers/masked_lm_head/_intermediate_layer_norm",
        "lm_head.bias": "task/layers/masked_lm_head/vars/0",
    },
    fixed={"layer_norm_eps": 1e-5},
    config={"type_vocab_size": 1, "pad_token_id": 1},
    absent=("embeddings.token_type_embeddings.weight",),
    unused_positions=True,
    logits="classifier.out_proj",
)
NAMING = {
    "tensorflow": Naming(fixed={"pad_token_id": 1}),  # TFRobertaEmbeddings.padding_idx
    "flax": Naming(),
    "orbax": Naming(),
    "keras-hub": _KERAS_HUB,
    "tf1": "it is the original release of BERT, which has BERT only",
    "tf2": "bertx reads Model Garden's BertEncoder there, whose positions count from 0",
}

SPEC = ModelSpec(
    model_type="roberta",
    name="RoBERTa",
    class_prefixes=("Roberta",),
    config_class=RobertaConfig,
    module="roberta",
    tokenizers=("RobertaTokenizer", "RobertaTokenizerFast"),
    naming=NAMING,
)
