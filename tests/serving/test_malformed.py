"""Requests made from the OpenAPI document, and then spoiled: none of them is an error of the server."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_support import MODELS

pytest_plugins = "serving_support"

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
THOROUGH = settings(QUICK, max_examples=10_000)

TEXT = st.text(max_size=40) | st.sampled_from(
    ["the dog", "a [MASK]", "[MASK] [MASK]", "", " ", "dog " * 100, "\x00", "漢字 😀"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def fitting(schema, document):
    """Values that a JSON schema of the document allows."""
    if "$ref" in schema:
        return fitting(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    if "anyOf" in schema:
        return st.one_of([fitting(one, document) for one in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    kind = schema.get("type")
    if kind == "string":
        return TEXT
    if kind == "integer":
        return st.integers(schema.get("minimum", 0), min(schema.get("maximum", 50), 50))
    if kind == "number":
        return st.floats(-10, 10)
    if kind == "boolean":
        return st.booleans()
    if kind == "null":
        return st.none()
    if kind == "array":
        most = min(schema.get("maxItems", 5), 5)
        return st.lists(
            fitting(schema["items"], document),
            min_size=schema.get("minItems", 0),
            max_size=max(most, schema.get("minItems", 0)),
        )
    if "properties" in schema:
        return fitting_object(schema, document)
    return st.dictionaries(TEXT, ANYTHING, max_size=3)


def fitting_object(schema, document):
    fields = {name: fitting(one, document) for name, one in schema["properties"].items()}
    fields["model"] = st.none() | st.sampled_from([*MODELS, "nobody"]) if "model" in fields else st.none()
    needed = set(schema.get("required", ()))
    if "model" not in schema["properties"]:
        fields.pop("model")
    return st.fixed_dictionaries(
        {name: one for name, one in fields.items() if name in needed},
        optional={name: one for name, one in fields.items() if name not in needed},
    )


@st.composite
def spoiled(draw, body):
    """A body with a field left out, replaced, added or put deeper; or its bytes changed."""
    how = draw(st.sampled_from(["as it is", "without", "other", "more", "deeper", "cut", "bytes", "anything"]))
    name = draw(st.sampled_from(sorted(body))) if body else None
    if how == "without" and name:
        del body[name]
    elif how == "other" and name:
        body[name] = draw(ANYTHING)
    elif how == "more":
        body[draw(TEXT)] = draw(ANYTHING)
    elif how == "deeper" and name:
        body[name] = [body[name]]
    elif how == "anything":
        body = draw(ANYTHING)
    content = json.dumps(body).encode()
    if how == "cut":
        content = content[: draw(st.integers(0, len(content)))]
    elif how == "bytes":
        content = content[: draw(st.integers(0, len(content)))] + draw(st.binary(max_size=20)) + content[5:]
    return content


@pytest.fixture(scope="module")
def client(serving):
    with serving(*MODELS) as running, running.client.kept() as client:
        yield client


def check(client, document, data):
    path = data.draw(st.sampled_from(sorted(path for path, one in document["paths"].items() if "post" in one)))
    post = document["paths"][path]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    body = data.draw(fitting(schema, document))
    content = data.draw(spoiled(body))
    answer = client.post(path, content)
    assert answer.status < 500 and str(answer.status) in post["responses"], (path, content, answer)
    if answer.status != 200:
        assert "error" in answer.json
    return answer.status


@pytest.fixture(scope="module")
def statuses():
    """How often each status came: what is made must reach the models, too."""
    return {}


def test_malformed_requests_are_no_errors_of_the_server(client, statuses):
    document = client.get("/openapi.json").json

    @QUICK
    @given(st.data())
    def each(data):
        status = check(client, document, data)
        statuses[status] = statuses.get(status, 0) + 1

    each()
    assert statuses[200] > 20 and statuses[422] > 100, statuses
    assert client.post("/embed", {"inputs": "the dog"}).status == 200


@pytest.mark.slow
def test_ten_thousand_malformed_requests(client):
    document = client.get("/openapi.json").json

    @THOROUGH
    @given(st.data())
    def each(data):
        check(client, document, data)

    each()
    assert client.post("/embed", {"inputs": "the dog"}).status == 200
