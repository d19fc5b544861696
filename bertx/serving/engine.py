"""The engine: one thread runs the models, on the rows of as many requests as a batch has room for."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..tasks.streaming import Steps
from ..tokenizers.ragged import RaggedBatch

# For so much of the time of a batch, and so many seconds, the next one waits for the clients of both.
_SHARE, _LONGEST = 0.2, 0.1
_BATCHES = 4  # of the model, beyond which a larger one is no faster for each row


class Answered(NamedTuple):
    """What the model says of each row of a job, and how many seconds this waited in the queue and was computed."""

    answers: list[Any]
    queued: float
    computed: float


class Batch(NamedTuple):
    """A batch that was computed: how many jobs and tokens it had."""

    jobs: int
    tokens: int


@dataclass(eq=False)
class _Job:
    """The rows of one request. Those that have the same steps may share a batch."""

    steps: Steps
    rows: RaggedBatch
    tokens: int
    since: float = field(default_factory=time.perf_counter)
    future: Future[Answered] = field(default_factory=Future)


class Engine:
    """A queue of rows, and the thread that computes them.

    A batch is made of the oldest job and of all others in the queue that have the same steps, in their order, up to
    `max_batch_tokens`. Before it the thread waits for as many jobs as the last batch had and as waited for that, until
    `max_wait` after the oldest came, or a fifth of the time of the last batch after its end, 0.1 s at most: clients
    that call again with each answer then share each batch, and a client that is alone never waits. With a `max_wait` of
    0 nobody does.
    """

    def __init__(self, max_batch_tokens: int, max_wait: float, watch: Any = None):
        """Starts the thread.

        Args:
            max_batch_tokens: the most tokens of a batch; a job that has more is a batch of its own.
            max_wait: in seconds; 0: it never waits.
            watch: a function of each `Batch` before it is computed.
        """
        self._max_batch_tokens, self._max_wait = max_batch_tokens, max_wait
        self._watch = watch or (lambda batch: None)
        self._jobs: deque[_Job] = deque()
        self._tokens = 0  # of the jobs in the queue
        self._expected = 1  # how many jobs the next batch may have: those of the last one, and those that waited for it
        self._until = 0.0  # when it is no longer waited for them
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="bertx-engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many jobs are in the queue."""
        return len(self._jobs)

    def submit(self, steps: Steps, rows: RaggedBatch) -> Future[Answered]:
        """What the model says of rows, in the future; a job that is cancelled before its turn is not computed.

        Raises:
            RuntimeError: the engine is closed.
        """
        job = _Job(steps, rows, len(rows.input_ids))
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._jobs.append(job)
            self._tokens += job.tokens
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Computes what is in the queue, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._next():
            jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if jobs:
                self._watch(Batch(len(jobs), sum(job.tokens for job in jobs)))
                self._compute(jobs)

    def _next(self) -> list[_Job]:
        """The jobs of the next batch; none when the engine is closed and the queue is empty."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return []
                self._changed.wait()
            first = self._jobs[0]
            until = max(first.since + self._max_wait, self._until) if self._max_wait else 0
            enough = min(self._max_batch_tokens, _BATCHES * first.steps.batch_tokens)
            while len(self._jobs) < self._expected and self._tokens < enough and not self._closed:
                left = until - time.perf_counter()
                if left <= 0 or not self._changed.wait(left):
                    break
            return self._taken()

    def _taken(self) -> list[_Job]:
        """Takes the oldest job and those that share its batch from the queue."""
        first = self._jobs[0]
        taken, others, tokens = [], deque(), 0
        for job in self._jobs:
            if job.steps is first.steps and (not taken or tokens + job.tokens <= self._max_batch_tokens):
                taken.append(job)
                tokens += job.tokens
            else:
                others.append(job)
        self._jobs = others
        self._tokens -= tokens
        return taken

    def _compute(self, jobs: list[_Job]) -> None:
        began = time.perf_counter()
        try:
            answers = jobs[0].steps.answers(RaggedBatch.joined([job.rows for job in jobs]))
        except BaseException as error:  # whatever it is, the thread goes on
            if len(jobs) == 1:
                self._note(jobs, began)
                jobs[0].future.set_exception(error)
                return
            for job in jobs:  # so that one request does not fail the others
                self._compute([job])
            return
        computed = self._note(jobs, began)
        start = 0
        for job in jobs:
            end = start + len(job.rows)
            job.future.set_result(Answered(answers[start:end], began - job.since, computed))
            start = end

    def _note(self, jobs: list[_Job], began: float) -> float:
        """Notes a batch that has ended, before a client has its answer and calls again; gives the seconds it took."""
        ended = time.perf_counter()
        self._until = ended + min(_SHARE * (ended - began), _LONGEST)
        self._expected = len(jobs) + len(self._jobs)
        return ended - began
