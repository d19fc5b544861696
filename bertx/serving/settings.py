"""What a server is started with: the models, and the limits that keep its memory and its answers within bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KEY = "BERTX_API_KEY"


@dataclass(frozen=True)
class ModelSettings:
    """One model.

    Attributes:
        name: what requests call it.
        source: as `bertx.load` takes it.
        task: a pipeline tag; None is the checkpoint's own.
    """

    name: str
    source: str
    task: str | None = None


@dataclass(frozen=True)
class Settings:
    """All of a server.

    Attributes:
        models: those that are served; the first of a task answers requests that name none.
        backend, dtype, device, revision: as `bertx.load` takes them, of every model.
        pooling: of embeddings, where a checkpoint does not say how it pools.
        host, port: the address; port 0 takes a free one.
        max_batch_tokens: the most tokens that are taken from the queue at once.
        max_wait: seconds that a request waits for others to share its batch, at most, or a fifth of the time that the
            last batch took, 0.1 s at most, where that is more; 0: it never waits.
        max_concurrent_requests: how many requests may be there at once; further ones are refused with 429.
        max_client_requests: how many of them one client may have, by its API key or its address; None is no limit.
        max_client_batch_size: the most inputs of a request.
        payload_limit: the most bytes of a request.
        timeout: seconds after which a request is given up.
        api_keys: one of them must come with a request; none: no key is asked for.
        cors_allow_origin: the origins whose pages may call this server from a browser.
        workers: how many processes serve.
    """

    models: tuple[ModelSettings, ...]
    backend: str | None = None
    dtype: str = "float32"
    device: str | None = None
    revision: str | None = None
    pooling: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    max_batch_tokens: int = 16384
    max_wait: float = 0.005
    max_concurrent_requests: int = 512
    max_client_requests: int | None = None
    max_client_batch_size: int = 32
    payload_limit: int = 2_000_000
    timeout: float = 60.0
    api_keys: tuple[str, ...] = ()
    cors_allow_origin: tuple[str, ...] = ()
    workers: int = 1


def model_settings(source: str, task: str | None = None) -> ModelSettings:
    """The settings of SOURCE or NAME=SOURCE: a folder is called by its own name, any other source as it is written."""
    name, named, rest = source.partition("=")
    if named and name and "/" not in name:
        return ModelSettings(name, rest, task)
    folder = Path(source)
    return ModelSettings(folder.resolve().name if folder.is_dir() else source, source, task)


def api_keys(file: Path | None, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The API keys of a file, or the one of the environment.

    They are never taken from the command line, which every user of the machine can read.

    Raises:
        ValueError: a file or a variable without a key in it: the server would be open.
    """
    if file is not None:
        lines, where = file.read_text(encoding="utf-8").splitlines(), str(file)
    elif KEY in environment:
        lines, where = [environment[KEY]], KEY
    else:
        return ()
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise ValueError(f"{where} has no API key: the server would be open to all")
    return keys
