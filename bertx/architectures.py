"""Which head a task runs, and the weight schema of each head, derived from the spec."""

from __future__ import annotations

import functools
from collections.abc import Collection

from bertx_weights import Row

from .backend import without_parameters
from .config import BertConfig

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


def architecture_of_task(task: str) -> str:
    """The class that a pipeline tag runs.

    Raises:
        ValueError: no such task; the message lists those there are.
    """
    if task not in TASKS:
        raise ValueError(f"there is no task {task!r}; those known are {', '.join(TASKS)}")
    return TASKS[task]


def task_of_architecture(architecture: str) -> str:
    """The pipeline tag of a class."""
    return next(task for task, name in TASKS.items() if name == architecture)


def own_architecture(config: BertConfig, names: Collection[str]) -> str:
    """The head that a checkpoint was saved with: what its config says, else what its tensors (schema names) show.

    Raises:
        ValueError: neither tells.
    """
    for written in config.architectures or ():
        plain = written.removeprefix("TF").removeprefix("Flax")
        plain = _ALIASES.get(plain, plain)
        if plain in ARCHITECTURES:
            return plain

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
            f"config.json names no architecture that bertx knows ({config.architectures}), and a classifier can be "
            "text-classification, token-classification or multiple-choice: say which with task="
        )
    return "BertModel"


@functools.lru_cache(maxsize=64)
def schema(architecture: str, config: BertConfig, add_pooling_layer: bool = True) -> tuple[Row, ...]:
    """The rows of one head: made by running its constructor in the spec, without any tensor."""
    from .spec import heads, nn

    options = {"add_pooling_layer": add_pooling_layer} if architecture == "BertModel" else {}
    with without_parameters():
        model = getattr(heads, architecture)(config, **options)
    rows, owners = [], {}
    for name, parameter in nn.parameters(model):
        rows.append(Row(name, parameter.shape, "float32", tied_to=owners.get(id(parameter))))
        owners.setdefault(id(parameter), name)
    return tuple(rows)


def known_names(config: BertConfig) -> frozenset[str]:
    """The names of every head's tensors, so that a tensor of another head is told from a stray one."""
    return frozenset(row.name for architecture in ARCHITECTURES[1:] for row in schema(architecture, config))
