"""The service: the models of one process, and how a request is answered within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from ..tasks.streaming import InputError, Steps, TooLongError, count_characters
from ..tokenizers.ragged import RaggedBatch
from . import schemas
from .engine import Answered, Engine
from .errors import RequestError, inference_failed, invalid, overloaded, too_large
from .logs import log
from .metrics import Metrics
from .routes import ANY, VERTEX, Ask, Route, Told, model_for, own_route
from .served import Served
from .settings import Settings

T = TypeVar("T")

# How many problems of a body are told, and how long the text about them is at most.
_PROBLEMS, _CHARACTERS = 10, 2000


@dataclass
class _Part:
    """What is asked of a model, in rows; or what the tokenizer has told already."""

    served: Served
    asked: Ask | Told
    encoded: tuple[Steps, RaggedBatch] | None = None

    @property
    def tokens(self) -> int:
        """Those that the model reads."""
        return 0 if self.encoded is None else len(self.encoded[1].input_ids)


@dataclass
class Work:
    """A request that was read: its parts, of which Vertex AI may send several, and what it costs.

    Attributes:
        together: the contents of the parts → the body.
    """

    parts: list[_Part]
    tokenization: float
    together: Callable[[list[Any]], Any] = field(default=lambda contents: contents[0])

    @property
    def tokens(self) -> int:
        """Those that the models read."""
        return sum(part.tokens for part in self.parts)

    @property
    def characters(self) -> int:
        """Those of the texts that the models read."""
        return sum(count_characters(part.asked.inputs) for part in self.parts if isinstance(part.asked, Ask))

    @property
    def inputs(self) -> int:
        """How many texts, pairs or questions there are."""
        return sum(map(_count, self.parts))


class Service:
    """The models, the engine and the limits of one process.

    Attributes:
        settings: what it was started with.
        models: those that are served.
        metrics: what it counts.
        draining: whether it ends as soon as the requests that it has are answered.
    """

    def __init__(self, settings: Settings, models: Sequence[Served]):
        self.settings, self.models = settings, list(models)
        self.draining = False
        self.metrics = Metrics(lambda: self._engine.waiting)
        self._engine = Engine(settings.max_batch_tokens, settings.max_wait, self.metrics.batch)
        self.tokenization_workers = min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self.tokenization_workers, "bertx-serve-tokenizer")
        self._active = 0
        self._active_of: Counter[str] = Counter()

    @property
    def alive(self) -> bool:
        """Whether its models can answer."""
        return self._engine.alive

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return self.alive and not self.draining

    def close(self) -> None:
        """Answers what it has, and ends its threads."""
        self._engine.close()
        self._pool.shutdown()

    def warm_up(self) -> None:
        """Lets each model answer once, so that what is compiled at first is compiled before a client waits.

        Raises:
            RequestError: a model does not answer.
        """
        for served in self.models:
            route = own_route(served)
            body = example(route.request, served)
            work = self._read(route, served.name, orjson.dumps(body))
            self._write(work, [self._engine.submit(*encoded).result() for encoded in _waiting(work)])

    # --- on the event loop ------------------------------------------------------------------------

    async def answer(self, request: Request, route: Route | None, name: str | None, client: str) -> tuple[bytes, Any]:
        """The body and the headers of the answer to a request.

        Args:
            request: as it came.
            route: None is the route of the model's own task.
            name: of the model, where the path has it.
            client: who is asking, for the limit of each.

        Raises:
            RequestError: it is refused, or fails.
            ClientDisconnect: the client has gone.
        """
        began = time.perf_counter()
        with self._admitted(client):
            try:
                async with asyncio.timeout(self.settings.timeout):
                    return await self._answered(request, route, name, began)
            except TimeoutError:
                seconds = self.settings.timeout
                raise RequestError(504, "Overloaded", f"no answer within {seconds:g} seconds", retry_after=1) from None

    @contextlib.contextmanager
    def _admitted(self, client: str) -> Iterator[None]:
        if self._active >= self.settings.max_concurrent_requests:
            raise overloaded("the server has as many requests as it takes: try again later")
        limit = self.settings.max_client_requests
        if limit is not None and self._active_of[client] >= limit:
            raise overloaded(f"one client may have {limit} requests at once: wait for their answers")
        self._active += 1
        self._active_of[client] += 1
        try:
            yield
        finally:
            self._active -= 1
            self._active_of[client] -= 1
            if not self._active_of[client]:
                del self._active_of[client]

    async def _answered(
        self, request: Request, route: Route | None, name: str | None, began: float
    ) -> tuple[bytes, Any]:
        content = await self._body(request)
        work = await self._off_loop(self._read, route, name, content)
        self.metrics.requests.labels(_method(work)).inc()
        for part in work.parts:
            self.metrics.asked(part.served.task, _count(part))
        waiting = [asyncio.wrap_future(self._engine.submit(*encoded)) for encoded in _waiting(work)]
        answered = await _unless_gone(request, waiting)
        content = await self._off_loop(self._write, work, answered)
        queued = max((one.queued for one in answered), default=0.0)
        computed = max((one.computed for one in answered), default=0.0)
        total = time.perf_counter() - began
        self.metrics.answered(_method(work), work.tokens, total, work.tokenization, queued, computed)
        times = {"total": total, "tokenization": work.tokenization, "queue": queued, "inference": computed}
        headers = {f"x-{name}-time": str(round(seconds * 1000)) for name, seconds in times.items()}
        headers["x-compute-characters"] = str(work.characters)
        headers["x-compute-tokens"] = str(work.tokens)
        return content, headers

    async def _body(self, request: Request) -> bytes:
        """The bytes of a request; no more than its limit are ever held."""
        limit = self.settings.payload_limit
        problem = too_large(f"the body has more than {limit} bytes")
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            raise problem
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > limit:
                raise problem
        return bytes(content)

    async def _off_loop(self, function: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *given)

    # --- on the pool ------------------------------------------------------------------------------

    def _read(self, route: Route | None, name: str | None, content: bytes) -> Work:
        """The work of a body.

        Raises:
            RequestError: it is not what the route takes.
        """
        began = time.perf_counter()
        try:
            if route is VERTEX:
                parts = self._instances(name, content)
            else:
                if route is None:
                    route = own_route(model_for(self.models, ANY, name or _named(content)))
                body = route.request.model_validate_json(content)
                parts = [self._part(route, model_for(self.models, route, _one_name(name, body)), body)]
        except ValidationError as error:
            raise invalid(_problems(error)) from None
        work = Work(parts, time.perf_counter() - began)
        self._check_size(work.inputs)
        if route is VERTEX:
            work.together = lambda contents: {"predictions": contents}
        return work

    def _instances(self, name: str | None, content: bytes) -> list[_Part]:
        """The parts of a request of Vertex AI, each for the route of the model's own task."""
        body = schemas.VertexRequest.model_validate_json(content)
        self._check_size(len(body.instances))
        if body.parameters:
            raise invalid("parameters: each instance has its own, beside its inputs")
        served = model_for(self.models, ANY, _one_name(name, body))
        route = own_route(served)
        instances = [route.request.model_validate(one) for one in body.instances]
        for one in instances:
            _one_name(served.name, one)
        return [self._part(route, served, one) for one in instances]

    def _part(self, route: Route, served: Served, body: schemas.Body) -> _Part:
        try:
            part = _Part(served, route.ask(served, body))
            self._check_size(_count(part))
            if isinstance(part.asked, Ask):
                steps = served.steps(part.asked.options, part.asked.call)
                part.encoded = steps, steps.rows(part.asked.inputs)
        except TooLongError as error:
            raise too_large(str(error)[:_CHARACTERS]) from None
        except (ValueError, TypeError) as error:  # InputError among them
            kind = "Tokenizer" if isinstance(error, InputError) else "Validation"
            raise RequestError(422, kind, str(error)[:_CHARACTERS]) from None
        return part

    def _check_size(self, inputs: int) -> None:
        most = self.settings.max_client_batch_size
        if inputs > most:
            raise too_large(f"batch size {inputs} > maximum allowed batch size {most}")

    def _write(self, work: Work, answered: Sequence[Answered]) -> bytes:
        """The body of an answer, of what the models say of the rows of each part."""
        found = iter(answered)
        contents = []
        for part in work.parts:
            if isinstance(part.asked, Told):
                contents.append(part.asked.content)
            else:
                assert part.encoded is not None
                steps, rows = part.encoded
                results = steps.results(part.asked.inputs, rows, next(found).answers)
                contents.append(part.asked.answer(results, part.tokens))
        return orjson.dumps(work.together(contents), option=orjson.OPT_SERIALIZE_NUMPY)


