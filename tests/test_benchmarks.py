"""The benchmarks: that they run, compare what is computed, and reckon rightly. Their figures are not judged."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    """Their folder, on the path as it is when one of them is run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, BENCHMARKS / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})


def test_a_quick_run_of_bertx(tmp_path):
    contenders = ["--contenders", "bertx numpy", "bertx torch"]
    done = _run("run.py", "classify", "--quick", "--rounds", "2", "--out", str(tmp_path), *contenders)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["machine"]["cores"] == os.cpu_count()
    found = results["cases"]["classify"]["contenders"]
    assert list(found) == ["bertx torch", "bertx numpy"]
    for contender in found.values():
        assert len(contender["seconds"]) == 2
        assert min(contender["seconds"]) > 0
        assert contender["peak"] > 20
        assert contender["difference"] <= 1e-3
        assert "numpy" in contender["versions"]
    assert "bertx numpy" in done.stdout


def test_a_contender_that_computes_something_else_is_not_timed(tmp_path, benchmarks, monkeypatch, capsys):
    import run

    loads = []

    def load(path):
        loads.append(path)
        return np.full((1, 384), len(loads), np.float64)

    monkeypatch.setattr(run.np, "load", load)
    contenders = ["--contenders", "bertx numpy", "bertx torch"]
    assert run.main(["short", "--quick", "--rounds", "1", "--out", str(tmp_path), *contenders]) == 1
    first, second = json.loads((tmp_path / "results.json").read_text())["cases"]["short"]["contenders"].values()
    assert "seconds" in first
    assert "seconds" not in second
    assert "something else: max |Δ| 1.0e+00" in second["error"]


def test_a_contender_that_does_not_start_is_told(tmp_path, benchmarks, monkeypatch):
    import run

    monkeypatch.setattr(run, "PEER_PYTHON", tmp_path / "python")
    monkeypatch.setattr(run, "prepare", lambda case, names, tiny: tmp_path)
    found = run.measure(run.CASES["short"], ["TFBert", "bertx numpy"], 1, quick=True)
    assert "make bench" in found["TFBert"]["error"]
    assert "safetensors" in found["bertx numpy"]["error"]


def test_several_processes_share_the_rounds(benchmarks, monkeypatch):
    import run

    started, begin = [], run.begin
    monkeypatch.setattr(run, "begin", lambda *arguments: started.append(arguments[1]) or begin(*arguments))
    case = dataclasses.replace(run.CASES["short"].quick(), processes=2)
    found = run.measure(case, ["bertx numpy"], 3, quick=True)
    assert started == ["bertx numpy"] * 2
    assert len(found["bertx numpy"]["seconds"]) == 3


def test_the_cases_of_earlier_runs_stay(tmp_path, benchmarks, monkeypatch):
    import run

    monkeypatch.setattr(run, "measure", lambda case, *_: {"bertx numpy": {"seconds": [1.0], "peak": 1.0}})
    monkeypatch.setattr(run, "print_tables", lambda *_: None)
    for name in ("short", "dense", "short"):
        run.main([name, "--quick", "--out", str(tmp_path), "--contenders", "bertx numpy"])
    assert list(json.loads((tmp_path / "results.json").read_text())["cases"]) == ["dense", "short"]


def test_a_second_measurement_beside_the_first_is_refused(tmp_path, benchmarks, monkeypatch):
    import run

    monkeypatch.setattr(run, "BUILD", tmp_path)
    with run.alone(), pytest.raises(SystemExit, match="another benchmarks"):
        run.main(["short", "--out", str(tmp_path), "--contenders", "bertx numpy"])
    with run.alone():  # the lock goes with its holder
        pass


def test_spread_and_ratio(benchmarks):
    from report import ratio, spread

    assert spread([3.0, 1.0]) == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert spread([5.0, 1.0, 2.0, 3.0, 4.0]) == {"median": 3.0, "low": 2.0, "high": 4.0}
    # Twice as fast in each round, though the machine becomes ten times slower.
    assert ratio([1.0, 10.0, 2.0], [2.0, 20.0, 4.0]) == {"median": 2.0, "low": 2.0, "high": 2.0}


