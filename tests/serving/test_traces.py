"""Traces: what a collector gets of each request, and that no text is in it."""

from __future__ import annotations

import gzip
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bertx.serving.traces import Traces
from bertx_weights import MissingExtraError

pytest_plugins = "serving_support"

PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
SECRET = "zebra"


@pytest.fixture
def collector(monkeypatch):
    """A collector of OTLP over HTTP: its address, and the bodies that it got."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    got = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    yield address, got
    server.shutdown()
    thread.join()
    server.server_close()


def spans_of(got):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for _, body in got:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = {one.key: one.value.string_value for one in resource.resource.attributes}["service.name"]
            for scope in resource.scope_spans:
                for span in scope.spans:
                    values = {one.key: one.value for one in span.attributes}
                    yield service, span, {name: value.string_value or value.int_value for name, value in values.items()}


def test_each_request_has_a_span_without_its_texts(serving, collector):
    address, got = collector
    with serving("embedder", environment={"OTEL_EXPORTER_OTLP_ENDPOINT": address}) as running:
        client = running.client
        answer = client.post("/embed", {"inputs": [f"the dog {SECRET}", "a cat"]}, traceparent=PARENT)
        assert answer.status == 200
        assert client.post("/models/embedder/embed", {"inputs": SECRET, SECRET: 1}).status == 422
        end = time.monotonic() + 20
        while len(list(spans_of(got))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
    assert {path for path, _ in got} == {"/v1/traces"}
    (service, first, values), (_, second, refused) = spans_of(got)
    assert service == "bertx" and first.name == "POST /embed"
    assert first.trace_id.hex() == PARENT.split("-")[1] and first.parent_span_id.hex() == PARENT.split("-")[2]
    assert 0 < first.end_time_unix_nano - first.start_time_unix_nano < 60e9
    assert values["http.route"] == "/embed" and values["http.response.status_code"] == 200
    assert values["bertx.tokens"] == int(answer.headers["x-compute-tokens"])
    assert values["bertx.queue_milliseconds"] == int(answer.headers["x-queue-time"])
    assert values["bertx.inference_milliseconds"] == int(answer.headers["x-inference-time"])
    assert second.name == "POST /models/{model:path}/embed" and not second.parent_span_id
    assert refused["http.response.status_code"] == 422 and refused["error.type"] == "validation"
    assert not any(SECRET.encode() in body for _, body in got)


def test_without_a_collector_nothing_of_opentelemetry_is_imported(serving, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with serving("embedder") as running:
        assert running.client.post("/embed", {"inputs": "a cat"}).status == 200


def test_a_collector_that_cannot_be_served_ends_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    for name in [one for one in sys.modules if one.startswith("opentelemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=r"TRACES_ENDPOINT is set, .*bertx\[otel\]"):
        Traces({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"})
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'"):
        Traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
