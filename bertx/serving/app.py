"""The application: paths, keys and what every answer has, over a Service."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route as Path

from .. import __version__
from .errors import RequestError
from .logs import log
from .metrics import CONTENT_TYPE
from .openapi import document
from .routes import ROUTES, VERTEX, Route, own_route
from .served import Served
from .service import Service
from .traces import Traces

# The page asks nobody else for anything, and no other page may frame it.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[Request], Awaitable[Response]]


def create_app(service: Service, environment: Mapping[str, str] = os.environ) -> Starlette:
    """The application of a service; `environment` may have the paths that Vertex AI wants, and where traces go.

    Raises:
        MissingExtraError, ValueError: traces are to be sent, and cannot be.
    """
    guard = _Guard(service, Traces(environment))
    paths: list[Path] = []

    def post(path: str, route: Route | None, openai: bool = False) -> None:
        for pattern in (path, f"/models/{{model:path}}{path.rstrip('/')}"):
            paths.append(Path(pattern, guard.answering(pattern, route, openai), methods=["POST"]))

    def get(path: str, handler: Handler) -> None:
        paths.append(Path(path, handler, methods=["GET"]))

    for route in (*ROUTES, VERTEX):
        for path in (route.path, *route.also):
            post(path, route, route.openai)
    if predict := environment.get("AIP_PREDICT_ROUTE"):
        post(predict, VERTEX)
    post("/invocations", None)
    for path in {"/health", "/readyz", "/ping", environment.get("AIP_HEALTH_ROUTE") or "/health"}:
        get(path, _ready(service))
    get("/livez", _live(service))
    get("/info", guard.open_to_keys(lambda request: JSONResponse(info(service))))
    get("/v1/models", guard.open_to_keys(lambda request: JSONResponse(_model_list(service))))
    get("/metrics", guard.open_to_keys(lambda request: Response(service.metrics.text(), media_type=CONTENT_TYPE)))
    described = document(service)
    get("/openapi.json", _always(lambda: JSONResponse(described)))
    page = resources.files("bertx.serving").joinpath("page.html").read_text(encoding="utf-8")
    get("/", _always(lambda: HTMLResponse(page, headers=_PAGE_HEADERS)))
    post("/", None)

    middleware = []
    if service.settings.cors_allow_origin:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(service.settings.cors_allow_origin),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
            )
        )
    return Starlette(routes=paths, middleware=middleware, exception_handlers={404: _not_found, 405: _not_allowed})


class _Guard:
    """Lets requests with a key through, and writes a line of the log and a span about each."""

    def __init__(self, service: Service, traces: Traces):
        self._service, self._traces = service, traces
        self._keys = [hashlib.sha256(key.encode()).digest() for key in service.settings.api_keys]

    def client(self, request: Request) -> str:
        """Who asks: the number of the key, or where there are none the address.

        Raises:
            RequestError: there are keys, and the request has none of them.
        """
        if not self._keys:
            return request.client.host if request.client else ""
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode("utf-8", "surrogateescape")).digest()
        # Each key is compared, and in a time that does not tell how much of it was right.
        same = [hmac.compare_digest(given, known) for known in self._keys]
        if kind.lower() != "bearer" or not any(same):
            raise RequestError(401, "Validation", "give an API key: Authorization: Bearer KEY")
        return f"key {same.index(True)}"

    def open_to_keys(self, respond: Callable[[Request], Response]) -> Handler:
        """A handler of GET requests."""

        async def handle(request: Request) -> Response:
            try:
                self.client(request)
                return respond(request)
            except RequestError as error:
                return _refused(error, openai=False)

        return handle

    def answering(self, pattern: str, route: Route | None, openai: bool) -> Handler:
        """A handler of POST requests to paths of a pattern."""

        async def handle(request: Request) -> Response:
            began = time.perf_counter()
            finish = self._traces.begin(request, pattern)
            fields: dict[str, Any] = {}
            try:
                client = self.client(request)
                kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind != "application/json" and not kind.endswith("+json"):
                    raise RequestError(415, "Validation", "the body must be JSON: Content-Type: application/json")
                name = request.path_params.get("model")
                content, headers = await self._service.answer(request, route, name, client)
                fields["tokens"] = int(headers["x-compute-tokens"])
                response = Response(content, media_type="application/json", headers=headers)
            except RequestError as error:
                self._service.metrics.failures.labels(_kind(error)).inc()
                fields["error"] = _kind(error)
                response = _refused(error, openai)
            except ClientDisconnect:
                self._service.metrics.failures.labels("disconnected").inc()
                fields["error"] = "disconnected"
                response = Response(status_code=499)
            except Exception as error:
                log("error", logging.ERROR, error, path=request.url.path)
                self._service.metrics.failures.labels("internal").inc()
                internal = RequestError(500, "Backend", "an error of the server: its log says where")
                fields["error"] = "internal"
                response = _refused(internal, openai)
            milliseconds = round(1000 * (time.perf_counter() - began), 1)
            log("request", path=request.url.path, status=response.status_code, milliseconds=milliseconds, **fields)
            finish(response, fields.get("error"))
            return response

        return handle


def _kind(error: RequestError) -> str:
    return {429: "overloaded", 504: "timeout", 401: "key"}.get(error.status, error.error_type.lower())


def _refused(error: RequestError, openai: bool) -> Response:
    return JSONResponse(error.content(openai), error.status, error.headers)


def _always(respond: Callable[[], Response]) -> Handler:
    async def handle(request: Request) -> Response:
        return respond()

    return handle


def _ready(service: Service) -> Handler:
    """Whether requests are taken: what a load balancer asks."""

    async def handle(request: Request) -> Response:
        if service.ready:
            return Response()
        return _refused(RequestError(503, "Unhealthy", "unhealthy", retry_after=1), openai=False)

    return handle


def _live(service: Service) -> Handler:
    """Whether the process can go on: what restarts it asks."""

    async def handle(request: Request) -> Response:
        return Response() if service.alive else Response(status_code=503)

    return handle


async def _not_found(request: Request, _: Exception) -> Response:
    return _refused(RequestError(404, "Validation", f"there is no {request.url.path:.200}; see /openapi.json"), False)


async def _not_allowed(request: Request, error: Exception) -> Response:
    response = _refused(
        RequestError(405, "Validation", f"{request.url.path:.200} does not take {request.method}"), False
    )
    response.headers.update(getattr(error, "headers", None) or {})
    return response


def info(service: Service) -> dict[str, Any]:
    """What text-embeddings-inference tells of its model, here of the first one; and the same of all of them."""
    settings = service.settings
    return {
        **_info_of(service.models[0]),
        "max_concurrent_requests": settings.max_concurrent_requests,
        "max_batch_tokens": settings.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": settings.max_client_batch_size,
        "auto_truncate": True,
        "tokenization_workers": service.tokenization_workers,
        "version": __version__,
        "models": [_info_of(served) for served in service.models],
    }


def _info_of(served: Served) -> dict[str, Any]:
    return {
        "model_id": served.name,
        "model_sha": None,
        "model_dtype": served.dtype,
        "model_type": served.kind,
        "task": served.task,
        "backend": served.model.backend,
        "max_input_length": served.max_input_length,
        "route": own_route(served).path,
        "routes": [route.path for route in ROUTES if route.serves(served)],
        "mask_token": served.tokenizer.mask_token if served.task == "fill-mask" else None,
    }


def _model_list(service: Service) -> dict[str, Any]:
    """As OpenAI's clients list models."""
    data = [{"id": served.name, "object": "model", "created": 0, "owned_by": "bertx"} for served in service.models]
    return {"object": "list", "data": data}