def test_summary_of_the_peak(benchmarks):
    from cases import BERT_BASE, PRODUCTS, flops
    from report import summary

    work, product = flops(BERT_BASE, 8, 128), 2 * 2048**3
    seconds = {"bertx torch": work / 8e10, "transformers torch": work / 4e10}
    seconds |= {PRODUCTS[0]: product / 5e10, PRODUCTS[1]: product / 1e11}
    measured = {name: {"seconds": [value] * 3, "peak": 100.0} for name, value in seconds.items()}
    case = summary("dense", measured | {"FlaxBert jit": {"error": "no"}}, quick=False)
    assert case["contenders"]["bertx torch"]["of_peak"]["median"] == pytest.approx(0.8)
    assert case["contenders"]["bertx torch"]["gflops"] == pytest.approx(80)
    assert case["contenders"][PRODUCTS[0]]["of_peak"]["median"] == pytest.approx(0.5)
    (row,) = case["ratios"]
    assert (row["of"], row["to"], row["goal"]) == ("bertx torch", "transformers torch", 1.0)
    assert row["median"] == pytest.approx(2)


def test_flops_of_bert_base(benchmarks):
    from cases import BERT_BASE, flops

    # 12 layers × 12 H² weights, two operations a token, and the two products of attention.
    assert flops(BERT_BASE, 1, 128) == 12 * 128 * (2 * 12 * 768**2 + 4 * 128 * 768)


def test_texts_have_the_tokens_that_were_asked_for(benchmarks):
    import cases

    from bertx import BertTokenizer
    from bertx.hub.sources import resolve

    folder = resolve(cases.MINILM)
    tokenizer = BertTokenizer.from_pretrained(folder)
    lengths = [len(ids) for ids in tokenizer(cases.texts(50, 0, folder / "vocab.txt"))["input_ids"]]
    assert sum(length >= 100 for length in lengths) == 10
    assert max(lengths) <= 256
    masked = tokenizer(cases.texts(3, 32, folder / "vocab.txt", mask=True))["input_ids"]
    assert [len(ids) for ids in masked] == [32] * 3
    assert [ids.count(tokenizer.mask_token_id) for ids in masked] == [1] * 3


def test_every_name_in_a_case_is_a_contender(benchmarks):
    import checkpoints
    import worker
    from cases import CASES, CONTENDERS

    assert all(callable(getattr(worker, contender.library)) for contender in CONTENDERS.values())
    for case in CASES.values():
        names = {name for group in case.groups for name in group}
        assert names <= set(CONTENDERS)
        assert {name for of, to, _ in case.ratios for name in (of, to)} <= names
        assert case.checkpoint in {*checkpoints.ARCHITECTURES, "minilm", "bert2bert"}


def test_gpu_says_that_there_is_none():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = _run("gpu.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("There is no GPU")


@pytest.mark.slow
def test_gpu_runs_to_its_end_with_tiny_sizes(tmp_path):
    done = _run("gpu.py", "--tiny", "--rounds", "1", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    lines = {(line["case"], line["model"]): line for line in report["models"]}
    cases = {case for case, _ in lines}
    assert {"peak", "texts", "tokenising", "one text of 16 tokens", "a gradient"} <= cases
    assert {"dense, 2 x 16", "4 rows of 8 to 16", "generation, 2 x 4"} <= cases
    assert all(line["error"] is None and line["per_second"] > 0 for line in lines.values())
    assert all(line["delta"] <= line["bound"] for line in lines.values() if line["bound"] is not None)
    assert lines["4 rows of 8 to 16", "bertx, packed"]["share"] > 0
    table = done.stdout.split("\n\n")[-1].splitlines()
    assert len(table) == 2 + len(lines)


def test_gpu_finds_an_output_that_is_wrong(benchmarks, monkeypatch, tmp_path):
    import gpu

    def case(setting):
        contenders = {"bertx": gpu.Contender(lambda: 1.0, np.asarray, 0.1)}
        yield gpu.Case("one", "rows/s", 1, contenders, np.float64(0.0))

    monkeypatch.setattr(gpu, "CASES", {"one": case})
    monkeypatch.setattr(gpu, "found_devices", lambda: {"torch": "cpu"})
    assert gpu.main(["--tiny", "--rounds", "1", "--cases", "one", "--out", str(tmp_path / "gpu.json")]) == 1


@pytest.mark.slow
def test_the_servers_are_measured_beside_each_other(tmp_path):
    out = tmp_path / "serving.json"
    done = _run("serving.py", "--clients", "1", "3", "--seconds", "0.5", "--rounds", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    servers = {"bertx serve", "peer", "the library"}
    keys = {(one["kind"], one["server"], one["clients"]) for one in results}
    assert keys == {
        (kind, server, clients) for kind in ("embed", "classify") for server in servers for clients in (1, 3)
    }
    assert all(one["per_second"] > 0 for one in results)
    assert "| embed | 3 | bertx serve |" in done.stdout
