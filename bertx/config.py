"""BertConfig: the hub's BERT `config.json` as a frozen, validated value."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POSITION_EMBEDDING_TYPES = ("absolute", "relative_key", "relative_key_query")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

_POSITIVE_INTS = (
    "vocab_size",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_PROBABILITIES = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
_MOST_LABELS = 2**20
_NONE = type(None)
_KINDS = {
    "hidden_act": (str,),
    "architectures": (tuple, _NONE),
    "is_decoder": (bool,),
    "use_cache": (bool,),
    "add_cross_attention": (bool,),
    "tie_word_embeddings": (bool,),
    "output_attentions": (bool,),
    "output_hidden_states": (bool,),
    "return_dict": (bool,),
    "bos_token_id": (int, _NONE),
    "eos_token_id": (int, list, _NONE),
    "dtype": (str, _NONE),
}
# Written only when they say something: the hub's files leave them out too.
_OPTIONAL = ("architectures", "problem_type", "id2label", "label2id", "bos_token_id", "eos_token_id", "dtype")

# What a call gives unless it says otherwise; written only where it is not the usual.
_CALLS = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}


@dataclass(frozen=True)
class BertConfig:
    """The shape and the semantics of a BERT model; fields and defaults are the hub's.

    Keys of a `config.json` that are not fields here are kept in `extra` and written back unchanged.
    `num_labels` follows from `id2label` where that is given, as in transformers.

    Raises:
        ValueError: fields that contradict each other or lie outside their range, all named at once.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    position_embedding_type: str = "absolute"
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = field(default=None, hash=False)
    tie_word_embeddings: bool = True
    architectures: tuple[str, ...] | None = None
    problem_type: str | None = None
    num_labels: int | None = None
    id2label: Mapping[int, str] | None = field(default=None, hash=False)
    label2id: Mapping[str, int] | None = field(default=None, hash=False)
    dtype: str | None = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    model_type: str = "bert"
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        problems = self._label_problems()
        if not problems:
            self._derive_labels()
        if isinstance(self.architectures, list):
            object.__setattr__(self, "architectures", tuple(self.architectures))
        object.__setattr__(self, "extra", dict(self.extra))
        problems += self._problems()
        if problems:
            raise ValueError("this BERT config cannot be: " + "; ".join(problems))

    def _label_problems(self) -> list[str]:
        found = []
        if self.num_labels is not None and not (_is_int(self.num_labels, least=1) and self.num_labels <= _MOST_LABELS):
            found.append(f"num_labels is {self.num_labels!r:.40}, expected an integer from 1 to {_MOST_LABELS}")
        if self.id2label is not None and not (
            isinstance(self.id2label, Mapping) and self.id2label and all(str(i).isdigit() for i in self.id2label)
        ):
            found.append(f"id2label is {self.id2label!r}, expected an object from label ids to names")
        if self.label2id is not None and not isinstance(self.label2id, Mapping):
            found.append(f"label2id is {self.label2id!r}, expected an object from names to label ids")
        return found

    def _derive_labels(self) -> None:
        if self.id2label is None:
            id2label = {i: f"LABEL_{i}" for i in range(2 if self.num_labels is None else self.num_labels)}
        else:
            id2label = {int(i): label for i, label in self.id2label.items()}
            if self.num_labels not in (None, len(id2label)):
                warnings.warn(
                    f"num_labels={self.num_labels} but id2label names {len(id2label)} labels: id2label counts",
                    stacklevel=4,
                )
        label2id = {label: i for i, label in id2label.items()} if self.label2id is None else dict(self.label2id)
        for name, value in (("id2label", id2label), ("label2id", label2id), ("num_labels", len(id2label))):
            object.__setattr__(self, name, value)

    def _problems(self) -> list[str]:
        found = []
        if self.model_type != "bert":
            found.append(f"model_type is {self.model_type!r}, bertx runs 'bert'")
        for name in (*_POSITIVE_INTS, "num_hidden_layers"):
            value, least = getattr(self, name), 0 if name == "num_hidden_layers" else 1
            if not _is_int(value, least):
                found.append(f"{name} is {value!r}, expected an integer of at least {least}")
        divisible = _is_int(self.hidden_size, 1) and _is_int(self.num_attention_heads, 1)
        if divisible and self.hidden_size % self.num_attention_heads:
            found.append(
                f"hidden_size {self.hidden_size} is not divisible by num_attention_heads {self.num_attention_heads}"
            )
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if name == "classifier_dropout" and value is None:
                continue
            if not _is_number(value) or not 0 <= value <= 1:
                found.append(f"{name} is {value!r}, expected a probability from 0 to 1")
        if not _is_number(self.layer_norm_eps) or self.layer_norm_eps <= 0:
            found.append(f"layer_norm_eps is {self.layer_norm_eps!r}, expected a number above 0")
        if not _is_number(self.initializer_range) or self.initializer_range < 0:
            found.append(f"initializer_range is {self.initializer_range!r}, expected a number of at least 0")
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
                found.append(f"{name} is {value!r:.40}, expected {expected}")
        for name in ("architectures", "eos_token_id"):
            parts, kind = getattr(self, name), str if name == "architectures" else int
            if isinstance(parts, (list, tuple)) and not all(isinstance(part, kind) for part in parts):
                found.append(f"{name} is {parts!r:.40}, expected each to be {kind.__name__}")
        if self.position_embedding_type not in POSITION_EMBEDDING_TYPES:
            found.append(
                f"position_embedding_type is {self.position_embedding_type!r}, "
                f"expected one of {', '.join(POSITION_EMBEDDING_TYPES)}"
            )
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            found.append(f"problem_type is {self.problem_type!r}, expected null or one of {', '.join(PROBLEM_TYPES)}")
        pad, size = self.pad_token_id, self.vocab_size
        if pad is not None and not (_is_int(pad, 0) and (not _is_int(size, 1) or pad < size)):
            found.append(f"pad_token_id {pad!r} is not an id below vocab_size {size}")
        if self.add_cross_attention and not self.is_decoder:
            found.append("add_cross_attention is true but is_decoder is false")
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BertConfig:
        """Reads the keys of a `config.json`; keys that are no field go to `extra`.

        Raises:
            ValueError: see the class.
        """
        known = {f.name for f in dataclasses.fields(cls)} - {"extra"}
        fields = {key: value for key, value in values.items() if key in known}
        extra = {key: value for key, value in values.items() if key not in known}
        if "dtype" not in fields and isinstance(extra.get("torch_dtype"), str):
            fields["dtype"] = extra["torch_dtype"]
        return cls(**fields, extra=extra)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], revision: str | None = None) -> BertConfig:
        """Reads the config of a checkpoint; `source` as in `bertx.load`, or a `config.json` itself."""
        path = Path(source)
        if path.suffix != ".json":
            from .sources import resolve

            folder = resolve(source, revision=revision, weights=False)
            path = folder / ("config.json" if (folder / "config.json").is_file() else "bert_config.json")
        return cls.from_json_file(path)

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str]) -> BertConfig:
        """Reads one `config.json`.

        Raises:
            ValueError: the file is no JSON object or its fields cannot be; the message names the file.
            FileNotFoundError: there is no such file.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path}: not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path}: expected a JSON object, found {type(values).__name__}")
        try:
            return cls.from_dict(values)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `config.json`, those of `extra` as they were read."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = values.pop("extra")
        del values["num_labels"]  # the hub's files say it through id2label
        if self.architectures is not None:
            values["architectures"] = list(self.architectures)
        if self.id2label == {0: "LABEL_0", 1: "LABEL_1"}:
            del values["id2label"], values["label2id"]
        else:
            values["id2label"] = {str(i): label for i, label in self.id2label.items()}
        for name in _OPTIONAL:
            if values.get(name, 0) is None:
                del values[name]
        for name, usual in _CALLS.items():
            if values[name] == usual:
                del values[name]
        if "torch_dtype" in extra and self.dtype is not None:
            extra = {**extra, "torch_dtype": self.dtype}
        return dict(sorted({**values, **extra}.items()))

    def to_json_string(self) -> str:
        """`to_dict` as the text of a `config.json`."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def replace(self, **changes: Any) -> BertConfig:
        """A copy with some fields changed, validated again; a new `num_labels` renames the labels."""
        if "num_labels" in changes and changes["num_labels"] != self.num_labels and "id2label" not in changes:
            changes |= {"id2label": None, "label2id": None}
        if "id2label" in changes:
            changes = {"num_labels": None, "label2id": None} | changes
        return dataclasses.replace(self, **changes)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _is_int(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
