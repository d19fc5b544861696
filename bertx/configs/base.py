"""ModelConfig: the hub's `config.json` as a validated value; and ModelSpec: what an architecture is."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import importlib
import json
import math
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from bertx_weights import CheckpointError
from bertx_weights.files import exists, inside, read_json, write_atomically
from bertx_weights.naming import Naming

from ..dtypes import name_of_dtype
from ..hub.arguments import refuse_upload, without_hub_arguments

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
# null, 0 and 1 are what Python takes them for, as in transformers.
_FLAGS = (
    "is_decoder",
    "use_cache",
    "add_cross_attention",
    "tie_word_embeddings",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
)
_KINDS = {
    "hidden_act": (str,),
    "architectures": (tuple, _NONE),
    **dict.fromkeys(_FLAGS, (bool,)),
    "bos_token_id": (int, _NONE),
    "eos_token_id": (int, list, _NONE),
    "dtype": (str, _NONE),
}
# Written only when they say something: the hub's files leave them out too.
_OPTIONAL = ("architectures", "problem_type", "id2label", "label2id", "bos_token_id", "eos_token_id", "dtype")

# What a call gives unless it says otherwise; written only where it is not the usual.
_CALLS = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
# Attributes of transformers' configs that other libraries read, as they are where config.json does not have them.
_RENAMED = {"torch_dtype": "dtype", "use_return_dict": "return_dict", "name_or_path": "_name_or_path"}
_ABSENT = {
    "is_encoder_decoder": False,
    "chunk_size_feed_forward": 0,
    "_name_or_path": "",
    "_commit_hash": None,
    "transformers_version": None,
}


@dataclass(unsafe_hash=True)
class ModelConfig:
    """The shape and the semantics of a model; fields and defaults are the hub's.

    Keys of a `config.json` and keyword arguments that are not fields here are kept in `extra`, can be read as
    attributes, and are written back unchanged; a misspelt field is refused. `num_labels` follows from `id2label` where
    that is given; where both are, they must agree.

    An assignment (`config.use_cache = False`) is validated as the constructor validates; where it fails, the config is
    unchanged. It applies to what is read at each call (`output_attentions`, `use_cache`, …) and to what is saved: the
    sizes of a model that exists do not change. Use `replace` for a copy with several fields changed.

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
    model_type: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        self._normalise()
        problems = self._label_problems()
        if not problems:
            self._derive_labels()
        problems += self._problems()
        if problems:
            raise ValueError(f"this {type(self).__name__} cannot be: {'; '.join(problems)}")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _normalise(self) -> None:
        """Gives each spelling that transformers takes the one that bertx computes with."""
        for name in _FLAGS:
            value = getattr(self, name)
            if value is None or (isinstance(value, int) and value in (0, 1)):
                self._set(name, bool(value))
        if isinstance(self.architectures, str):
            self._set("architectures", (self.architectures,) if self.architectures else None)
        if isinstance(self.architectures, list):
            self._set("architectures", tuple(self.architectures))
        if self.problem_type == "":
            self._set("problem_type", None)
        if self.model_type in (None, ""):
            self._set("model_type", type(self).model_type)
        if self.dtype is not None:
            self._set("dtype", name_of_dtype(self.dtype))
        self._set("extra", dict(self.extra))

    def _label_problems(self) -> list[str]:
        found = []
        empty = isinstance(self.id2label, Mapping) and not self.id2label  # transformers: a model without labels
        least = 0 if empty else 1
        if self.num_labels is not None and not (_is_int(self.num_labels, least) and self.num_labels <= _MOST_LABELS):
            found.append(f"num_labels is {self.num_labels!r:.40}, expected an integer from 1 to {_MOST_LABELS}")
        if self.id2label is not None and not (
            isinstance(self.id2label, Mapping)
            and len(self.id2label) <= _MOST_LABELS
            and all(_label_id(i) is not None for i in self.id2label)
        ):
            found.append(f"id2label is {self.id2label!r:.200}, expected an object from label ids to names")
        elif self.id2label is not None and self.num_labels is not None:
            named = len({_label_id(i) for i in self.id2label})
            if named != self.num_labels:
                found.append(
                    f"num_labels is {self.num_labels!r:.40} and id2label names {named} labels (transformers 4 counts "
                    "id2label, transformers 5 takes num_labels): remove the one that is wrong, or give "
                    "from_pretrained num_labels"
                )
        if self.label2id is not None and not isinstance(self.label2id, Mapping):
            found.append(f"label2id is {self.label2id!r:.200}, expected an object from names to label ids")
        return found

    def _derive_labels(self) -> None:
        if self.id2label is None:
            id2label = {i: f"LABEL_{i}" for i in range(2 if self.num_labels is None else self.num_labels)}
        else:
            id2label = {_label_id(i): str(label) for i, label in (self.id2label or {}).items()}
        label2id = {label: i for i, label in id2label.items()} if self.label2id is None else dict(self.label2id)
        for name, value in (("id2label", id2label), ("label2id", label2id), ("num_labels", len(id2label))):
            self._set(name, value)

    def _problems(self) -> list[str]:
        found = []
        if self.model_type != type(self).model_type:
            found.append(f"model_type is {self.model_type!r}, {type(self).__name__} is of {type(self).model_type!r}")
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
        # A negative one counts from the end of the vocabulary, as in torch.nn.Embedding.
        if pad is not None and not (_is_int(pad) and (not _is_int(size, 1) or -size <= pad < size)):
            found.append(f"pad_token_id {pad!r:.40} is not an id below vocab_size {size!r:.40}")
        if self.add_cross_attention and not self.is_decoder:
            found.append("add_cross_attention is true but is_decoder is false")
        if unwritable := sorted(f"{name}={value!r:.40}" for name, value in self.extra.items() if not _is_json(value)):
            found.append(f"{', '.join(unwritable)} cannot be written to a config.json")
        for name in self.extra:
            if meant := _SIZES_ELSEWHERE.get(name) or _misspelt(name):
                found.append(f"{name} is no field: did you mean {meant}? Rename it, or leave it out")
        return found

    # --- attributes -------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        name = _RENAMED.get(name, name)
        if _last_field(type(self)) not in vars(self) or (name.startswith("_") and name not in self.extra):
            self._set(name, value)  # the constructor's own; or what is never saved
        elif name == "extra":
            vars(self).update(vars(self.replace(extra=value)))
        else:
            self.update({name: value})

    def __getattr__(self, name: str) -> Any:
        extra = vars(self).get("extra", {})
        if name in extra:
            return extra[name]
        if name in _RENAMED:
            return getattr(self, _RENAMED[name])
        if name in _ABSENT:
            return _ABSENT[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}, and config.json no such key")

    def update(self, values: Mapping[str, Any]) -> None:
        """Assigns several at once; where they are invalid, none of them.

        Raises:
            ValueError: see the class.
        """
        own = own_fields(type(self))
        fields = {key: value for key, value in values.items() if key in own}
        added = {key: value for key, value in values.items() if key not in own}
        changed = self.replace(**{"extra": {**self.extra, **added}, **fields})
        vars(self).update(vars(changed))

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Self:
        """The config itself: there is no other part."""
        return self

    @property
    def first_position(self) -> int:
        """The position of the first token of a sequence."""
        return 0

    @property
    def max_sequence_length(self) -> int:
        """How many tokens a sequence may have."""
        return self.max_position_embeddings - self.first_position

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels in the order of the classifier's outputs.

        Raises:
            ValueError: id2label names other ids than 0 to num_labels − 1.
        """
        names, count = self.id2label or {}, self.num_labels or 0  # the constructor sets both
        if sorted(names) != list(range(count)):
            ids = ", ".join(map(str, sorted(names)[:9])) + (", …" if count > 9 else "")
            raise ValueError(
                f"id2label has the ids {ids}, and the model's outputs are numbered from 0 to {count - 1}: it "
                "is unknown which name belongs to which output; number id2label and label2id in config.json from 0"
            )
        return tuple(names[i] for i in range(count))

    # --- files ------------------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **changes: Any) -> Self:
        """Reads the keys of a `config.json`, `changes` in place of those read; keys that are no field go to `extra`.

        Raises:
            ValueError: see the class.
        """
        if changes.keys() & {"num_labels", "id2label"}:
            # As `replace`: a new number gives new names, and new names are counted.
            if "id2label" in changes:
                values = {key: value for key, value in values.items() if key not in ("num_labels", "label2id")}
            else:
                labels = values.get("id2label")
                number = len(labels) if isinstance(labels, Mapping) else values.get("num_labels", 2)
                dropped = ("num_labels",) if changes["num_labels"] == number else ("num_labels", "id2label", "label2id")
                values = {key: value for key, value in values.items() if key not in dropped}
        values = {**values, **changes}
        own = own_fields(cls)
        fields = {key: value for key, value in values.items() if key in own}
        extra = {key: value for key, value in values.items() if key not in own}
        if fields.get("dtype") is None and extra.get("torch_dtype") is not None:
            fields["dtype"] = extra["torch_dtype"]
        if "torch_dtype" in extra and fields.get("dtype") is not None:
            extra["torch_dtype"] = name_of_dtype(fields["dtype"])
        return cls(**fields, extra=extra)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike[str], revision: str | None = None, **changes: Any) -> Self:
        """Reads the config of a checkpoint; `source` as in `bertx.load`, or a `config.json` itself.

        `changes` are fields in place of those read, such as `num_labels=3`; others are kept in `extra`.
        `return_unused_kwargs=True` gives (config, the `changes` that are neither fields nor keys of the file).
        """
        returns_unused = changes.pop("return_unused_kwargs", False)
        changes = without_hub_arguments(f"{cls.__name__}.from_pretrained", changes)
        path = Path(source)
        if path.suffix == ".json" and revision is not None:
            raise ValueError(
                f"{path} is a file here, which has no revision {revision!r}: give a hub id, or leave it out"
            )
        if path.suffix != ".json":
            from ..hub.sources import resolve

            folder = resolve(source, revision=revision, weights=False)
            names = ("config.json", "bert_config.json")
            if not any(exists(folder, name) for name in names):
                from ..hub.bases import base_folder

                folder = base_folder(folder)
            path = inside(folder, next((name for name in names if exists(folder, name)), names[0]))
        if not returns_unused:
            return cls.from_json_file(path, **changes)
        known = {name: value for name, value in changes.items() if name in own_fields(cls) or name == "torch_dtype"}
        config = cls.from_json_file(path, **known)
        known |= {name: value for name, value in changes.items() if name in config.extra}
        config.update(known)
        unused = {name: value for name, value in changes.items() if name not in known}
        return config, unused  # pyright: ignore[reportReturnType]  # what most callers get is named above

    @classmethod
    def from_json_file(cls, path: str | os.PathLike[str], **changes: Any) -> Self:
        """Reads one `config.json`, `changes` in place of what it says.

        Raises:
            CheckpointError: the file is no JSON object or its fields cannot be; the message names the file.
            FileNotFoundError: there is no such file.
        """
        if not os.path.lexists(path):
            raise FileNotFoundError(f"there is no file {path}")
        values = read_json(Path(path))
        try:
            return cls.from_dict(values, **changes)
        except (ValueError, TypeError) as error:
            raise CheckpointError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The keys of a `config.json`, those of `extra` as they were read."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extra = values.pop("extra")
        del values["num_labels"]  # the hub's files say it through id2label
        if self.architectures is not None:
            values["architectures"] = list(self.architectures)
        if self.id2label == {0: "LABEL_0", 1: "LABEL_1"} and self.label2id == {"LABEL_0": 0, "LABEL_1": 1}:
            del values["id2label"], values["label2id"]
        else:
            values["id2label"] = {str(i): label for i, label in (self.id2label or {}).items()}
        for name in _OPTIONAL:
            if values.get(name, 0) is None:
                del values[name]
        for name, usual in _CALLS.items():
            if values[name] == usual:
                del values[name]
        if "torch_dtype" in extra and self.dtype is not None:
            extra = {**extra, "torch_dtype": self.dtype}
        return dict(sorted({**values, **extra}.items()))

    def to_diff_dict(self) -> dict[str, Any]:
        """The keys of `to_dict` whose values are not the defaults, and `model_type`."""
        usual = type(self)().to_dict()
        return {
            key: value
            for key, value in self.to_dict().items()
            if key == "model_type" or key not in usual or value != usual[key]
        }

    def to_json_string(self, use_diff: bool = False) -> str:
        """`to_dict`, or `to_diff_dict`, as the text of a `config.json`."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def to_json_file(self, path: str | os.PathLike[str], use_diff: bool = False) -> None:
        """Writes `to_json_string` to a file, whole or not at all."""
        write_atomically(Path(path), self.to_json_string(use_diff).encode())

    def save_pretrained(self, folder: str | os.PathLike[str], push_to_hub: bool = False) -> None:
        """Writes config.json to a folder, which is made if it is not there.

        Raises:
            ValueError: `push_to_hub`.
        """
        refuse_upload(push_to_hub)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.to_json_file(folder / "config.json")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated again; a new `num_labels` renames the labels."""
        if "num_labels" in changes and changes["num_labels"] != self.num_labels and "id2label" not in changes:
            changes |= {"id2label": None, "label2id": None}
        if "id2label" in changes:
            changes = {"num_labels": None, "label2id": None} | changes
        if unknown := sorted(changes.keys() - own_fields(type(self)) - {"extra"}):
            name, named = type(self).__name__, ", ".join(unknown)
            raise TypeError(f"{name}.replace takes fields, and {named} is none; others are in `extra`")
        return dataclasses.replace(self, **changes)


@functools.cache
def own_fields(cls: type[ModelConfig]) -> frozenset[str]:
    """The fields that the constructor takes, beside `extra`."""
    return frozenset(f.name for f in dataclasses.fields(cls) if f.init) - {"extra"}


@functools.cache
def _last_field(cls: type[ModelConfig]) -> str:
    """What the constructor sets last."""
    return dataclasses.fields(cls)[-1].name


_FIELDS = own_fields(ModelConfig)

Config = TypeVar("Config", bound=type[ModelConfig])


def config_class(cls: Config) -> Config:
    """Makes a subclass of ModelConfig a dataclass whose constructor keeps keyword arguments that are no field.

    They go to `extra`, as transformers keeps them.
    """
    cls = dataclass(unsafe_hash=True)(cls)
    init: Any = cls.__init__

    @functools.wraps(init)
    def construct(self: ModelConfig, *args: Any, **values: Any) -> None:
        fields = {name: values.pop(name) for name in (own_fields(cls) | {"extra"}) & values.keys()}
        if values:
            fields["extra"] = {**fields.get("extra", {}), **values}
            if fields.get("dtype") is None and "torch_dtype" in values:
                fields["dtype"] = values["torch_dtype"]
                fields["extra"]["torch_dtype"] = name_of_dtype(values["torch_dtype"])
        init(self, *args, **fields)

    cls.__init__ = construct  # pyright: ignore[reportAttributeAccessIssue]
    return cls


def _misspelt(name: str) -> str | None:
    """The field that a name is a misspelling of; a key that begins with _ is a library's own note."""
    close = [] if name.startswith("_") else difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.87)
    return close[0] if close else None


