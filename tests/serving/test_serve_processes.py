"""`bertx serve` as a process: how it starts, ends, and refuses to start; several workers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import numpy as np
import pytest
from serving_support import client_of, environment, events, serve

pytest_plugins = "serving_support"

TEXTS = ["the happy dog walks", "a cat"]


def test_it_serves_and_ends_when_all_requests_are_answered(folder_of, model_of):
    with serve(folder_of("embedder")) as process:
        client = client_of(process)
        assert events(process, "ready")[0]["host"] == "127.0.0.1"
        found = np.array(client.post("/embed", {"inputs": TEXTS}).json, np.float32)
        assert np.array_equal(found, model_of("embedder")(TEXTS, normalize=True))
        body = json.dumps({"inputs": ["the dog " * 20] * 32}).encode()
        with ThreadPoolExecutor(24) as pool:
            asked = [pool.submit(client.post, "/embed", body) for _ in range(24)]
            while not any(one.done() for one in asked):
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            answers = [one for one in asked if one.exception() is None]
        assert process.wait(60) == 0
        assert len(answers) >= 20 and all(one.result().status == 200 for one in answers)
        # A connection that was not yet taken is refused; what was taken has its line.
        assert len(answers) == len([one for one in events(process, "request") if one["status"] == 200]) - 1
    assert events(process, "draining")


def test_ctrl_c_ends_it_as_well(folder_of):
    with serve(folder_of("embedder")) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def run(*arguments, port=("--port", "0"), **changes):
    command = [sys.executable, "-m", "bertx", "serve", *port, *map(str, arguments), "--backend", "numpy"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(**changes), timeout=120)
    return done.returncode, re.sub(r"[\s│]+", " ", done.stderr)


def test_what_cannot_be_served_ends_the_start_with_all_that_is_wrong(folder_of, tmp_path):
    (tmp_path / "empty").mkdir()
    code, told = run(folder_of("embedder"), tmp_path / "empty", tmp_path / "nowhere", f"x={folder_of('embedder')}")
    assert code == 1 and str(tmp_path / "empty") in told and str(tmp_path / "nowhere") in told
    assert "Traceback" not in told and told.startswith("bertx: ")


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "told"),
    [
        (["--task", "fill-mask"], {}, 1, "no head that was trained for fill-mask"),
        (["--task", "fill-mask", "--task", "fill-mask"], {}, 2, "--task is given 2 times for 1 models"),
        (["--task", "nothing"], {}, 2, "is none of"),
        (["--pooling", "most"], {}, 2, "is none of"),
        (["--host", "203.0.113.1"], {}, 1, "203.0.113.1 port"),
        ([], {"BERTX_API_KEY": " "}, 2, "BERTX_API_KEY has no API key"),
        ([], {"AIP_HTTP_PORT": "many"}, 2, "AIP_HTTP_PORT is 'many'"),
    ],
)
def test_wrong_usage(folder_of, arguments, changes, code, told):
    port = () if "AIP_HTTP_PORT" in changes else ("--port", "0")
    found, text = run(folder_of("embedder"), *arguments, port=port, **changes)
    assert found == code and told in text and "Traceback" not in text, text


def test_two_models_of_one_name(folder_of):
    code, told = run(folder_of("embedder"), f"embedder={folder_of('classifier')}")
    assert code == 1 and "several models are called embedder" in told and "NAME=SOURCE" in told


def test_a_port_that_is_taken(folder_of):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, told = run(folder_of("embedder"), "--port", taken.getsockname()[1])
    assert code == 1 and "Address already in use" in told and "Traceback" not in told


def test_a_pooling_that_no_model_has(folder_of):
    code, told = run(folder_of("classifier"), "--pooling", "mean")
    assert code == 1 and "no model that is served gives embeddings" in told


def test_keys_come_from_a_file_or_the_environment(folder_of, tmp_path):
    (tmp_path / "keys").write_text("one\n\n two \n")
    with serve(folder_of("tokens"), "--pooling", "cls", "--api-key-file", tmp_path / "keys") as process:
        assert [client_of(process, key).post("/embed", {"inputs": "a"}).status for key in ("one", "two", "three")] == [
            200,
            200,
            401,
        ]
    with serve(f"named={folder_of('tokens')}", BERTX_API_KEY="four") as process:
        assert [client_of(process, key).get("/info").status for key in ("four", "one")] == [200, 401]
        assert client_of(process, "four").get("/info").json["model_id"] == "named"


def test_a_worker_that_is_killed_is_replaced_and_the_others_lose_nothing(folder_of, model_of):
    with serve(folder_of("embedder"), "--workers", "2", ready="all workers ready") as process:
        client = client_of(process)
        expected = model_of("embedder")(TEXTS, normalize=True)
        pids = {one["pid"] for one in events(process, "ready")}
        assert len(pids) == 2
        victim = min(pids)
        statuses, stop = [], threading.Event()

        def ask(_):
            while not stop.is_set():
                try:
                    answer = client.post("/embed", {"inputs": TEXTS})
                except (OSError, HTTPException) as error:  # of a connection that the killed one had taken
                    statuses.append(type(error).__name__)
                    continue
                statuses.append(answer.status)
                assert np.abs(np.array(answer.json, np.float32) - expected).max() < 1e-6

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, i) for i in range(4)]
            time.sleep(1)
            os.kill(victim, signal.SIGKILL)
            end = time.monotonic() + 90
            while len(events(process, "ready")) < 3 and time.monotonic() < end:
                time.sleep(0.1)
            stop.set()
            [one.result(30) for one in asked]
        assert len({one["pid"] for one in events(process, "ready")}) == 3
        assert events(process, "worker died")[0]["pid"] == victim
        lost = [one for one in statuses if one != 200]
        assert len(lost) <= 8 and not any(isinstance(one, int) for one in lost), lost  # those that it had itself
        # The numbers are of all processes together.
        answered = re.search(r'te_request_success\{method="batch"\} ([\d.]+)', client.get("/metrics").content.decode())
        assert float(answered[1]) == pytest.approx(statuses.count(200), abs=8)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_worker_that_cannot_start_ends_the_start(folder_of):
    code, told = run(folder_of("classifier"), "--pooling", "mean", "--workers", "2")
    assert code == 1 and "no model that is served gives embeddings" in told and "Traceback" not in told
