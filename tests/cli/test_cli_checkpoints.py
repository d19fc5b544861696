"""inspect, backends, demo and parity of the command line, --help, --version, and how errors look."""

from __future__ import annotations

import json
import shutil

import pytest
from cli_support import BACKEND, VERBS, run, run_process, write_checkpoint

from bertx.backend import known_runtimes

pytest_plugins = "cli_support"

ALL = [*VERBS, "parity", "export", "inspect", "backends", "demo"]


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_verbs(option):
    done = run(option)
    assert (done.code, done.err) == (0, "")
    for verb in ALL:
        assert f" {verb} " in done.out


@pytest.mark.parametrize("verb", ALL)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_verb_has_help(verb, option):
    done = run(verb, option)
    assert (done.code, done.err) == (0, "")
    assert f"bertx {verb}" in done.out or f"Usage: {verb}" in done.out
    if verb in VERBS:
        for name in ("--input", "--column", "--out", "--resume", "--overwrite", "--backend", "--batch-tokens"):
            assert name in done.out


def test_no_verb_gives_the_help_and_2():
    done = run()
    assert done.code == 2
    assert "next-sentence" in done.out + done.err


def test_version():
    import bertx

    assert run("--version").out == f"bertx {bertx.__version__}\n"


def test_inspect_says_what_a_checkpoint_is(checkpoint, tmp_path):
    folder = checkpoint("classify")
    done = run("inspect", folder, "--json", tmp_path / "report.json")
    assert (done.code, done.err) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in done.out.splitlines() if line and not line.startswith(" "))
    assert lines["source"] == str(folder)
    assert lines["head"] == "BertForSequenceClassification (text-classification)"
    assert lines["config"].startswith("3 layers, hidden 48, 6 heads, feed-forward 100, vocabulary 131, positions 37")
    assert lines["labels"] == "LABEL_0, LABEL_1, LABEL_2, LABEL_3, LABEL_4"
    assert lines["dtypes"].startswith("float32 (")
    assert lines["format"].startswith("safetensors: model.safetensors (")
    assert lines["tokenizer"] == "vocab.txt"
    assert lines["loads"] == "yes"

    from safetensors.numpy import load_file

    tensors = load_file(folder / "model.safetensors")
    count = sum(tensor.size for tensor in tensors.values())
    assert lines["parameters"] == f"{count:,} in {len(tensors)} tensors"
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["parameters"] == count
    assert report["tensors"] == len(tensors)
    assert sum(report["parts"].values()) == count
    assert sum(count for part, count in report["parts"].items() if part.startswith("classifier")) == 48 * 5 + 5
    assert report["dtypes"] == {"float32": len(tensors)}
    assert report["files"] == {"model.safetensors": (folder / "model.safetensors").stat().st_size}
    assert report["config"]["hidden_size"] == 48
    assert report["task"] == "text-classification"
    assert report["loads"] is True
    assert report["report"]["used"]


def test_inspect_of_another_head_says_what_would_be_initialised(checkpoint):
    done = run("inspect", checkpoint("fill-mask"), "--task", "text-classification")
    assert done.code == 0
    assert "BertForSequenceClassification (text-classification)" in done.out
    assert "classifier.weight" in done.out
    assert "cls.predictions" in done.out  # what is left out


@pytest.mark.parametrize("broken", ["missing", "misshapen"])
def test_a_checkpoint_that_does_not_fit_exits_with_1_and_is_still_described(checkpoint, tmp_path, broken):
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(checkpoint("classify"), tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    names = ["bert.encoder.layer.1.attention.self.query.weight", "bert.encoder.layer.2.output.LayerNorm.bias"]
    for name in names:
        tensor = tensors.pop(name)
        if broken == "misshapen":
            tensors[name] = tensor[:-1].copy()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    done = run("inspect", folder, "--json", tmp_path / "report.json")
    assert done.code == 1
    assert "loads      no" in done.out
    for name in names:
        assert name in done.out
    assert json.loads((tmp_path / "report.json").read_text())["loads"] is False
    # The job that would load it fails with the same names, and leaves nothing.
    done = run("classify", folder, "the dog", "-o", tmp_path / "out.jsonl", *BACKEND)
    assert done.code == 1
    for name in names:
        assert name in done.err
    assert not list(tmp_path.glob("out*"))


def test_what_is_no_checkpoint_is_told(tmp_path):
    for arguments in (("inspect", tmp_path), ("embed", tmp_path, "a"), ("parity", tmp_path)):
        done = run(*arguments)
        assert done.code == 1
        assert done.out == ""
        assert f"bertx: {tmp_path} " in done.err
        assert "config.json" in done.err
    done = run("inspect", tmp_path / "nothing")
    assert done.code == 1
    assert f"there is no folder {tmp_path / 'nothing'}" in done.err
    assert run("inspect", tmp_path, "--task", "poetry").code == 2


def test_a_checkpoint_without_a_tokenizer(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("classify"), tmp_path / "plain")
    (folder / "vocab.txt").unlink()
    assert "tokenizer  none" in run("inspect", folder).out
    done = run("classify", folder, "the dog", *BACKEND)
    assert done.code == 1
    assert "has no tokenizer: expected tokenizer.json or vocab.txt" in done.err


def test_backends_lists_what_is_here():
    done = run("backends")
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert set(lines) == {"backend", "torch", "jax", "tensorflow", "numpy", *known_runtimes()}
    assert "float64" in lines["numpy"]
    assert "cpu" in lines["torch"]
    assert "decoder, trainer, packs, replays, compile, workers" in lines["torch"] and "int8" in lines["torch"]
    assert "decoder, trainer" in lines["tensorflow"] and "compile" not in lines["tensorflow"]
    assert "decoder" in lines["numpy"] and "trainer" not in lines["numpy"]
    assert "exporter" in lines["torch"] and "exporter" not in lines["numpy"] and "cpu" in lines["onnxruntime"]


def test_the_module_is_the_command():
    done = run_process("--version")
    assert done.code == 0
    assert done.out.startswith("bertx ")


def test_parity_of_an_own_checkpoint(checkpoint, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("the dog\n\na cat walks\n")
    done = run("parity", checkpoint("classify"), "-b", "numpy", "--texts", texts, "--json", tmp_path / "r.json")
    assert done.code == 0
    assert "parity holds" in done.out
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is True


def test_a_folder_with_brackets_in_its_name(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("embed"), tmp_path / "x[/b]")
    assert run("embed", folder, "the dog", *BACKEND).code == 0


def test_parity_prints_the_name_of_its_source_as_it_is(tmp_path):
    folder = write_checkpoint("BertModel", tmp_path / "model[old]")
    assert str(folder) in run("parity", folder, "-b", "numpy").out


def test_parity_says_which_file_is_not_utf8(checkpoint, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_bytes(b"the dog\nthe \xff\n")
    done = run("parity", checkpoint("embed"), "-b", "numpy", "--texts", texts)
    assert done.code in (1, 2)
    assert "texts.txt" in done.told


def test_a_report_that_cannot_be_written_is_shown_all_the_same(checkpoint, tmp_path):
    done = run("parity", checkpoint("embed"), "-b", "numpy", "--json", tmp_path / "no" / "report.json")
    assert done.code in (0, 1, 2)
    assert "parity holds" in done.out or done.code in (0, 2)
