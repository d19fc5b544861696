"""The chunks of a job on the machines of a Ray cluster; what a lost worker had is computed again."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from bertx_weights.containers.libraries import needs

from .job import Answer, Answers, Chunk, inputs_of
from .records import WrongUsage

_AHEAD = 3  # chunks for each worker that are read before the first of them is whole
_CONNECT = 5  # seconds for a connection, and for its first answer
# How a client of HTTP/2, which gRPC is on, begins: with an empty frame of settings. The server's first is one too.
_SETTINGS = b"\x04"
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + b"\0" * 5
# Ray sets OMP_NUM_THREADS to the processors of a worker; these are what tokenizers, TensorFlow and XLA go by.
_THREADS = ("RAYON_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "NPROC")


class _Worker:
    """A process with a model."""

    def __init__(self, begin: Callable[[], Answer]):
        self._begin, self._answer = begin, None
        if "OMP_NUM_THREADS" in os.environ:
            for name in _THREADS:
                os.environ.setdefault(name, os.environ["OMP_NUM_THREADS"])

    def answers(self, inputs: list[Any]) -> Answers:
        """Those of a chunk: vectors as one array, which travels as it lies; the first call loads the model."""
        if self._answer is None:
            self._answer = self._begin()
        return self._answer(inputs)


def on_workers(
    address: str, count: int | None, gpu: bool, begin: Callable[[], Answer], chunks: Iterator[Chunk]
) -> Iterator[tuple[Chunk, Answers]]:
    """Yields chunks with their answers, in order.

    Args:
        address: of the cluster; "local" starts one on this machine.
        count: how many workers; None is one a machine.
        gpu: whether each needs one.
        begin: called once in each worker, gives the function from inputs to answers.
        chunks: what to compute; a few are read ahead.

    Raises:
        WrongUsage: there is no such cluster, or it has not the processors or GPUs.
        ValueError: a worker cannot compute answers.
    """
    ray = needs("ray", "ray", "--ray needs")
    _check_address(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError, RuntimeError) as error:
        hint = ""
        if address not in ("auto", "local"):  # what answers there is all that is known
            hint = ": is it a Ray of this version, with this machine's token (RAY_AUTH_TOKEN, ~/.ray/auth_token)?"
        raise WrongUsage(f"--ray {address}: {error}{hint}") from error
    try:
        workers = _started(ray, count, gpu, begin)
        running: list[list[Any]] = [[] for _ in workers]
        held: deque[tuple[Chunk, Any]] = deque()

        def first() -> tuple[Chunk, Answers]:
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
            ref = workers[free].answers.remote(inputs_of(chunk[0]))
            running[free].append(ref)
            held.append((chunk, ref))
            if len(held) == _AHEAD * len(workers):
                yield first()
        while held:
            yield first()
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raises WrongUsage where no gRPC server answers: Ray waits for minutes, or ends the process."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise WrongUsage(
            f"--ray {address}: expected HOST:PORT, ray://HOST:PORT, auto, or local to start a cluster here"
        )
    hint = "give the address that `ray start --head` printed on the first machine, or local to start a cluster here"
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _CONNECT) as connection:
            if "RAY_USE_TLS" in os.environ:
                return
            connection.sendall(_HTTP2)
            answer = connection.recv(9)
    except OSError as error:
        raise WrongUsage(f"--ray {address}: {host}, port {port} does not answer ({error}): {hint}") from error
    if answer[3:4] != _SETTINGS:
        raise WrongUsage(f"--ray {address}: what answers at {host}, port {port} is no Ray: {hint}")


def _started(ray: Any, count: int | None, gpu: bool, begin: Callable[[], Answer]) -> list[Any]:
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
