"""Which head a task runs, and the weight schema of each head, derived from the spec."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bertx_weights import Row

from .backend import without_parameters
from .configs.bert import BertConfig
from .printable import printable

TASKS = {
    "feature-extraction": "BertModel",
    "fill-mask": "BertForMaskedLM",
    "text-classification": "BertForSequenceClassification",
    "token-classification": "BertForTokenClassification",
    "question-answering": "BertForQuestionAnswering",
    "multiple-choice": "BertForMultipleChoice",
    "next-sentence-prediction": "BertForNextSentencePrediction",
    "text-generation": "BertLMHeadModel",
    "pretraining": "BertForPreTraining",
}
ARCHITECTURES = tuple(TASKS.values())
# TensorFlow's and Flax's names for a class, as their config.json has them.
_ALIASES = {"BertForCausalLM": "BertLMHeadModel"}
# What a class of BERT's is called, a user's own head among them; "BertGenerationEncoder" is of another family.
_OF_BERT = re.compile(r"(TF|Flax)?Bert(Model|LMHead|PreTrained|For[A-Z])\w*")


# Older names of pipeline tags that transformers takes too.
_TASK_ALIASES = {"ner": "token-classification", "sentiment-analysis": "text-classification"}
# Heads whose `classifier` has the same names, and with as many labels the same shapes.
_CLASSIFIERS = ("BertForSequenceClassification", "BertForTokenClassification", "BertForMultipleChoice")


def architecture_of_task(task: str) -> str:
    """The class that a pipeline tag runs, also by its older names "ner" and "sentiment-analysis".

    Raises:
        ValueError: no such task; the message lists those there are.
    """
    task = _TASK_ALIASES.get(task, task)
    if task not in TASKS:
        raise ValueError(f"there is no task {task!r}; those known are {', '.join(TASKS)}")
    return TASKS[task]


def task_of_architecture(architecture: str) -> str:
    """The pipeline tag of a class."""
    return next(task for task, name in TASKS.items() if name == architecture)


def trained_as(config: BertConfig, architecture: str) -> str | None:
    """The class that a checkpoint says its classifier was trained in, where that is not the one it is loaded into."""
    if architecture not in _CLASSIFIERS:
        return None
    plain = {name.removeprefix("TF").removeprefix("Flax") for name in config.architectures or ()}
    return next((name for name in _CLASSIFIERS if name in plain and architecture not in plain), None)


def _shown(names: Iterable[str]) -> str:
    return printable(", ".join(name or "''" for name in names))


def check_family(values: Mapping[str, Any]) -> None:
    """Raises ValueError where a config.json has no `model_type` and names a class that is not one of BERT's.

    Encoders of other families have tensors of the same names and shapes, and compute something else.
    """
    if values.get("model_type") not in (None, ""):
        return  # BertConfig takes "bert" alone
    stated = BertConfig.from_dict(values).architectures or ()
    if strange := [name for name in stated if not _OF_BERT.fullmatch(name)]:
        raise ValueError(
            f"architectures names {_shown(strange)}, which is no class of BERT, and there is no model_type: bertx runs "
            'BERT alone; where the class is your own and its encoder BERT, add "model_type": "bert" and name the '
            "head with task="
        )


def _known_architecture(written: str) -> str | None:
    plain = written.removeprefix("TF").removeprefix("Flax")
    plain = _ALIASES.get(plain, plain)
    return plain if plain in ARCHITECTURES else None


def _own_code(config: BertConfig) -> list[str]:
    """The model classes that a checkpoint brings its own code for."""
    entries = config.extra.get("auto_map")
    entries = entries if isinstance(entries, Mapping) else {}
    return [str(value) for key, value in entries.items() if re.match("(TF|Flax)?AutoModel", str(key))]


def own_architecture(config: BertConfig, names: Collection[str]) -> str:
    """The head that a checkpoint was saved with: what its config says, else what its tensors (schema names) show.

    Raises:
        ValueError: neither tells, or the config names a class that bertx does not have.
    """
    if classes := _own_code(config):
        raise ValueError(
            f"auto_map names classes of the checkpoint's own code, {', '.join(classes)}, which bertx does not run: if "
            "its weights are a plain BERT's, name the head with task="
        )
    stated = config.architectures or ()
    for written in stated:
        if known := _known_architecture(written):
            return known
    if stated:
        raise ValueError(
            f"architectures names {_shown(stated)}, which bertx does not have: if its encoder is a plain "
            f"BERT, name the head with task=; bertx has {', '.join(ARCHITECTURES)}"
        )

    def holds(prefix: str) -> bool:
        return any(name.startswith(prefix) for name in names)

    if holds("cls.predictions."):
        if holds("cls.seq_relationship."):
            return "BertForPreTraining"
        return "BertLMHeadModel" if config.is_decoder else "BertForMaskedLM"
    if holds("cls.seq_relationship."):
        return "BertForNextSentencePrediction"
    if holds("qa_outputs."):
        return "BertForQuestionAnswering"
    if holds("classifier."):
        raise ValueError(
            "config.json names no architecture, and a classifier can be text-classification, token-classification or "
            "multiple-choice: say which with task="
        )
    return "BertModel"


@functools.lru_cache(maxsize=64)
def schema(architecture: str, config: BertConfig, add_pooling_layer: bool = True) -> tuple[Row, ...]:
    """The rows of one head: made by running its constructor in the spec, without any tensor."""
    from .models import heads, nn

    options = {"add_pooling_layer": add_pooling_layer} if architecture == "BertModel" else {}
    with without_parameters():
        model = getattr(heads, architecture)(config, **options)
    rows, owners = [], {}
    for name, parameter in nn.parameters(model):
        rows.append(Row(name, parameter.shape, "float32", tied_to=owners.get(id(parameter))))
        owners.setdefault(id(parameter), name)
    return tuple(rows)


@functools.lru_cache(maxsize=8)
def known_names(config: BertConfig) -> frozenset[str]:
    """The names of every head's tensors, so that a tensor of another head is told from a stray one."""
    return frozenset(row.name for architecture in ARCHITECTURES[1:] for row in schema(architecture, config))
