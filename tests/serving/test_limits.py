"""What is refused, and that the server then goes on: sizes, floods, slow and vanished clients, keys, origins."""

from __future__ import annotations

import json
import logging
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest_plugins = "serving_support"

GOOD = {"inputs": "the dog"}


@pytest.fixture
def slow(monkeypatch):
    """(running) → an event that holds its models up until it is set, and one that is set when they are held."""

    def hold(running):
        go_on, held = threading.Event(), threading.Event()
        (model,) = {id(served.model): served.model for served in running.service.models}.values()
        forward, embedder = model.forward, model.embedder

        def wait():
            held.set()
            assert go_on.wait(60)

        def slow_forward(**given):
            wait()
            return forward(**given)

        def slow_embedder(*given):
            embed = embedder(*given)

            def slow_embed(**inputs):
                wait()
                return embed(**inputs)

            return slow_embed

        monkeypatch.setattr(model, "forward", slow_forward)
        monkeypatch.setattr(model, "embedder", slow_embedder)
        return go_on, held

    return hold


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- one request ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 422, "Invalid JSON"),
        (b"", 422, "Invalid JSON"),
        (b"[]", 422, "body"),
        (b'{"inputs": "\\ud800"}', 422, "Invalid JSON"),
        (b'{"inputs": "\xff"}', 422, "Invalid JSON"),
        ({}, 422, "inputs: Field required"),
        ({"inputs": 5}, 422, "inputs"),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": ["a", 5]}, 422, "inputs"),
        ({"inputs": [-1]}, 422, "inputs"),
        ({"inputs": "a", "truncat": True}, 422, "truncat: Extra inputs are not permitted"),
        ({"inputs": "a", "truncate": "yes"}, 422, "truncate"),
        ({"inputs": "a", "truncation_direction": "Left"}, 422, "truncation_direction"),
        ({"inputs": "a", "prompt_name": "nothing"}, 422, "query"),
        ({"inputs": ["a"] * 33}, 413, "batch size 33 > maximum allowed batch size 32"),
        (b"[" * 100_000, 422, "Invalid JSON"),
    ],
)
def test_a_body_that_is_not_what_the_route_takes(serving, body, status, told):
    with serving("embedder") as running:
        answer = running.client.post("/embed", body)
        assert answer.status == status and told in answer.json["error"], answer
        assert answer.json["error_type"] == "Validation"
        assert running.client.post("/embed", GOOD).status == 200


def test_one_error_tells_all_problems_of_a_body(serving):
    with serving("embedder") as running:
        told = running.client.post("/embed", {"input": "a", "normalize": 1}).json["error"]
        assert all(name in told for name in ("inputs: ", "input: ", "normalize: "))


def test_inputs_that_a_task_cannot_take_are_told_apart(serving):
    with serving("masked") as running:
        answer = running.client.post("/fill-mask", {"inputs": ["a [MASK]", "none here"]})
        assert answer.status == 422 and answer.json["error_type"] == "Tokenizer"
        assert "input 1 has no [MASK]" in answer.json["error"] and "input 0" not in answer.json["error"]


