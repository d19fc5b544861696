"""Traces for OpenTelemetry: a span for each request, without its texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from bertx_weights import MissingExtraError

# Where spans are sent, by the names that OpenTelemetry has for it; without either there are none.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_PROTOCOL = "http/protobuf"
# Header of a response → attribute of its span.
_NUMBERS = {
    "x-compute-tokens": "bertx.tokens",
    "x-tokenization-time": "bertx.tokenization_milliseconds",
    "x-queue-time": "bertx.queue_milliseconds",
    "x-inference-time": "bertx.inference_milliseconds",
}

Finish = Callable[[Response, str | None], None]


class Traces:
    """Begins a span for each request, and sends those that have ended in the background."""

    def __init__(self, environment: Mapping[str, str]):
        """Starts the sender where the environment names a collector.

        Raises:
            MissingExtraError: it does, and OpenTelemetry is not installed.
            ValueError: it wants another protocol.
        """
        self._tracer: Any = None
        if not any(environment.get(name) for name in _ENDPOINTS):
            return
        for name in _PROTOCOLS:
            if environment.get(name, _PROTOCOL) != _PROTOCOL:
                raise ValueError(f"{name} is {environment[name]!r:.60}: traces are sent by {_PROTOCOL} only")
        self._tracer = _provider(environment).get_tracer("bertx")

    def begin(self, request: Request, route: str) -> Finish:
        """Begins the span of a request to a route.

        Returns:
            What ends it, with the response and the kind of error.
        """
        if self._tracer is None:
            return _nothing
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind, Status, StatusCode

        span = self._tracer.start_span(
            f"{request.method} {route}",
            context=extract(request.headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method, "http.route": route},
        )

        def finish(response: Response, error: str | None) -> None:
            span.set_attribute("http.response.status_code", response.status_code)
            for header, attribute in _NUMBERS.items():
                if header in response.headers:
                    span.set_attribute(attribute, int(response.headers[header]))
            if error is not None:
                span.set_attribute("error.type", error)
            if response.status_code >= 500:
                span.set_status(Status(StatusCode.ERROR))
            span.end()

        return finish


def _nothing(response: Response, error: str | None) -> None:
    """Ends the span of a request that has none."""


def _provider(environment: Mapping[str, str]) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        named = next(name for name in _ENDPOINTS if environment.get(name))
        raise MissingExtraError(
            f"{named} is set, and {error.name} is not installed here: pip install 'bertx[otel]', or unset it"
        ) from error
    # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say goes before the name that is given here.
    resource = Resource({"service.name": "bertx"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)  # it sends what is left when the process ends
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
