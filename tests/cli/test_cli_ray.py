"""`--ray`: a job on the workers of a local cluster writes what one process writes, also where one of them is killed."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from cli_support import BACKEND, command, environment, run, some_texts, write_texts

from bertx.cli import ray_workers, verbs
from bertx.cli.records import WrongUsage

pytest_plugins = "cli_support"


def test_what_ray_is_not_of_is_refused(checkpoint, tmp_path):
    done = run("embed", checkpoint("embed"), "the dog", "--workers", "2", *BACKEND)
    assert done.code == 2 and "--workers is of --ray" in done.told
    done = run("generate", checkpoint("generate"), "the dog", "--stream", "--ray", "local", *BACKEND)
    assert done.code == 2 and "--stream prints text as it is made here" in done.told


def test_a_worker_with_other_files_of_the_model_is_told(checkpoint):
    call = verbs.Call(str(checkpoint("embed")), backend="numpy")
    expected = verbs.computed_by("numpy", call, verbs.found_source(call))
    begun = lambda of: verbs._begun("feature-extraction", call, {}, of)  # noqa: E731
    problems, vectors = begun(expected)(["the dog", "a cat"])
    assert problems == {} and vectors.shape == (2, 48)  # one array, which Ray does not copy
    for name, value in {"model": expected["model"] | {"config.json": "0"}, "bertx": "0"}.items():
        with pytest.raises(ValueError, match=f"has another {name} than the machine that began"):
            begun(expected | {name: value})


@contextlib.contextmanager
def server_that_answers(content: bytes):
    """The address of a server that answers its one client so, and says no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            client, _ = server.accept()
            with client, contextlib.suppress(ConnectionResetError):  # of a client that leaves content unread
                client.recv(100)
                client.sendall(content)
                client.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_an_address_without_a_cluster_is_told_at_once(monkeypatch):
    """Ray waits for more than a minute."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    for address in (closed, f"ray://{closed}"):
        with pytest.raises(WrongUsage, match=rf"--ray {address}: 127.0.0.1, port \d+ does not answer \(.*`ray start"):
            ray_workers._check_address(address)
    with server_that_answers(b"HTTP/1.1 400 Bad Request\r\n") as web, pytest.raises(WrongUsage, match="is no Ray"):
        ray_workers._check_address(web)
    for address in ("localhost", "10.0.0.1:", ":6379", "host:port", "host:66000", "ray://host"):
        with pytest.raises(WrongUsage, match="expected HOST:PORT, ray://HOST:PORT, auto, or local"):
            ray_workers._check_address(address)
    with server_that_answers(bytes([0, 0, 18, 4, 0, 0, 0, 0, 0])) as grpc:
        ray_workers._check_address(grpc)
    ray_workers._check_address("auto")
    ray_workers._check_address("local")
    monkeypatch.setattr(ray_workers, "_CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(WrongUsage, match="timed out"):
        ray_workers._check_address(f"127.0.0.1:{silent.getsockname()[1]}")


def test_a_worker_has_as_many_threads_as_processors(monkeypatch):
    for name in ray_workers._THREADS:
        monkeypatch.setenv(name, "")  # what the worker sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("NPROC", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    ray_workers._Worker(lambda: None)
    assert [os.environ[name] for name in ray_workers._THREADS] == ["3", "3", "7"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that Ray leaves open
def test_a_killed_worker_changes_no_byte(checkpoint, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    import psutil  # in Ray's wheel

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    texts = write_texts(tmp_path / "in.txt", some_texts(640))
    given = ("embed", checkpoint("embed"), "-i", texts, *BACKEND, "-o")
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    subprocess.run(command(*given, whole, window=8), check=True, env=environment())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        address = ray.get_runtime_context().gcs_address
        arguments = command(*given, out, "--ray", address, "--workers", "2", window=8, pause=0.1)
        job = subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True)
        state = tmp_path / "out.parquet.part.json"
        while not (state.exists() and json.loads(state.read_text())["records"] >= 80):
            assert job.poll() is None, job.stderr.read()
            time.sleep(0.05)
        workers = [one for one in psutil.Process().children(recursive=True) if "_Worker" in " ".join(one.cmdline())]
        assert len(workers) == 2
        workers[0].kill()
        killed_at = json.loads(state.read_text())["records"]
        assert job.wait(120) == 0, job.stderr.read()
    finally:
        ray.shutdown()
    assert killed_at < 640
    assert out.read_bytes() == whole.read_bytes()