def test_the_size_of_a_body_is_limited_whether_it_is_told_or_not(serving):
    with serving("embedder", payload_limit=1000) as running:
        answer = running.client.post("/embed", {"inputs": "a" * 1000})
        assert answer.status == 413 and "1000 bytes" in answer.json["error"]
        connection = running.client.connection()
        chunks = (b"a" * 100 for _ in range(100))
        connection.request("POST", "/embed", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
        assert connection.getresponse().status == 413
        connection.close()
        assert running.client.post("/embed", GOOD).status == 200


def test_the_type_of_a_body_is_json_so_that_no_form_of_a_web_page_is_taken(serving):
    with serving("embedder") as running:
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            assert running.client.call("POST", "/embed", b'{"inputs": "a"}', Content_Type=kind).status == 415
        kind = "application/json; charset=utf-8"
        assert running.client.call("POST", "/embed", b'{"inputs": "a"}', Content_Type=kind).status == 200


def test_paths_and_methods_that_are_not_there(serving):
    with serving("embedder") as running:
        assert running.client.post("/nothing", GOOD).status == 404
        answer = running.client.get("/embed")
        assert answer.status == 405 and answer.json["error_type"] == "Validation"


def test_an_error_of_the_model_is_424_and_the_next_request_is_answered(serving, monkeypatch, caplog):
    with serving("classifier") as running:
        model = running.service.models[0].model
        with monkeypatch.context() as patch:
            patch.setattr(model, "forward", lambda **given: 1 / 0)
            answer = running.client.post("/predict", {"inputs": "a secret"})
        assert answer.status == 424 and answer.json["error_type"] == "Backend"
        assert running.client.post("/predict", GOOD).status == 200
        assert running.client.get("/health").status == 200
    assert "inference failed" in caplog.text


def test_scores_that_are_not_finite_are_an_error(serving, monkeypatch):
    with serving("embedder") as running:
        model = running.service.models[0].model
        broken = lambda *given: lambda **inputs: np.full((1, 4), np.nan, np.float32)  # noqa: E731
        monkeypatch.setattr(model, "embedder", broken)
        answer = running.client.post("/embed", {**GOOD, "normalize": False})
        assert answer.status == 424 and "not finite" in answer.json["error"]


# --- many requests --------------------------------------------------------------------------------


def test_more_requests_than_are_taken_get_429_and_those_that_are_taken_an_answer(serving, slow):
    with serving("embedder", max_concurrent_requests=4) as running:
        go_on, _ = slow(running)
        with ThreadPoolExecutor(4) as pool:
            taken = [pool.submit(running.client.post, "/embed", GOOD) for _ in range(4)]
            until(lambda: running.service._active == 4)
            answers = [running.client.post("/embed", GOOD) for _ in range(5)]
            assert running.client.get("/health").status == 200  # a probe is no request
            go_on.set()
            assert [one.result().status for one in taken] == [200] * 4
        for answer in answers:
            assert answer.status == 429 and answer.json["error_type"] == "Overloaded"
            assert int(answer.headers["retry-after"]) >= 1
        assert running.client.post("/embed", GOOD).status == 200
        assert running.service._active == 0 and not running.service._active_of


def test_one_client_has_its_share(serving, slow):
    with serving("embedder", max_client_requests=2, api_keys=("one", "other")) as running:
        from serving_support import Client

        go_on, _ = slow(running)
        other = Client(running.port, "other")
        with ThreadPoolExecutor(3) as pool:
            taken = [pool.submit(running.client.post, "/embed", GOOD) for _ in range(2)]
            until(lambda: running.service._active == 2)
            assert running.client.post("/embed", GOOD).status == 429
            taken.append(pool.submit(other.post, "/embed", GOOD))
            until(lambda: running.service._active == 3)
            go_on.set()
            assert [one.result().status for one in taken] == [200] * 3


def test_a_flood_is_refused_memory_is_bounded_and_the_server_recovers(serving):
    body = json.dumps({"inputs": ["the happy dog walks"] * 8}).encode()
    with serving("embedder", max_concurrent_requests=8) as running:
        running.client.post("/embed", body)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        statuses = []

        def flood(_):
            with running.client.__class__(running.port).kept() as client:
                statuses.extend(client.post("/embed", body).status for _ in range(20))

        with ThreadPoolExecutor(48) as pool:
            list(pool.map(flood, range(48)))
        assert set(statuses) == {200, 429} and len(statuses) == 48 * 20
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
        assert running.client.post("/embed", body).status == 200
        assert running.service._engine.waiting == 0


def test_a_request_that_takes_too_long_is_given_up_and_leaves_the_queue(serving, slow):
    with serving("embedder", timeout=0.3) as running:
        go_on, held = slow(running)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(running.client.post, "/embed", GOOD)
            assert held.wait(30)
            answer = running.client.post("/embed", GOOD)
            assert answer.status == 504 and "0.3 seconds" in answer.json["error"] and "retry-after" in answer.headers
            assert first.result().status == 504
            go_on.set()
        until(lambda: running.service._engine.waiting == 0)
        assert running.client.post("/embed", GOOD).status == 200


def test_a_client_that_sends_no_end_of_its_body_is_given_up(serving):
    with serving("embedder", timeout=0.3) as running, socket.create_connection(("127.0.0.1", running.port)) as lazy:
        lazy.sendall(
            b"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
        )
        assert b" 504 " in lazy.recv(1000)
        assert running.client.post("/embed", GOOD).status == 200


def test_what_a_client_that_has_gone_asked_for_is_not_computed(serving, slow):
    with serving("embedder") as running:
        go_on, held = slow(running)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(running.client.post, "/embed", GOOD)
            assert held.wait(30)
            gone = running.client.connection()
            gone.request("POST", "/embed", json.dumps(GOOD), {"Content-Type": "application/json"})
            until(lambda: running.service._engine.waiting == 1)
            gone.sock.close()
            gone.close()
            until(lambda: running.service._active == 1)
            go_on.set()
            assert first.result().status == 200
        until(lambda: running.service._engine.waiting == 0)
        text = running.client.get("/metrics").content.decode()
        assert 'te_request_failure{err="disconnected"} 1.0' in text
        assert "te_batch_next_size_sum 1.0" in text


# --- keys, origins, logs --------------------------------------------------------------------------


def test_a_key_is_asked_for_where_there_are_some(serving):
    from serving_support import Client

    with serving("embedder", api_keys=("secret", "other")) as running:
        for key in ("secret", "other"):
            client = Client(running.port, key)
            assert (
                client.post("/embed", GOOD).status == client.get("/info").status == client.get("/metrics").status == 200
            )
        for key in (None, "secre", "secrets", "", "geheim\xe9"):
            client = Client(running.port, key)
            answer = client.post("/embed", GOOD)
            assert answer.status == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert client.get("/info").status == client.get("/metrics").status == 401
            assert client.post("/v1/embeddings", {"input": "a"}).json["error"]["code"] == 401
            for path in ("/health", "/livez", "/readyz", "/ping", "/", "/openapi.json"):
                assert client.get(path).status == 200
        answer = Client(running.port).call("POST", "/embed", b"{}", Authorization="Basic secret")
        assert answer.status == 401
        assert running.client.get("/openapi.json").json["security"] == [{"key": []}]


def test_no_web_page_may_call_unless_its_origin_is_allowed(serving):
    asked = {"Origin": "https://a.example", "Access_Control_Request_Method": "POST"}
    with serving("embedder") as running:
        answer = running.client.post("/embed", GOOD, Origin="https://a.example")
        assert answer.status == 200 and answer.headers["access-control-allow-origin"] is None
        assert running.client.call("OPTIONS", "/embed", **asked).status == 405
    with serving("embedder", cors_allow_origin=("https://a.example",), api_keys=("secret",)) as running:
        answer = running.client.post("/embed", GOOD, Origin="https://a.example")
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert running.client.call("OPTIONS", "/embed", **asked).status == 200
        asked["Origin"] = "https://b.example"
        assert running.client.call("OPTIONS", "/embed", **asked).headers["access-control-allow-origin"] is None


def test_readiness_is_apart_from_liveness(serving):
    with serving("embedder") as running:
        client = running.client
        assert [client.get(path).status for path in ("/health", "/readyz", "/livez")] == [200, 200, 200]
        running.service.draining = True
        assert [client.get(path).status for path in ("/health", "/readyz", "/livez")] == [503, 503, 200]
        assert client.post("/embed", GOOD).status == 200  # what comes all the same is answered
        running.service._engine.close()
        assert [client.get(path).status for path in ("/health", "/livez")] == [503, 503]


def test_the_log_has_a_line_of_each_request_and_none_of_its_texts(serving, caplog):
    with caplog.at_level(logging.INFO, "bertx.serving"), serving("masked", api_keys=("the-key",)) as running:
        running.client.post("/fill-mask", {"inputs": "a confidential [MASK]"})
        running.client.post("/fill-mask", {"inputs": "no mask, confidential"})
        running.client.post("/fill-mask", {"confidential": "a"})
        running.client.post("/fill-mask", {"inputs": "a [MASK]", "targets": ["confidential"]})
    fields = [record.fields for record in caplog.records if record.msg == "request"]
    assert [one["status"] for one in fields] == [200, 422, 422, 422]
    assert fields[0]["path"] == "/fill-mask" and fields[0]["tokens"] > 3 and fields[0]["milliseconds"] > 0
    told = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert "confidential" not in told and "the-key" not in told


def test_a_line_of_the_log_is_json_and_an_error_in_it_says_where_not_what():
    from bertx.serving.logs import _Lines

    try:
        raise ValueError("a confidential text")
    except ValueError as error:
        found = (type(error), error, error.__traceback__)
    record = logging.LogRecord("bertx.serving", logging.ERROR, __file__, 1, "failed\nbadly", (), found)
    record.fields = {"path": "/embed"}
    line = _Lines().format(record)
    assert "\n" not in line and "confidential" not in line
    read = json.loads(line)
    assert (read["event"], read["path"], read["error"]) == ("failed\nbadly", "/embed", "ValueError")
    assert __file__ in read["at"][0]
