"""The chunks of a job on the machines of a Ray cluster; what a lost worker had is computed again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from bertx_weights.containers.libraries import needs

from .formats import Row
from .job import Chunk
from .records import Record, WrongUsage

_AHEAD = 3  # chunks for each worker that are read before the first of them is whole

Rows = Callable[[list[Record]], list[Row]]


class _Worker:
    """A process with a model."""

    def __init__(self, begin: Callable[[], Rows]):
        self._begin, self._rows = begin, None

    def rows(self, records: list[Record]) -> list[Row]:
        """Those of a chunk; the first loads the model."""
        if self._rows is None:
            self._rows = self._begin()
        return self._rows(records)


def on_workers(
    address: str, count: int | None, gpu: bool, begin: Callable[[], Rows], chunks: Iterator[Chunk]
) -> Iterator[tuple[Chunk, list[Row]]]:
    """Yields chunks with their rows, in order.

    Args:
        address: of the cluster; "local" starts one on this machine.
        count: how many workers; None is one a machine.
        gpu: whether each needs one.
        begin: called once in each worker, gives the function from records to rows.
        chunks: what to compute; a few are read ahead.

    Raises:
        WrongUsage: there is no such cluster, or it has not the processors or GPUs.
        ValueError: a worker cannot compute rows.
    """
    ray = needs("ray", "ray", "--ray needs")
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise WrongUsage(f"--ray {address}: {error}") from error
    try:
        workers = _started(ray, count, gpu, begin)
        running: list[list[Any]] = [[] for _ in workers]
        held: deque[tuple[Chunk, Any]] = deque()

        def first() -> tuple[Chunk, list[Row]]:
            chunk, ref = held.popleft()
            try:
                return chunk, ray.get(ref)
            except ray.exceptions.RayTaskError as error:
                raise ValueError(f"a worker of --ray failed: {error.cause}") from error
            except ray.exceptions.RayError as error:
                raise ValueError(f"--ray: {error}") from error

        for chunk in chunks:
            running = [ray.wait(refs, num_returns=len(refs), timeout=0)[1] if refs else [] for refs in running]
            free = min(range(len(workers)), key=lambda i: len(running[i]))
            ref = workers[free].rows.remote(chunk[0])
            running[free].append(ref)
            held.append((chunk, ref))
            if len(held) == _AHEAD * len(workers):
                yield first()
        while held:
            yield first()
    finally:
        ray.shutdown()


def _started(ray: Any, count: int | None, gpu: bool, begin: Callable[[], Rows]) -> list[Any]:
    """The workers; each has its share of the processors, by which Ray sets the threads of a process."""
    there = ray.cluster_resources()
    count = count or sum(node["Alive"] for node in ray.nodes())
    for name, kind in (("CPU", "processors"), *([("GPU", "GPUs")] if gpu else [])):
        if there.get(name, 0) < count:
            raise WrongUsage(f"--ray with {count} workers needs as many {kind}, and it has {there.get(name, 0):g}")
    make = ray.remote(_Worker).options(
        num_cpus=int(there["CPU"]) // count,
        num_gpus=int(gpu),
        max_restarts=-1,
        max_task_retries=-1,
        scheduling_strategy="SPREAD",
    )
    return [make.remote(begin) for _ in range(count)]