def _count(part: _Part) -> int:
    return part.asked.inputs if isinstance(part.asked, Told) else len(part.asked.inputs)


def _waiting(work: Work) -> list[tuple[Steps, RaggedBatch]]:
    """What a model must answer."""
    return [part.encoded for part in work.parts if part.encoded is not None]


def _method(work: Work) -> str:
    return "single" if work.inputs == 1 else "batch"


def _problems(error: ValidationError) -> str:
    """What is wrong with a body, without what it has."""
    found = {
        f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}"
        for one in error.errors(include_url=False, include_input=False)
    }
    told = sorted(found)[:_PROBLEMS]
    further = [f"and {len(found) - len(told)} more"] if len(found) > len(told) else []
    return "; ".join([*told, *further])[:_CHARACTERS]


async def _unless_gone(request: Request, waiting: Sequence[asyncio.Future[Answered]]) -> list[Answered]:
    """The results of futures; if the client goes, what is still in the queue is left out.

    Raises:
        ClientDisconnect: it has gone.
        RequestError: a model failed.
    """
    if not waiting:
        return []
    answers = asyncio.gather(*waiting)
    gone = asyncio.ensure_future(request.receive())  # after the body nothing else comes
    try:
        await asyncio.wait((answers, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
        return answers.result()
    except (ClientDisconnect, asyncio.CancelledError):
        answers.cancel()
        raise
    except Exception as error:
        log("inference failed", logging.ERROR, error)
        raise inference_failed("inference failed: the log of the server says where") from None
    finally:
        gone.cancel()


def example(request: type[schemas.Body], served: Served) -> dict[str, Any]:
    """A body that a model answers, of the examples in its schema."""
    return {name: _example(field, served) for name, field in request.model_fields.items() if field.is_required()}


def _example(field: Any, served: Served) -> Any:
    if field.examples:
        found = field.examples[0]
        mask = served.tokenizer.mask_token or "[MASK]"
        return found.replace("[MASK]", mask) if isinstance(found, str) else found
    inner = next(
        one for one in (field.annotation, *getattr(field.annotation, "__args__", ())) if hasattr(one, "model_fields")
    )
    return {name: _example(one, served) for name, one in inner.model_fields.items()}


def _named(content: bytes) -> str | None:
    """The model that a body names, before it is checked: it says what the body must be."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    name = body.get("model") if isinstance(body, dict) else None
    return name if isinstance(name, str) else None


def _one_name(name: str | None, body: schemas.Body) -> str | None:
    """The model that is meant, by the path or by the body.

    Raises:
        RequestError: they name different ones.
    """
    if name is not None and body.model not in (None, name):
        raise invalid(f"model: the path names {name:.100}, and the body {body.model:.100}")
    return body.model if name is None else name
