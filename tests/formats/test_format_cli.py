"""`bertx convert` and `bertx inspect` on every format: what they print, what they write, and their exit codes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest
from format_support import (
    FIXTURES,
    HEADS,
    VARIANTS,
    assert_bit_equal,
    copy_with_config,
    left_beside,
    original,
    read_tensors,
)

import bertx.checkpoints.convert
import bertx.cli

HEAD = "BertForSequenceClassification"
SOURCE = FIXTURES / HEAD / "safetensors"


@pytest.fixture
def run(monkeypatch, capsys):
    """The command line in this process: its arguments → exit code, stdout, stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bertx", *map(str, arguments)])
        try:
            bertx.cli.main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


# --- convert --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "tensorflow", "flax", "npz", "tf1", "orbax"])
def test_convert(run, tmp_path, form):
    code, out, err = run("convert", SOURCE, tmp_path / "target", "--to", form, "--json", tmp_path / "report.json")
    assert (code, err) == (0, "")
    first, last = out.splitlines()
    assert first.startswith(f"{SOURCE} (safetensors) → {tmp_path / 'target'} ({form}), {HEAD}: 41 tensors in ")
    assert last == "  verified: read back, every tensor bit-equal and a forward pass on NumPy equal"
    found = read_tensors(tmp_path / "target")
    assert_bit_equal(found, original(HEAD))
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["format"], report["verified"], len(report["tensors"])) == (form, True, 41)
    assert left_beside(tmp_path) == {"target", "report.json"}


def test_convert_writes_safetensors_unless_told(run, tmp_path):
    code, out, _ = run("convert", FIXTURES / HEAD / "flax", tmp_path / "target")
    assert code == 0 and "(flax) → " in out and "(safetensors)" in out
    assert (tmp_path / "target" / "model.safetensors").is_file()


def test_convert_casts_and_says_what(run, tmp_path):
    code, out, _ = run(
        "convert", FIXTURES / HEAD / "tf1_estimator", tmp_path / "target", "--dtype", "bfloat16",
        "--task", "text-classification", "--no-verify",
    )  # fmt: skip
    assert code == 0
    lines = [line.strip() for line in out.splitlines()[1:]]
    assert lines[0] == "cast: float32 to bfloat16" and lines[-1] == "not verified"
    assert any(line.startswith("skipped: ") and line.endswith("an optimizer's slot, and 81 more") for line in lines)
    assert "skipped: global_step: a counter of the training" in lines
    assert bertx.inspect(tmp_path / "target").dtypes == {"bfloat16": 41}


def test_convert_takes_a_task(run, tmp_path):
    source = FIXTURES / "BertForPreTraining" / "safetensors"
    code, out, _ = run("convert", source, tmp_path / "target", "--to", "npz", "--task", "fill-mask")
    assert code == 0 and "BertForMaskedLM: 42 tensors" in out
    assert "skipped: bert.pooler.dense.bias: of another head, and 3 more" in out


