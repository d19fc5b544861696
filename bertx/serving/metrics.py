"""Metrics for Prometheus, by the names of text-embeddings-inference."""

from __future__ import annotations

import os
import re
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from .engine import Batch

# Where the processes of one server share their numbers, by the name that prometheus-client has for it.
SHARED = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
_STAGES = ("", "_tokenization", "_queue", "_inference")
# Where prometheus-client writes `te_request_count_total`, text-embeddings-inference has `te_request_count`.
_TOTAL = re.compile(rb"^((?:# (?:HELP|TYPE) )?te_\w+?)_total\b", re.MULTILINE)


class Metrics:
    """What a server counts."""

    def __init__(self, queue_size: Any):
        """`queue_size`: a function that gives how many requests wait."""
        self._registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry}
        self.requests = Counter("te_request_count", "Requests that were accepted", ["method"], **own)
        self.successes = Counter("te_request_success", "Requests that were answered", ["method"], **own)
        self.failures = Counter("te_request_failure", "Requests that were refused or failed", ["err"], **own)
        self._inputs = {
            "feature-extraction": Counter("te_embed_count", "Texts that were embedded", **own),
            "text-classification": Counter("te_predict_count", "Texts or pairs that were classified", **own),
        }
        self._durations = [
            Histogram(f"te_request{stage}_duration", "Seconds of a request", buckets=_SECONDS, **own)
            for stage in _STAGES
        ]
        self._batch_size = Histogram("te_batch_next_size", "Requests of a batch", buckets=_SIZES, **own)
        self._batch_tokens = Histogram("te_batch_next_tokens", "Tokens of a batch", buckets=_SIZES, **own)
        self._input_length = Histogram("te_request_input_length", "Tokens of a request", buckets=_SIZES, **own)
        self._queue_size = Gauge("te_queue_size", "Requests that wait", multiprocess_mode="livesum", **own)
        self._waiting = queue_size

    def batch(self, batch: Batch) -> None:
        """Counts a batch."""
        self._batch_size.observe(batch.jobs)
        self._batch_tokens.observe(batch.tokens)
        self._queue_size.set(self._waiting())

    def asked(self, task: str, inputs: int) -> None:
        """Counts the inputs of a request."""
        if task in self._inputs:
            self._inputs[task].inc(inputs)

    def answered(
        self, method: str, tokens: int, total: float, tokenization: float, queue: float, inference: float
    ) -> None:
        """Counts an answer, and the seconds that it took."""
        self.successes.labels(method).inc()
        self._input_length.observe(tokens)
        for histogram, seconds in zip(self._durations, (total, tokenization, queue, inference), strict=True):
            histogram.observe(seconds)

    def text(self) -> bytes:
        """All of them, of every process of this server."""
        self._queue_size.set(self._waiting())
        registry = self._registry
        if os.environ.get(SHARED):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return _TOTAL.sub(rb"\1", generate_latest(registry))
