"""Python's garbage collector, kept from looking through what is no garbage."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_holding = 0
_was_enabled = False


@contextlib.contextmanager
def held_off() -> Iterator[None]:
    """No collection inside, in any thread; afterwards the collector is as it was.

    To import a framework and build a model makes some 200,000 objects, among which the collector looks for cycles in
    vain, several times over: see benchmarks/decisions.md.
    """
    global _holding, _was_enabled
    with _lock:
        if not _holding:
            _was_enabled = gc.isenabled()
            gc.disable()
        _holding += 1
    try:
        yield
    finally:
        with _lock:
            _holding -= 1
            if not _holding and _was_enabled:
                if not gc.get_freeze_count():  # to the oldest generation, so that the next short collection is short
                    gc.freeze()
                    gc.unfreeze()
                gc.enable()


def leave_alone() -> None:
    """Collects once, and leaves what is there out of all further collections."""
    gc.collect()
    gc.freeze()
