"""Zero-shot classification: labels that a checkpoint was not trained on, judged by inference (Yin et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokenizers.ragged import RaggedBatch
from .options import max_tokens, takes_options
from .scores import softmax
from .streaming import InputError, batch_of, run

if TYPE_CHECKING:
    from ..model import Model


@takes_options("zero-shot-classification")
def zero_shot_classification(
    model: Model,
    texts: Any,
    candidate_labels: str | Sequence[str],
    *,
    hypothesis_template: str = "This example is {}.",
    multi_label: bool = False,
    batch_tokens: int | None = None,
) -> Any:
    """Ranks labels for texts by how far each text entails a sentence that has the label in it.

    Args:
        model: a Model of text-classification, trained on natural language inference: one of its labels begins with
            "entail".
        texts: a string, a list of them or a stream; longer ones than the model takes are truncated, hypotheses are not.
        candidate_labels: the labels, or a string of them with commas between.
        hypothesis_template: the sentence, with {} for a label.
        multi_label: whether several labels may hold: each has a probability of its own, entailment against
            contradiction. False shares one among all.
        batch_tokens: the most tokens of a batch.

    Returns:
        {"sequence": the text, "labels": the best first, "scores": theirs} of each text, as the hub's pipeline gives.

    Raises:
        ValueError: no label, a template without {}, or a model without a label for entailment.
        InputError: what is no text, or labels that leave no room for one.
    """
    labels = candidate_labels.split(",") if isinstance(candidate_labels, str) else list(candidate_labels)
    labels = [label.strip() for label in labels if label.strip()]
    if not labels:
        raise ValueError("candidate_labels is empty: give at least one")
    hypotheses = [hypothesis_template.format(label) for label in labels]
    if hypothesis_template.format("a") == hypothesis_template.format("b"):
        raise ValueError(f"hypothesis_template is {hypothesis_template!r:.60}: expected {{}} in the place of a label")
    if model.task != "text-classification":
        raise ValueError(f"the model is of {model.task}, expected text-classification")
    id2label: Any = model.config.id2label
    num_labels: Any = model.config.num_labels
    names = [str(id2label[i]) for i in range(num_labels)]
    entailing = [i for i, name in enumerate(names) if name.lower().startswith("entail")]
    if not entailing or len(names) < 2:
        raise ValueError(
            f"the model's labels are {', '.join(names)}, expected one that begins with 'entail': take a checkpoint of "
            "natural language inference, or set id2label of its config"
        )
    entailment = entailing[0]
    contradiction = len(names) - 1 if entailment == 0 else 0
    longest = max_tokens(model)
    room = longest - model.tokenizer.ragged(hypotheses, verbose=False).longest - 1

    def encode(window: list[Any]) -> RaggedBatch:
        problems = {
            i: f"is {text!r:.60}, expected a text" for i, text in enumerate(window) if not isinstance(text, str)
        }
        InputError.raise_for(
            problems or (dict.fromkeys(range(len(window)), "has no room beside a label") if room < 1 else {})
        )
        repeated = [text for text in window for _ in hypotheses]
        rows = model.tokenizer.ragged(repeated, hypotheses * len(window), truncation="only_first", max_length=longest)
        return replace(rows, samples=np.repeat(np.arange(len(window)), len(hypotheses)))

    def compute(rows: RaggedBatch) -> Sequence[np.ndarray]:
        inputs: dict[str, Any] = {**batch_of(model, rows)}
        return model.forward(**inputs)["logits"]

    def combine(text: str, rows: RaggedBatch, logits: list[np.ndarray]) -> dict[str, Any]:
        of_label = np.stack(logits)
        if multi_label or len(labels) == 1:
            scores = softmax(of_label[:, [contradiction, entailment]])[:, 1]
        else:
            scores = softmax(of_label[:, entailment])
        order = np.argsort(-scores, kind="stable")
        return {
            "sequence": text,
            "labels": [labels[i] for i in order],
            "scores": [float(scores[i]) for i in order],
        }

    return run(model, texts, encode, compute, combine, batch_tokens)
