"""The OpenAPI document, made of the routes and of the bodies that they check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from .. import __version__
from . import schemas
from .routes import ROUTES, VERTEX, Route
from .service import Service

_ERRORS = {
    401: "There are API keys, and the request has none of them",
    404: "There is no such model",
    413: "More, or longer, than is taken",
    415: "The body is not JSON",
    422: "The body is not what the route takes",
    424: "The model cannot answer, or failed",
    429: "Too many requests at once",
    503: "The server ends",
    504: "No answer in time",
}
_GET = {
    "/health": "Whether requests are taken",
    "/readyz": "Whether requests are taken",
    "/ping": "Whether requests are taken, for SageMaker",
    "/livez": "Whether the process can go on",
    "/info": "The models and the limits",
    "/metrics": "Metrics for Prometheus",
    "/v1/models": "The models, as OpenAI's clients list them",
}


def document(service: Service) -> dict[str, Any]:
    """The document of what a service answers."""
    routes = [*(route for route in ROUTES if any(map(route.serves, service.models))), VERTEX]
    described, components = _schemas(routes)
    paths: dict[str, Any] = {path: {"get": _get(path, summary)} for path, summary in _GET.items()}
    for route in routes:
        for path in (route.path, *route.also):
            paths[path] = {"post": _post(route, path, described)}
    security = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}} if service.settings.api_keys else {}
    found = {
        "openapi": "3.1.0",
        "info": {"title": "bertx", "version": __version__},
        "paths": paths,
        "components": {"schemas": components, **security},
    }
    return {**found, "security": [{"key": []}]} if security else found


def _schemas(routes: Iterable[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """(path, "request" or "response") → its schema; and the components that these refer to."""
    adapters: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = []
    for route in routes:
        adapters.append(((route.path, "request"), "validation", TypeAdapter(route.request)))
        adapters.append(((route.path, "response"), "serialization", TypeAdapter(route.response)))
    for name in (schemas.ErrorResponse, schemas.OpenAIErrorResponse):
        adapters.append(((name.__name__, "response"), "serialization", TypeAdapter(name)))
    found, definitions = TypeAdapter.json_schemas(adapters, ref_template="#/components/schemas/{model}")
    return {key: schema for (key, _), schema in found.items()}, definitions.get("$defs", {})


def _get(path: str, summary: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": f"get_{path.strip('/').replace('/', '_')}",
        "responses": {"200": {"description": "OK"}},
    }


def _post(route: Route, path: str, described: dict[Any, Any]) -> dict[str, Any]:
    error = (schemas.OpenAIErrorResponse if route.openai else schemas.ErrorResponse).__name__
    refused = {"application/json": {"schema": described[error, "response"]}}
    answer = {"application/json": {"schema": described[route.path, "response"]}}
    body = {"application/json": {"schema": described[route.path, "request"]}}
    return {
        "summary": route.summary,
        "operationId": path.strip("/").replace("/", "_").replace("-", "_"),
        "requestBody": {"required": True, "content": body},
        "responses": {
            "200": {"description": "The answer", "content": answer},
            **{str(code): {"description": why, "content": refused} for code, why in _ERRORS.items()},
        },
    }
