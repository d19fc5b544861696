"""`--ray`: a job on the workers of a local cluster writes what one process writes, also where one of them is killed."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from cli_support import BACKEND, command, environment, run, some_texts, write_texts

from bertx.cli import verbs
from bertx.cli.records import Record

pytest_plugins = "cli_support"


def test_what_ray_is_not_of_is_refused(checkpoint, tmp_path):
    done = run("embed", checkpoint("embed"), "the dog", "--workers", "2", *BACKEND)
    assert done.code == 2 and "--workers is of --ray" in done.told
    done = run("generate", checkpoint("generate"), "the dog", "--stream", "--ray", "local", *BACKEND)
    assert done.code == 2 and "--stream prints text as it is made here" in done.told


def test_a_worker_with_other_files_of_the_model_is_told(checkpoint):
    call = verbs.Call(str(checkpoint("embed")), backend="numpy")
    expected = verbs.computed_by("numpy", call, verbs.found_source(call))
    begun = lambda of: verbs._begun("feature-extraction", call, {}, {"embedding": "vector"}, "float32", of)  # noqa: E731
    record = Record(0, 1, {"text": "the dog"})
    assert begun(expected)([record])[0]["embedding"].shape == (48,)
    for name, value in {"model": expected["model"] | {"config.json": "0"}, "bertx": "0"}.items():
        with pytest.raises(ValueError, match=f"has another {name} than the machine that began"):
            begun(expected | {name: value})


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
