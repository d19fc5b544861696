"""deploy/lambda/handler.py answers the events of AWS as the server answers requests."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mangum")
pytest_plugins = "serving_support"

HANDLER = Path(__file__).parents[2] / "deploy" / "lambda" / "handler.py"
TEXTS = ["the happy dog walks", "a cat"]


def start():
    specification = importlib.util.spec_from_file_location("lambda_handler", HANDLER)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.handler


@pytest.fixture
def handler(folder_of, monkeypatch):
    """(model, **environment) → the handler of a process that starts."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def get(name, **environment):
        for variable, value in {"BERTX_SOURCE": str(folder_of(name)), **environment}.items():
            monkeypatch.setenv(variable, value)
        return start()

    yield get
    asyncio.set_event_loop(None)
    loop.close()


def rest(method, path, body=None, **headers):
    """An event of a REST API (payload 1.0)."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Content-Type": "application/json", "Host": "a.execute-api.eu-west-1.amazonaws.com", **headers},
        "multiValueHeaders": {"Content-Type": ["application/json"], **{name: [one] for name, one in headers.items()}},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "live", "httpMethod": method, "identity": {"sourceIp": "192.0.2.1"}},
        "body": body,
        "isBase64Encoded": False,
    }


def http(method, path, body=None, **headers):
    """An event of an HTTP API or a function URL (payload 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "a.lambda-url.eu-west-1.on.aws", **headers},
        "requestContext": {
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "stage": "$default",
        },
        "body": body,
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize("event", [rest, http])
def test_it_answers_as_the_library(handler, model_of, event):
    call = handler("embedder")
    expected = model_of("embedder")(TEXTS, normalize=True)
    for _ in range(2):  # one process has many events, one after the other
        answer = call(event("POST", "/embed", json.dumps({"inputs": TEXTS})), None)
        assert answer["statusCode"] == 200 and answer["isBase64Encoded"] is False
        assert np.array_equal(np.array(json.loads(answer["body"]), np.float32), expected)
    assert call(event("GET", "/readyz"), None)["statusCode"] == 200
    assert json.loads(call(event("GET", "/info"), None)["body"])["backend"] == "numpy"


def test_a_body_in_base64(handler):
    event = http("POST", "/embed", base64.b64encode(json.dumps({"inputs": TEXTS}).encode()).decode())
    answer = handler("embedder")({**event, "isBase64Encoded": True}, None)
    assert answer["statusCode"] == 200 and len(json.loads(answer["body"])) == 2


def test_what_is_refused_is_refused_as_by_the_server(handler):
    call = handler("embedder", BERTX_API_KEY="key")
    body = json.dumps({"inputs": TEXTS, "nothing": 1})
    assert call(http("POST", "/embed", body), None)["statusCode"] == 401
    answer = call(http("POST", "/embed", body, authorization="Bearer key"), None)
    assert answer["statusCode"] == 422 and "nothing" in answer["body"]


def test_a_start_fails_that_bertx_serve_would_refuse(handler, folder_of):
    with pytest.raises(ValueError, match="BERTX_SOURCE names no model"):
        handler("embedder", BERTX_SOURCE="")
    with pytest.raises(ValueError, match="BERTX_API_KEY has no API key"):
        handler("embedder", BERTX_API_KEY=" ")
    with pytest.raises(ValueError, match="several models are called embedder"):
        handler("embedder", BERTX_SOURCE=f"{folder_of('embedder')} {folder_of('embedder')}", BERTX_API_KEY="key")
    with pytest.raises(ValueError, match="nowhere"):
        handler("embedder", BERTX_SOURCE=str(folder_of("embedder") / "nowhere"), BERTX_API_KEY="key")


def test_it_imports_nothing_that_its_build_leaves_out(folder_of):
    (names,) = re.findall(r"for package in (.*); do", (HANDLER.parent / "build.sh").read_text())
    code = f"import sys; sys.modules.update(dict.fromkeys({names.split()})); import handler"
    path = os.pathsep.join([str(HANDLER.parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path, "BERTX_SOURCE": str(folder_of("embedder"))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
