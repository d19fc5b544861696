"""The config of an encoder and a decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from bertx_weights.naming import Naming

from .base import MODELS, ModelConfig, ModelSpec, config_class

_PARTS = ("encoder", "decoder")
# Fields of a ModelConfig that are those of one of the two: of which.
_MIRRORED = {
    **dict.fromkeys(("use_cache", "tie_word_embeddings"), "decoder"),
    **dict.fromkeys(
        (
            *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
            *("hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings"),
            *("type_vocab_size", "initializer_range", "layer_norm_eps", "position_embedding_type"),
            *("classifier_dropout", "is_decoder", "add_cross_attention"),
        ),
        "encoder",
    ),
}


@config_class
class EncoderDecoderConfig(ModelConfig):
    """The configs of an encoder and a decoder, and what both have in common; keys are those of the hub's.

    Sizes are those of `encoder` and `decoder`; read of this config they are the encoder's. A key that names one in
    config.json, as older code writes vocab_size, is kept in `extra`.

    Attributes:
        encoder: of the model that reads, or the keys of its config.json.
        decoder: of the model that writes; `is_decoder` and `add_cross_attention` are true.
        decoder_start_token_id: what a decoder's text begins with; labels are shifted behind it.
        pad_token_id: what a label of −100 is among the decoder's inputs, and what is masked there.
        tie_encoder_decoder: whether the decoder has the encoder's parameters.

    Raises:
        ValueError: as ModelConfig; or the two do not go together.
    """

    vocab_size: int = field(init=False, default=0)
    hidden_size: int = field(init=False, default=0)
    num_hidden_layers: int = field(init=False, default=0)
    num_attention_heads: int = field(init=False, default=0)
    intermediate_size: int = field(init=False, default=0)
    hidden_act: str = field(init=False, default="")
    hidden_dropout_prob: float = field(init=False, default=0)
    attention_probs_dropout_prob: float = field(init=False, default=0)
    max_position_embeddings: int = field(init=False, default=0)
    type_vocab_size: int = field(init=False, default=0)
    initializer_range: float = field(init=False, default=0)
    layer_norm_eps: float = field(init=False, default=0)
    position_embedding_type: str = field(init=False, default="")
    use_cache: bool = field(init=False, default=True)
    classifier_dropout: float | None = field(init=False, default=None)
    is_decoder: bool = field(init=False, default=False)
    add_cross_attention: bool = field(init=False, default=False)
    tie_word_embeddings: bool = field(init=False, default=True)
    pad_token_id: int | None = None
    model_type: str = "encoder-decoder"
    encoder: Any = None
    decoder: Any = None
    decoder_start_token_id: int | None = None
    tie_encoder_decoder: bool = False

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: ModelConfig, decoder_config: ModelConfig, **fields: Any
    ) -> EncoderDecoderConfig:
        """Of two configs; the decoder's gets `is_decoder` and `add_cross_attention`."""
        decoder = decoder_config.replace(is_decoder=True, add_cross_attention=True)
        return cls(encoder=encoder_config, decoder=decoder, **fields)  # pyright: ignore[reportCallIssue]

    def _normalise(self) -> None:
        super()._normalise()
        if self.tie_encoder_decoder is None:
            self._set("tie_encoder_decoder", False)
        for part in _PARTS:
            self._set(part, _part(part, getattr(self, part)))
        for name, part in _MIRRORED.items():
            self._set(name, getattr(getattr(self, part), name))

    def _problems(self) -> list[str]:
        found = []
        for name in ("output_attentions", "output_hidden_states", "return_dict", "tie_encoder_decoder"):
            if not isinstance(getattr(self, name), bool):
                found.append(f"{name} is {getattr(self, name)!r}, expected true or false")
        for name, size in (
            ("decoder_start_token_id", self.decoder.vocab_size),
            ("pad_token_id", max(self.encoder.vocab_size, self.decoder.vocab_size)),
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < size):
                found.append(f"{name} is {value!r}, expected null or an id from 0 to {size - 1}")
        if self.encoder.is_decoder:
            found.append("the encoder's is_decoder is true, and it must see later words too")
        if not (self.decoder.is_decoder and self.decoder.add_cross_attention):
            found.append("the decoder's is_decoder and add_cross_attention are not both true")
        wanted = self.decoder.extra.get("cross_attention_hidden_size")
        if wanted is not None and not wanted == self.encoder.hidden_size == self.decoder.hidden_size:
            found.append(
                f"the decoder's cross_attention_hidden_size is {wanted!r}, and bertx attends to states of its "
                f"hidden_size, {self.decoder.hidden_size}: remove it"
            )
        if self.tie_encoder_decoder and (others := _differing(self.encoder, self.decoder)):
            found.append(f"tie_encoder_decoder is true, and encoder and decoder have other {', '.join(others)}")
        return found

    @property
    def decoder_vocab_size(self) -> int:
        """How many tokens the decoder scores."""
        return self.decoder.vocab_size

    @property
    def is_encoder_decoder(self) -> bool:
        """True, as other libraries ask."""
        return True

    @property
    def first_position(self) -> int:
        """The encoder's."""
        return self.encoder.first_position

    def to_dict(self) -> dict[str, Any]:
        """The keys of a config.json."""
        values = super().to_dict()
        for name in _MIRRORED.keys() - self.extra.keys():
            values.pop(name, None)
        for name in ("pad_token_id", "decoder_start_token_id"):
            if values[name] is None:
                del values[name]
        if not self.tie_encoder_decoder:
            del values["tie_encoder_decoder"]
        values |= {part: getattr(self, part).to_dict() for part in _PARTS}
        return dict(sorted({**values, **self.extra, "is_encoder_decoder": True}.items()))

    def to_diff_dict(self) -> dict[str, Any]:
        """All keys: there is no default of the two parts."""
        return self.to_dict()


