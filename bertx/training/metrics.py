"""Metrics of each task: those of scikit-learn, SciPy and rouge-score; entities as by conlleval, answers as by SQuAD.

The libraries are imported when they are needed: `pip install 'bertx[train]'`. seqeval is none of them: it has had no
release since 2020 and no wheel, and its build failed in 2026; `entities` gives what it does by default.
"""

from __future__ import annotations

import collections
import importlib
import re
import string
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bertx_weights.containers.libraries import needs

from ..configs.base import ModelConfig
from ..data.rows import Row
from ..generation.config import generation_config_of
from ..models.layers.losses import IGNORE_INDEX
from ..registry import check_task

Arrays = Mapping[str, np.ndarray]


class Metrics(ABC):
    """The metrics of one task: batches are added, and only what the metrics need of them is kept."""

    @abstractmethod
    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """Adds a batch.

        Args:
            outputs: of the model's forward, by the hub's names ("logits", "start_logits", …).
            batch: with the labels, as a collator gives it.
        """

    @property
    def needs_rows(self) -> bool:
        """Whether they are of the texts of rows: each batch that was added then goes to `add_rows` too."""
        return False

    def written(self, generate: Callable[..., list[list[int]]], batch: Arrays) -> Mapping[str, Any]:
        """What metrics of texts that are written add to the outputs of a batch.

        `generate`: that of the trainer, a function of a batch, a GenerationConfig and options of its loop.
        """
        return {}

    def add_rows(self, outputs: Arrays, rows: Sequence[Row]) -> None:
        """Adds the rows of a batch that was added, in their order."""
        raise TypeError("these metrics are of no texts")

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Name → value over all batches, the one that a run is judged by first.

        Raises:
            ValueError: no batch was added.
            MissingExtraError: a library is not installed.
        """


def metrics_of(task: str, config: ModelConfig, collate: Any = None) -> Metrics:
    """The metrics of a task, empty.

    `collate`: the task's collator, for metrics of texts: those of question answering and summarization.

    - text-classification: accuracy and F1 (macro; of two classes, of the second; several labels: micro, and macro as
      f1_macro, and accuracy where all labels of a text are right); of numbers Pearson's and Spearman's correlation
      and the mean squared error;
    - token-classification: F1, precision and recall of entities, accuracy of tokens; where the labels are not those of
      entities (B-PER, O), as parts of speech, accuracy and macro F1 of tokens;
    - multiple-choice, next-sentence-prediction: accuracy;
    - question-answering: with rows, SQuAD's F1 and exact match of the answers (`squad`); the share of windows whose
      first and last token are right;
    - fill-mask: perplexity and accuracy of the hidden tokens; pretraining: of the next sentence too;
    - summarization: ROUGE-1, -2 and -L, in percent, of what greedy search writes, or the search that the checkpoint's
      config names (Lin 2004; F-measures of stems, by the library rouge-score);
    - sentence-similarity: of scored pairs Spearman's and Pearson's correlation of the scores with the cosines; else the
      share of anchors to which of the batch's texts their own positive is the nearest, and of triplets whose positive
      is nearer than their negative.

    Raises:
        ValueError: a task without metrics.
    """
    task = task if task in _METRICS else check_task(task)
    if task == "question-answering":
        return _Answers(collate)
    if task == "summarization":
        return _Summaries(config, collate)
    if task == "text-classification" and (config.problem_type or "").startswith("multi"):
        return _MultiLabel()
    if task == "text-classification" and (config.problem_type == "regression" or config.num_labels == 1):
        return _Regression()
    if task == "token-classification" and not all(map(_TAG.fullmatch, config.labels)):
        return _Classes(config)
    if task not in _METRICS:
        raise ValueError(f"{task} has no metrics; the tasks that have are {', '.join(_METRICS)}")
    return _METRICS[task](config)


class _Kept(Metrics):
    """Keeps arrays of predictions and labels."""

    def __init__(self, config: ModelConfig | None = None):
        self._config = config
        self._predicted: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    def _keep(self, predicted: np.ndarray, labels: np.ndarray) -> None:
        self._predicted.append(np.asarray(predicted))
        self._labels.append(np.asarray(labels))

    def _kept(self) -> tuple[np.ndarray, np.ndarray]:
        if not self._labels:
            raise ValueError("no batch was added: there is nothing to compute metrics of")
        return np.concatenate(self._predicted), np.concatenate(self._labels)


class _Classes(_Kept):
    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        counted = batch["labels"] != IGNORE_INDEX
        self._keep(outputs["logits"].argmax(-1)[counted], batch["labels"][counted])

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        predicted, labels = self._kept()
        sklearn = _library("sklearn.metrics")
        number = 0 if self._config is None else self._config.num_labels or 0
        average = "binary" if number == 2 else "macro"
        return {
            "accuracy": float(sklearn.accuracy_score(labels, predicted)),
            "f1": float(sklearn.f1_score(labels, predicted, average=average, zero_division=0)),
        }


class _Accuracy(_Classes):
    def compute(self) -> dict[str, float]:
        """See Metrics."""
        predicted, labels = self._kept()
        return {"accuracy": float(_library("sklearn.metrics").accuracy_score(labels, predicted))}


class _MultiLabel(_Kept):
    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        self._keep(outputs["logits"] > 0, batch["labels"] > 0.5)  # a sigmoid of more than a half

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        predicted, labels = self._kept()
        sklearn = _library("sklearn.metrics")
        micro, macro = (
            float(sklearn.f1_score(labels, predicted, average=average, zero_division=0))
            for average in ("micro", "macro")
        )
        return {"f1": micro, "f1_macro": macro, "accuracy": float(sklearn.accuracy_score(labels, predicted))}


class _Regression(_Kept):
    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        labels = batch["labels"]
        self._keep(outputs["logits"].reshape(labels.shape), labels)

    def compute(self) -> dict[str, float]:
        """Correlations over all numbers; NaN where all predictions, or all labels, are the same."""
        predicted, labels = (values.astype(np.float64).ravel() for values in self._kept())
        mse = float(_library("sklearn.metrics").mean_squared_error(labels, predicted))
        return {**_correlations(predicted, labels), "mse": mse}


def _correlations(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Spearman's and Pearson's; NaN where all numbers of one side are the same."""
    if len(labels) < 2 or not (np.ptp(predicted) and np.ptp(labels)):
        return {"spearman": float("nan"), "pearson": float("nan")}
    stats = _library("scipy.stats")
    return {
        "spearman": float(stats.spearmanr(predicted, labels).statistic),
        "pearson": float(stats.pearsonr(predicted, labels).statistic),
    }