def test_convert_overwrites_when_told(run, tmp_path):
    arguments = ("convert", SOURCE, tmp_path / "target", "--to", "npz")
    assert run(*arguments)[0] == 0
    code, out, err = run(*arguments)
    assert (code, out) == (1, "") and "is there already" in err and err.startswith("bertx: ")
    assert run(*arguments, "--overwrite")[0] == 0
    assert left_beside(tmp_path) == {"target"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "onnx"), "expected one of safetensors, pytorch, tensorflow, flax, npz, keras-hub, tf1, tf2, orbax"),
        (("--dtype", "int8"), "expected one of float32"),
        (("--task", "translation"), "is none of"),
        (("--verify-not",), "No such option"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, tmp_path, arguments, said):
    code, out, err = run("convert", SOURCE, tmp_path / "target", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
    assert left_beside(tmp_path) == set()


def test_without_a_target_is_wrong_usage(run):
    assert run("convert", SOURCE)[0] == 2


@pytest.mark.parametrize(
    ("source", "arguments", "said"),
    [
        (FIXTURES / "nothing", (), "there is no folder"),
        (SOURCE, ("--to", "keras-hub"), "hidden_act is 'gelu', KerasHub's BERT has 'gelu_new'"),
        (SOURCE, ("--to", "tf2"), "the format tf2 has no place for classifier.bias, classifier.weight"),
        (SOURCE, ("--task", "question-answering"), "there is no question-answering in it"),
        (SOURCE, ("--to", "tensorflow", "--dtype", "bfloat16"), "tf_model.h5 cannot hold bfloat16"),
        (FIXTURES / HEAD / "tf1", (), "say which with task="),
    ],
)
def test_a_conversion_that_fails_is_exit_code_1(run, tmp_path, source, arguments, said):
    code, out, err = run("convert", source, tmp_path / "target", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("bertx: ") and said in err and "Traceback" not in err
    assert left_beside(tmp_path) == set()


def test_what_is_not_verified_fails(run, tmp_path, monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(bertx.checkpoints.convert, "_sha256", lambda array: str(next(numbers)))
    code, _, err = run("convert", SOURCE, tmp_path / "target", "--to", "npz")
    assert code == 1 and "the target read back is not the source; it was removed" in err
    assert left_beside(tmp_path) == set()


def test_an_interrupt_leaves_nothing(tmp_path):
    """Ctrl-C, in a process of its own, while tensors are written."""
    script = (
        "import os, signal, sys\nimport bertx.checkpoints.convert\nfrom bertx.cli import main\n"
        "hashed = bertx.checkpoints.convert._sha256\n"
        "def stop(array):\n    os.kill(os.getpid(), signal.SIGINT)\n    return hashed(array)\n"
        "bertx.checkpoints.convert._sha256 = stop\nmain()"
    )
    command = [sys.executable, "-c", script, "convert", str(SOURCE), str(tmp_path / "target"), "--to", "npz"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode not in (0, 2)
    assert left_beside(tmp_path) == set()


def test_progress_is_shown_on_a_terminal_alone(run, tmp_path):
    command = [sys.executable, "-m", "bertx", "convert", str(SOURCE), str(tmp_path / "piped"), "--to", "npz"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    master, slave = os.openpty()
    command[-3] = str(tmp_path / "terminal")
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=slave, timeout=120, env={**os.environ, "TERM": "xterm"}
    )
    os.close(slave)
    shown = os.read(master, 2**16).decode()
    os.close(master)
    assert result.returncode == 0 and "to npz" in shown
    size = sum(array.nbytes for array in original(HEAD).values())
    assert f"{size / 1000:.1f}/{size / 1000:.1f} kB" in shown  # all of it, at the end


def test_help_names_every_format(run):
    code, out, _ = run("convert", "--help")
    assert code == 0
    shown = " ".join(out.replace("│", " ").split())
    assert "safetensors, pytorch, tensorflow, flax, npz, keras-hub, tf1, tf2, orbax" in shown


# --- inspect --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "form", "arguments"),
    [
        (FIXTURES / HEAD / "pytorch", "pytorch", ()),
        (FIXTURES / HEAD / "tensorflow", "tensorflow", ()),
        (FIXTURES / HEAD / "flax", "flax", ()),
        (FIXTURES / HEAD / "keras_hub", "keras-hub", ()),
        (FIXTURES / HEAD / "tf1_estimator", "tf1", ("--task", "text-classification")),
        (FIXTURES / HEAD / "tf2", "tf2", ("--task", "text-classification")),
        (FIXTURES / HEAD / "orbax", "orbax", ()),
        (VARIANTS / "flax_sharded", "flax", ("--task", "fill-mask")),
    ],
    ids=lambda value: value.name if hasattr(value, "name") else None,
)
def test_inspect_reads_every_format(run, tmp_path, folder, form, arguments):
    code, out, err = run("inspect", folder, "--json", tmp_path / "report.json", *arguments)
    assert (code, err) == (0, "")
    shown = {line[:11].strip(): line[11:] for line in out.splitlines() if not line.startswith(" ")}
    assert shown["format"].startswith(f"{form}: ") and shown["loads"] == "yes"
    assert shown["config"].startswith("2 layers, hidden 12, 3 heads, feed-forward 20, vocabulary 41, positions 19")
    assert shown["tokenizer"] != "none"
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["format"], report["loads"]) == (form, True)
    assert report["task"] == ("fill-mask" if "sharded" in folder.name else HEADS[HEAD])
    skipped = "\n".join(report["report"]["skipped"])
    assert ("optimizer's slot" in skipped) == ("estimator" in folder.name)


def test_inspect_reads_an_npz(run, tmp_path):
    bertx.convert(SOURCE, tmp_path / "npz", "npz")
    code, out, _ = run("inspect", tmp_path / "npz")
    assert code == 0 and "format     npz: model.npz (" in out


def test_inspect_of_what_does_not_load_is_exit_code_1(run, tmp_path):
    folder = copy_with_config(FIXTURES / HEAD / "flax", tmp_path / "copy", intermediate_size=21)
    code, out, _ = run("inspect", folder)
    assert code == 1 and "loads      no" in out and "wrong shape: bert/encoder/layer/0/intermediate/dense/bias" in out
    shutil.copytree(FIXTURES / HEAD / "flax", tmp_path / "cut")
    path = tmp_path / "cut" / "flax_model.msgpack"
    path.write_bytes(path.read_bytes()[:1000])
    code, out, err = run("inspect", tmp_path / "cut")
    assert (code, out) == (1, "") and str(path) in err
