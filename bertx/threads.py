"""Batches on the threads of a backend that runs several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Fewer batches than this for each thread run one after the other: to lay out the weights for a thread's products
# takes as long as a sixth of a batch.
LEAST_ROUNDS = 4


def map_batches(
    compute: Callable[[Any], Any], batches: Sequence[Any], threads: int, start: Callable[[], None] | None
) -> Iterator[Any]:
    """Yields `compute` of each batch, in order.

    On PyTorch, a batch on each core: threads share little of a fused attention, and a weight is laid out for its
    products once.

    Args:
        compute: the function.
        batches: its arguments.
        threads: as many batches run at a time; 0: one after the other, in the calling thread.
        start: what each thread calls first.
    """
    rounds = len(batches) // threads if threads else 0
    shared = rounds * threads if rounds >= LEAST_ROUNDS else 0
    if shared:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(threads, "bertx", start) as pool:
            yield from pool.map(compute, batches[:shared])
    yield from map(compute, batches[shared:])