def _part(name: str, values: Any) -> ModelConfig:
    """A config, or the keys of one."""
    if isinstance(values, ModelConfig) and not isinstance(values, EncoderDecoderConfig):
        return values
    if hasattr(values, "to_dict"):
        values = values.to_dict()
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} is {values!r:.40}, expected the config of a model: give encoder and decoder")
    known = [model_type for model_type in MODELS if MODELS[model_type].config_class is not EncoderDecoderConfig]
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in known:
        raise ValueError(f"{name}: model_type is {model_type!r:.40}, bertx runs {', '.join(map(repr, known))}")
    try:
        return MODELS[model_type].config_class.from_dict(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


# What the parameters of two models that share them follow from.
_SHARED = (
    *("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("max_position_embeddings", "type_vocab_size", "position_embedding_type", "hidden_act", "layer_norm_eps"),
    "pad_token_id",
)


def _differing(encoder: ModelConfig, decoder: ModelConfig) -> list[str]:
    return [name for name in _SHARED if getattr(encoder, name) != getattr(decoder, name)]


assert set(_MIRRORED) == {each.name for each in dataclasses.fields(EncoderDecoderConfig) if not each.init}

SPEC = ModelSpec(
    model_type="encoder-decoder",
    name="EncoderDecoder",
    class_prefixes=("EncoderDecoder",),
    config_class=EncoderDecoderConfig,
    module="encoder_decoder",
    parts={"encoder": "feature-extraction", "decoder": "text-generation"},
    naming={
        "tensorflow": Naming(),
        "flax": Naming(),
        "orbax": Naming(),
        "keras-hub": "its backbones of BERT and RoBERTa are encoders",
        "tf1": "it is the original release of BERT, which has encoders only",
        "tf2": "bertx reads Model Garden's BertEncoder there",
    },
    tokenizers=("BertTokenizer", "BertTokenizerFast"),
)
