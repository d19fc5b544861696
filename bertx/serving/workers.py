"""Several processes that serve on one socket; one that dies is replaced, and the others go on."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from .logs import log, start_logs
from .metrics import SHARED
from .server import run_worker
from .settings import Settings

_PROCESSES = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
# A worker that died is replaced after so many seconds, so that one that always dies does not keep a core busy.
_PAUSE = 1.0


def supervise(settings: Settings, listener: socket.socket) -> None:
    """Runs the workers until SIGTERM or Ctrl-C, and then until each has answered its requests.

    Raises:
        ValueError: a worker does not start.
    """
    start_logs()
    # Each worker would have a thread for every core.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // settings.workers)))
    with tempfile.TemporaryDirectory(prefix="bertx-metrics-") as shared, _signals() as stopped:
        os.environ[SHARED] = shared
        workers: list[_Worker] = []
        try:
            workers += [_Worker(settings, listener) for _ in range(settings.workers)]
            _watch(workers, settings, listener, stopped)
        finally:
            for worker in workers:
                worker.end()
            for worker in workers:
                worker.process.join(settings.timeout + 5)
                if worker.process.is_alive():
                    worker.process.kill()
            os.environ.pop(SHARED, None)


class _Worker:
    """One process, and whether it has said that it is ready."""

    def __init__(self, settings: Settings, listener: socket.socket):
        self._said, ours = _PROCESSES.Pipe(duplex=False)
        self.process = _PROCESSES.Process(target=_work, args=(settings, listener, ours), name="bertx-worker")
        self.process.start()
        ours.close()
        self.ready = False

    @property
    def events(self) -> list[Any]:
        """What `wait` wakes for."""
        return [self.process.sentinel] if self.ready else [self.process.sentinel, self._said]

    def look(self) -> bool:
        """Whether it lives; takes note of what it has said."""
        if not self.ready and self._said.poll():
            with contextlib.suppress(EOFError):
                self.ready = self._said.recv() == "ready"
        return self.process.is_alive()

    def end(self) -> None:
        """Lets it answer its requests, and end."""
        if self.process.is_alive():
            self.process.terminate()


def _watch(workers: list[_Worker], settings: Settings, listener: socket.socket, stopped: Any) -> None:
    """Replaces workers that die, until a signal comes.

    Raises:
        ValueError: one ended before it was ready, the first time.
    """
    from prometheus_client.multiprocess import mark_process_dead

    all_ready = False
    while True:
        found = wait([stopped, *(event for worker in workers for event in worker.events)])
        if stopped in found:
            return
        for i, worker in enumerate(workers):
            if worker.look():
                continue
            if not all_ready:
                raise ValueError("a worker ended while it started: its last line says why")
            log("worker died", logging.ERROR, pid=worker.process.pid, code=worker.process.exitcode)
            mark_process_dead(worker.process.pid)
            if stopped.poll(_PAUSE):
                return
            workers[i] = _Worker(settings, listener)
        if not all_ready and all(worker.ready for worker in workers):
            all_ready = True
            log("all workers ready", workers=len(workers))


@contextlib.contextmanager
def _signals() -> Iterator[Any]:
    """Something to wait for, that SIGTERM and SIGINT wake."""
    stopped, wake = _PROCESSES.Pipe(duplex=False)

    def stop(number: int, frame: Any) -> None:
        with contextlib.suppress(OSError):
            wake.send(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stopped.close()
        wake.close()


def _work(settings: Settings, listener: socket.socket, said: Connection) -> None:
    """A worker's process."""
    threading.Thread(target=_end_with_parent, name="bertx-parent", daemon=True).start()
    try:
        run_worker(settings, listener, lambda: said.send("ready"))
    except (ValueError, OSError, ImportError) as error:
        print(f"bertx: {error}", file=sys.stderr)
        sys.exit(1)


def _end_with_parent() -> None:
    """Ends this process when the one that watches it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
