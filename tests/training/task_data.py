"""Rows for each task that `bertx.train` knows, made of the reviews, and a small checkpoint with the task's head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from reviews import OPINIONS, ROWS, STARS, SUBJECTS, TAGS, WORDS, write_vocabulary

import bertx_numpy
from bertx import BertConfig
from bertx.registry import made_config

LENGTH = 24


class Case(NamedTuple):
    """A task, the class of its head, its rows, or the version of a file of SQuAD, and what the config has of it."""

    task: str
    head: str
    rows: list | str
    config: dict = {}


def _labels(*names):
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


_OTHER = {"good": "bad", "bad": "good"}


def _like(row, i):
    """One of the opinions with the label of a row."""
    return OPINIONS[row["label"]][i % 5]


def _unlike(row, i):
    return OPINIONS[_OTHER[row["label"]]][i % 5]


NUMBERED = list(enumerate(ROWS))
CHOICES = [
    {"question": row["text"], "choices": [_like(row, i + 2), _unlike(row, i)][:: 1 - 2 * (i % 2)], "label": i % 2}
    for i, row in NUMBERED
]
NEXT = [
    {"text": row["text"], "text_pair": f"{SUBJECTS[i % 8]} {of(row, i)}", "label": label}
    for i, row in NUMBERED
    for of, label in [(_unlike, 1) if i % 3 == 0 else (_like, 0)]
]
DOCUMENTS = [
    {"sentences": [f"{subject} {opinion}" for opinion in of_label]}
    for of_label in OPINIONS.values()
    for subject in SUBJECTS
]
PAIRS = [{"anchor": row["text"], "positive": _like(row, i + 1)} for i, row in NUMBERED]
TRIPLETS = [{**pair, "negative": _unlike(row, i)} for pair, (i, row) in zip(PAIRS, NUMBERED, strict=True)]
SCORED = [
    {"sentence1": row["text"], "sentence2": other["text"], "score": 0.9 if row["label"] == other["label"] else 0.1}
    for row, other in zip(ROWS, ROWS[33:] + ROWS[:33], strict=True)
]
SUMMARIES = [
    {"text": f"{row['text']} and {SUBJECTS[i % 8]} {_unlike(row, i)}", "summary": row["text"]} for i, row in NUMBERED
]
CASES = {
    "single": Case("text-classification", "BertForSequenceClassification", ROWS, _labels("bad", "good")),
    "several": Case(
        "text-classification",
        "BertForSequenceClassification",
        TAGS,
        _labels("bad", "food", "good") | {"problem_type": "multi_label_classification"},
    ),
    "numbers": Case(
        "text-classification", "BertForSequenceClassification", STARS, _labels("stars") | {"problem_type": "regression"}
    ),
    "tags": Case("token-classification", "BertForTokenClassification", WORDS, _labels("B-THING", "O")),
    "squad1": Case("question-answering", "BertForQuestionAnswering", "1.1"),
    "squad2": Case("question-answering", "BertForQuestionAnswering", "v2.0"),
    "choices": Case("multiple-choice", "BertForMultipleChoice", CHOICES),
    "next": Case("next-sentence-prediction", "BertForNextSentencePrediction", NEXT),
    "masked": Case("fill-mask", "BertForMaskedLM", [{"text": row["text"]} for row in ROWS]),
    "pretraining": Case("pretraining", "BertForPreTraining", DOCUMENTS),
    "summaries": Case("summarization", "EncoderDecoderModel", SUMMARIES),
    "pairs": Case("feature-extraction", "BertModel", PAIRS),
    "triplets": Case("feature-extraction", "BertModel", TRIPLETS),
    "scores": Case("feature-extraction", "BertModel", SCORED),
}


def write_checkpoint(folder: Path, case: Case, **changes) -> Path:
    """A model with the head of a case, without dropout, and the tokenizer of the reviews."""
    size = write_vocabulary(folder)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    fields = {"vocab_size": size, "max_position_embeddings": 32, "initializer_range": 0.1}
    fields |= shape | still | case.config | changes
    if case.head == "EncoderDecoderModel":
        config = made_config("encoder-decoder", **fields).replace(
            decoder_start_token_id=2, pad_token_id=0, eos_token_id=3
        )
    else:
        config = BertConfig(**fields)
    getattr(bertx_numpy, case.head)(config).save_pretrained(folder)
    return folder


def write_squad(path: Path, version: str) -> Path:
    """A file of SQuAD: of each subject what it was; in version 2 a third of the questions has no answer."""
    articles = []
    for i, subject in enumerate(SUBJECTS):
        paragraphs = []
        for label, opinions in OPINIONS.items():
            questions = []
            context = f"{subject} {opinions[i % 5]} . {SUBJECTS[i - 3]} {opinions[i % 5 - 2]} ."
            for j, asked in enumerate((subject, SUBJECTS[i - 3], SUBJECTS[i - 5])):
                answer = opinions[i % 5] if j == 0 else opinions[i % 5 - 2]
                answers = [{"text": answer, "answer_start": context.index(answer)}]
                question = {"id": f"{i} {label} {j}", "question": f"what was {asked}", "answers": answers}
                if j == 2:
                    if version == "1.1":
                        continue
                    question["answers"] = []
                questions.append(question | ({"is_impossible": j == 2} if version != "1.1" else {}))
            paragraphs.append({"context": context, "qas": questions})
        articles.append({"title": subject, "paragraphs": paragraphs})
    path.write_text(json.dumps({"version": version, "data": articles}))
    return path


def rows_of(case: Case, folder: Path):
    """The rows of a case, or the file that has them."""
    return case.rows if isinstance(case.rows, list) else write_squad(folder / "squad.json", case.rows)