class _Entities(_Kept):
    """Labels of words as lists of tags, those that do not count left out."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._names = config.labels
        self._found: list[list[str]] = []
        self._expected: list[list[str]] = []

    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        for predicted, labels in zip(outputs["logits"].argmax(-1), batch["labels"], strict=True):
            counted = labels != IGNORE_INDEX
            self._found.append([self._names[i] for i in predicted[counted]])
            self._expected.append([self._names[i] for i in labels[counted]])

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        if not self._expected:
            raise ValueError("no batch was added: there is nothing to compute metrics of")
        return entities(self._found, self._expected)


class _Answers(_Kept):
    """Windows, and of those that are added with their rows the answer to each question.

    The answer is that of transformers' run_qa.py: the best span of all windows, of the likeliest starts and ends; where
    some question of the data has no answer, it is none where the [CLS] of a window is likelier than the best span.
    """

    def __init__(self, collate: Any = None):
        super().__init__()
        self._collate = collate
        self._found: list[_Answer] = []
        self._expected: list[Sequence[str]] = []

    @property
    def needs_rows(self) -> bool:
        """See Metrics."""
        return self._collate is not None

    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        names = ("start", "end")
        found = np.stack([outputs[f"{name}_logits"].argmax(-1) for name in names], axis=1)
        self._keep(found, np.stack([batch[f"{name}_positions"] for name in names], axis=1))

    def add_rows(self, outputs: Arrays, rows: Sequence[Row]) -> None:
        """See Metrics; rows are windows, and those of a question follow one another."""
        logits = zip(outputs["start_logits"], outputs["end_logits"], strict=True)
        for row, of_window in zip(rows, logits, strict=True):
            encoding, context, answers, is_first = self._collate.window(row)
            if is_first or not self._found:
                self._found.append(_Answer())
                self._expected.append(answers)
            self._found[-1].add(context, encoding, *of_window)

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        predicted, labels = self._kept()
        found = {"exact_positions": float((predicted == labels).all(1).mean())}
        if self._found:
            may_be_none = not all(map(len, self._expected))
            scores = squad([one.text(may_be_none) for one in self._found], self._expected)
            found = {"f1": scores["f1"], "exact_match": scores["exact_match"], **found}
        return found


class _Answer:
    """The best span of the windows of a question, and how likely the likeliest "none" of a window is."""

    def __init__(self) -> None:
        self._text, self._score, self._none = "", -np.inf, np.inf

    def add(self, context: str, encoding: Any, start: np.ndarray, end: np.ndarray) -> None:
        """A window, by its `tokenizers.Encoding`."""
        self._none = min(self._none, float(start[0]) + float(end[0]))
        tokens = [i for i, sequence in enumerate(encoding.sequence_ids) if sequence == 1]
        best = [np.argsort(-scores[: len(encoding)], kind="stable")[:_CANDIDATES] for scores in (start, end)]
        for first in best[0]:
            for last in best[1]:
                score = float(start[first]) + float(end[last])
                if not (first in tokens and last in tokens and 0 <= last - first < _LONGEST_ANSWER):
                    continue
                text = context[encoding.offsets[first][0] : encoding.offsets[last][1]]
                if score > self._score and text:
                    self._text, self._score = text, score

    def text(self, may_be_none: bool) -> str:
        """The answer; "" for none."""
        return "" if may_be_none and self._none > self._score else self._text


_CANDIDATES, _LONGEST_ANSWER = 20, 30  # n_best_size and max_answer_length of run_qa.py


class _Summaries(Metrics):
    """ROUGE of what a model writes and of the summaries of rows, as transformers' run_summarization.py has it."""

    def __init__(self, config: ModelConfig, collate: Any):
        self._collate = collate
        self._scorer = _library("rouge_score.rouge_scorer").RougeScorer(list(_ROUGE), use_stemmer=True)
        generation, room = generation_config_of(None, config), collate.max_target_length
        if generation.max_length is None and generation.max_new_tokens is None:
            generation = generation.replace(max_new_tokens=room)
        self._generation = generation
        self._scores: list[list[float]] = []

    @property
    def needs_rows(self) -> bool:
        """See Metrics."""
        return True

    def written(self, generate: Callable[..., list[list[int]]], batch: Arrays) -> Mapping[str, Any]:
        """See Metrics."""
        collate = self._collate
        positions = collate.config.decoder.max_sequence_length
        return {"sequences": generate(batch, self._generation, positions=positions, tokenizer=collate.tokenizer)}

    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics; they are of texts alone."""

    def add_rows(self, outputs: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """See Metrics."""
        for tokens, row in zip(outputs["sequences"], rows, strict=True):
            text = self._collate.tokenizer.decode(tokens, skip_special_tokens=True)
            found = self._scorer.score(self._collate.value("summary", row), text)
            self._scores.append([found[name].fmeasure for name in _ROUGE])

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        if not self._scores:
            raise ValueError("no batch was added: there is nothing to compute metrics of")
        return dict(zip(_ROUGE, (100 * np.mean(self._scores, 0)).tolist(), strict=True))


_ROUGE = ("rouge1", "rouge2", "rougeL")


class _Similarity(_Kept):
    """Cosines of pairs; or whether the positive of an anchor is the nearest."""

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._is_scored = False

    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        embeddings = outputs["sentence_embedding"].astype(np.float64)
        embeddings = embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12)
        anchors, others = embeddings[:, 0], embeddings[:, 1:].swapaxes(0, 1)  # [B, D], [K − 1, B, D]
        self._is_scored = "labels" in batch
        if self._is_scored:
            self._keep((anchors * others[0]).sum(-1), batch["labels"])
            return
        cosines = anchors @ others.reshape(-1, others.shape[-1]).T
        own = np.einsum("bd,kbd->bk", anchors, others)
        nearest = cosines.argmax(-1) == np.arange(len(anchors))
        self._keep(np.stack([nearest, own[:, 0] > own[:, -1]], axis=1), np.full(len(anchors), others.shape[0]))

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        found, labels = self._kept()
        if self._is_scored:
            return _correlations(found, labels.astype(np.float64))
        accuracy = {"accuracy": float(found[:, 0].mean())}
        return accuracy if labels[0] == 1 else {**accuracy, "triplet_accuracy": float(found[:, 1].mean())}


class _MaskedLM(Metrics):
    """Sums over the hidden tokens, so that batches of more of them count more."""

    _logits = "logits"

    def __init__(self, config: ModelConfig):
        self._loss, self._right, self._count = 0.0, 0, 0

    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        counted = batch["labels"] != IGNORE_INDEX
        logits, labels = outputs[self._logits][counted].astype(np.float64), batch["labels"][counted]
        highest = logits.max(-1, keepdims=True)
        total = np.log(np.exp(logits - highest).sum(-1)) + highest[:, 0]
        self._loss += float((total - np.take_along_axis(logits, labels[:, None], 1)[:, 0]).sum())
        self._right += int((logits.argmax(-1) == labels).sum())
        self._count += len(labels)

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        if not self._count:
            raise ValueError("no token was hidden in what was added: there is no perplexity")
        with np.errstate(over="ignore"):
            perplexity = float(np.exp(self._loss / self._count))
        return {"perplexity": perplexity, "accuracy": self._right / self._count}


class _Pretraining(_MaskedLM):
    _logits = "prediction_logits"

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self._next = _Accuracy()

    def add(self, outputs: Arrays, batch: Arrays) -> None:
        """See Metrics."""
        super().add(outputs, batch)
        self._next.add({"logits": outputs["seq_relationship_logits"]}, {"labels": batch["next_sentence_label"]})

    def compute(self) -> dict[str, float]:
        """See Metrics."""
        return {**super().compute(), "next_sentence_accuracy": self._next.compute()["accuracy"]}


_METRICS: Mapping[str, Callable[[ModelConfig], Metrics]] = {
    "text-classification": _Classes,
    "token-classification": _Entities,
    "multiple-choice": _Accuracy,
    "next-sentence-prediction": _Accuracy,
    "question-answering": _Answers,
    "fill-mask": _MaskedLM,
    "pretraining": _Pretraining,
    "sentence-similarity": _Similarity,
}


# --- texts ----------------------------------------------------------------------------------------


def entities(found: Sequence[Sequence[str]], expected: Sequence[Sequence[str]]) -> dict[str, float]:
    """F1, precision and recall of whole entities, and the accuracy of the tags; as conlleval, and seqeval's default.

    An entity is a run of tags of one type in which none but the first begins (B, S, U) and none but the last ends (E,
    L, S, U); that it begins with B is not needed. It is right if its type, its first and its last tag are.

    Args:
        found, expected: the tags of each text, such as B-PER, I-PER, O.

    Raises:
        ValueError: texts of another length than expected, or tags without a prefix.
    """
    if (lengths := [list(map(len, texts)) for texts in (found, expected)])[0] != lengths[1]:
        raise ValueError("found and expected differ in their lengths: give a tag for each")
    right = total_found = total_expected = same = 0
    for tags, expected_tags in zip(found, expected, strict=True):
        of_found, of_expected = set(_entities(tags)), set(_entities(expected_tags))
        right += len(of_found & of_expected)
        total_found += len(of_found)
        total_expected += len(of_expected)
        same += sum(a == b for a, b in zip(tags, expected_tags, strict=True))
    precision = right / total_found if total_found else 0.0
    recall = right / total_expected if total_expected else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"f1": f1, "precision": precision, "recall": recall, "accuracy": same / max(1, sum(lengths[0]))}


_TAG = re.compile("O|([BIESLU])-(.+)")


def _entities(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """(Type, first, last) of each entity."""
    first, before = 0, ("O", "")
    for index, tag in enumerate([*tags, "O"]):
        if (match := _TAG.fullmatch(tag)) is None:
            raise ValueError(
                f"the tag {tag!r:.40} is none of entities, expected O or B-, I-, E-, S-, L- or U- and a type"
            )
        now = match[1] or "O", match[2] or ""
        if before[0] in "BI" and now[0] in "IEL" and now[1] == before[1]:
            before = now
            continue
        if before[0] != "O":
            yield before[1], first, index - 1
        first, before = index, now


def squad(answers: Sequence[str], expected: Sequence[Sequence[str]]) -> dict[str, float]:
    """SQuAD's exact match and F1, in percent, as its evaluation scripts of versions 1.1 and 2.0 define them.

    Args:
        answers: to each question; "" where there is none.
        expected: the answers of each question that are right; none, or "", where it has no answer.

    Raises:
        ValueError: another number of answers than questions, or none.
    """
    if len(answers) != len(expected) or not len(answers):
        raise ValueError(f"{len(answers)} answers for {len(expected)} questions: give one for each")
    exact, f1 = 0.0, 0.0
    for answer, right in zip(answers, expected, strict=True):
        candidates = [one for one in right if _normalised(one)] or [""]
        exact += max(float(_normalised(answer) == _normalised(one)) for one in candidates)
        f1 += max(_token_f1(answer, one) for one in candidates)
    return {"exact_match": 100 * exact / len(answers), "f1": 100 * f1 / len(answers)}


def _normalised(answer: str) -> str:
    """Lower case, without punctuation, articles and further spaces."""
    text = "".join(letter for letter in answer.lower() if letter not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def _token_f1(answer: str, expected: str) -> float:
    found, right = _normalised(answer).split(), _normalised(expected).split()
    if not found or not right:
        return float(found == right)
    same = sum((collections.Counter(found) & collections.Counter(right)).values())
    return 2 * same / (len(found) + len(right))


def _library(name: str) -> Any:
    needs(name.partition(".")[0], "train", "metrics need")
    return importlib.import_module(name)
