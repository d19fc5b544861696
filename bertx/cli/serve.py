"""The verb that serves models over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bertx_weights import MissingExtraError

from ..serving.settings import KEY, ModelSettings, Settings, api_keys, model_settings
from .options import (
    SOURCE_HELP,
    BackendOption,
    DeviceOption,
    DtypeOption,
    RevisionOption,
    completed,
    epilog,
    known_task,
    task_names,
)
from .records import WrongUsage

_PORT = 8080


def _known_tasks(tasks: list[str] | None) -> list[str] | None:
    for task in tasks or []:
        known_task(task)
    return tasks


def _modes() -> Sequence[str]:
    from ..models.sentence_embedding import MODES

    return tuple(MODES)


def _known_pooling(mode: str | None) -> str | None:
    if mode is not None and mode not in _modes():
        raise typer.BadParameter(f"{mode!r} is none of {', '.join(_modes())}")
    return mode


def serve(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            envvar="BERTX_SOURCE",
            help=f"{SOURCE_HELP} NAME=SOURCE gives it a name.",
            show_default=False,
        ),
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            callback=_known_tasks,
            autocompletion=completed(task_names),
            help="A pipeline tag such as fill-mask, once for all models or once for each; else the checkpoint's.",
        ),
    ] = None,
    backend: BackendOption = None,
    dtype: DtypeOption = "float32",
    device: DeviceOption = None,
    revision: RevisionOption = None,
    pooling: Annotated[
        str | None,
        typer.Option(
            callback=_known_pooling,
            autocompletion=completed(_modes),
            help="Of embeddings: mean, cls or max; else the checkpoint's own.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(envvar="BERTX_HOST", help="The address to listen on; 0.0.0.0 is every one.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=0, max=65535, help="8080, or AIP_HTTP_PORT; 0 takes a free one.")
    ] = None,
    max_batch_tokens: Annotated[int, typer.Option(min=1, help="The most tokens taken from the queue at once.")] = 16384,
    max_wait: Annotated[
        float, typer.Option(min=0, max=1000, help="Milliseconds that a request waits for others, at most; 0: never.")
    ] = 5.0,
    max_concurrent_requests: Annotated[
        int, typer.Option(min=1, help="How many requests are taken at once; others get 429.")
    ] = 512,
    max_client_requests: Annotated[
        int | None, typer.Option(min=1, help="How many of them one client may have, by its key or address.")
    ] = None,
    max_client_batch_size: Annotated[int, typer.Option(min=1, help="The most inputs of a request.")] = 32,
    payload_limit: Annotated[int, typer.Option(min=1, help="The most bytes of a request.")] = 2_000_000,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds after which a request is given up.")] = 60.0,
    api_key_file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help=f"API keys, one a line; else {KEY} has one. None: no key."),
    ] = None,
    cors_allow_origin: Annotated[
        list[str] | None, typer.Option(help="A web page's origin that may call; may be given several times.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many processes serve.")] = 1,
) -> None:
    """Serve models over HTTP, as text-embeddings-inference and OpenAI's embeddings do; a page at / tries them."""
    try:
        from ..serving.run import serve as run
    except ImportError as error:
        raise MissingExtraError(
            f"bertx serve needs {error.name}, not installed here: pip install 'bertx[serve]'"
        ) from error
    settings = Settings(
        models=_models(sources, task or []),
        backend=backend,
        dtype=dtype,
        device=device,
        revision=revision,
        pooling=pooling,
        host=host,
        port=_port() if port is None else port,
        max_batch_tokens=max_batch_tokens,
        max_wait=max_wait / 1000,
        max_concurrent_requests=max_concurrent_requests,
        max_client_requests=max_client_requests,
        max_client_batch_size=max_client_batch_size,
        payload_limit=payload_limit,
        timeout=timeout,
        api_keys=_keys(api_key_file),
        cors_allow_origin=tuple(cors_allow_origin or ()),
        workers=workers,
    )
    run(settings)


serve.epilog = epilog(
    "bertx serve all-MiniLM-L6-v2",
    "bertx serve all-MiniLM-L6-v2 rank=cross-encoder/ms-marco-MiniLM-L6-v2 --port 8081",
    "bertx serve bert-base --task fill-mask --backend numpy --host 0.0.0.0 --api-key-file keys.txt",
    codes="Exit codes: 0 when it was told to end; 1 for a model that cannot be loaded; 2 for wrong usage.",
)


def _models(sources: list[str], tasks: list[str]) -> tuple[ModelSettings, ...]:
    if len(tasks) not in (0, 1, len(sources)):
        raise WrongUsage(f"--task is given {len(tasks)} times for {len(sources)} models: once, or once for each")
    each = tasks * len(sources) if len(tasks) == 1 else tasks or [None] * len(sources)
    return tuple(model_settings(source, task) for source, task in zip(sources, each, strict=True))


def _port() -> int:
    given = os.environ.get("AIP_HTTP_PORT")
    if given is None:
        return _PORT
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise WrongUsage(f"AIP_HTTP_PORT is {given!r:.60}, expected a port")
    return int(given)


def _keys(file: Path | None) -> tuple[str, ...]:
    try:
        return api_keys(file, os.environ)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


VERBS = (serve,)