# What configs of other architectures call the sizes of a model.
_SIZES_ELSEWHERE: dict[str, str] = dict.fromkeys(("num_layers", "n_layers", "n_layer"), "num_hidden_layers")
_SIZES_ELSEWHERE |= dict.fromkeys(("num_heads", "n_heads", "n_head"), "num_attention_heads")
_SIZES_ELSEWHERE |= dict.fromkeys(("d_model", "n_embd", "dim"), "hidden_size")

_keeps_config: ContextVar[bool] = ContextVar("keeps_config", default=False)


@contextlib.contextmanager
def keep_config() -> Iterator[None]:
    """Within, a loss leaves `problem_type` as it is: `Model.forward` takes labels of one kind, then of another."""
    token = _keeps_config.set(True)
    try:
        yield
    finally:
        _keeps_config.reset(token)


def is_config_kept() -> bool:
    """Whether the first loss leaves the config as it is."""
    return _keeps_config.get()


@dataclass(frozen=True)
class ModelSpec:
    """What an architecture is, declared once.

    Attributes:
        model_type: as config.json has it.
        name: for people, and how the names of its classes begin: "BERT", ("Bert",).
        class_prefixes: see `name`.
        config_class: its config.
        module: its file in `bertx.models`.
        tokenizers: the names of its tokenizer classes; the first is used where a folder names none.
        parts: keys of its config that are configs of models inside it → the pipeline tags of those.
        class_aliases: other names of classes, such as TensorFlow's and Flax's, without TF and Flax → PyTorch's.
        naming: format → what its names have of their own for this architecture, or in words why it cannot hold it.
            safetensors, pytorch and npz hold every architecture.
    """

    model_type: str
    name: str
    class_prefixes: tuple[str, ...]
    config_class: type[ModelConfig]
    module: str
    tokenizers: tuple[str, ...]
    class_aliases: Mapping[str, str] = field(default_factory=dict)
    naming: Mapping[str, Naming | str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    def owns(self, class_name: str) -> bool:
        """Whether a class is called as one of this architecture, a user's own head among them."""
        prefixes = "|".join(self.class_prefixes)
        return re.fullmatch(rf"(TF|Flax)?({prefixes})(Model|LMHead|PreTrained|For[A-Z])\w*", class_name) is not None


class _Models(Mapping[str, ModelSpec]):
    """model_type → the spec, from the file of this package that has its name, imported when first asked for."""

    def __init__(self) -> None:
        names = [file.name for file in pkgutil.iter_modules([str(Path(__file__).parent)]) if file.name != "base"]
        self._files = {name.replace("_", "-"): name for name in names}

    def __getitem__(self, model_type: str) -> ModelSpec:
        return importlib.import_module(f"{__package__}.{self._files[model_type]}").SPEC

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


MODELS: Mapping[str, ModelSpec] = _Models()


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _is_int(value: Any, least: int | None = None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least)


def _label_id(key: Any) -> int | None:
    """The number that a key of id2label means; None where it is none."""
    if _is_int(key):
        return key
    try:
        return int(key) if isinstance(key, str) else None
    except ValueError:
        return None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
