"""bertx.verify: a conversion against its report, a snapshot of the hub against the hashes that the hub declares."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from cli_support import run

import bertx
from bertx.checkpoints.files import REPORT
from fixture_files import CHECKPOINTS

FOLDER = CHECKPOINTS / "BertForMaskedLM" / "safetensors"


@pytest.fixture
def converted(tmp_path):
    bertx.convert(FOLDER, tmp_path / "converted", "npz")
    return tmp_path / "converted"


def one_bit(path: Path, place: int = -100) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "tensorflow", "flax", "npz", "tf1", "orbax"])
def test_a_conversion_is_what_its_report_says(tmp_path, form):
    report = bertx.convert(FOLDER, tmp_path / "converted", form)
    found = bertx.verify(tmp_path / "converted")
    assert found.passed and found.problems == []
    assert found.checked == len(report.tensors) + len(report.files) > 30
    assert str(found).startswith(
        f"{tmp_path / 'converted'}: {found.checked} compared with its conversion report of {FOLDER}"
    )


def changed_weights(folder: Path) -> None:
    other = folder.parent / "other"
    model = bertx.load(folder, backend="numpy")
    dict(model.tensors())["bert.embeddings.LayerNorm.bias"][:] += 1
    model.save(folder.parent / "saved")
    bertx.convert(folder.parent / "saved", other, "npz")
    shutil.copy(other / "model.npz", folder / "model.npz")


def changed_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"gelu"', '"relu"'))


WRONG = {
    "weights": (changed_weights, ["bert.embeddings.LayerNorm.bias has other values"]),
    "config": (changed_config, ["config.json has another content"]),
    "vocabulary": (lambda folder: (folder / "vocab.txt").write_text("a\n"), ["vocab.txt has another content"]),
    "lost": (lambda folder: (folder / "tokenizer.json").unlink(), ["tokenizer.json, which is not there"]),
    "no weights": (lambda folder: (folder / "model.npz").unlink(), ["is no checkpoint"]),
    "broken": (lambda folder: (folder / "model.npz").write_bytes(b"half"), ["model.npz"]),
    "two": (
        lambda folder: [changed_config(folder), (folder / "vocab.txt").unlink()],
        ["config.json has another content", "vocab.txt, which is not there"],
    ),
    "link": (
        lambda folder: [(folder / "vocab.txt").unlink(), (folder / "vocab.txt").symlink_to(FOLDER / "vocab.txt")],
        ["vocab.txt, a link to"],
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_differs_is_listed(converted, wrong):
    change, problems = WRONG[wrong]
    change(converted)
    found = bertx.verify(converted)
    assert not found.passed and len(found.problems) == len(problems)
    for said in problems:
        assert any(said in problem for problem in found.problems), found.problems
        assert said in str(found)
    assert json.loads(found.to_json())["problems"] == found.problems


def test_the_command_says_it_and_exits_with_1(converted, tmp_path):
    done = run("verify", converted, "--json", tmp_path / "report.json")
    assert done.code == 0 and "all as they were" in done.out, done
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is True
    changed_config(converted)
    done = run("verify", converted)
    assert done.code == 1 and "config.json has another content" in done.out, done
    done = run("verify", FOLDER)
    assert done.code == 1 and f"no {REPORT}" in done.err, done


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"tensors": 3, "files": {}}', '{"tensors": [{"name": 3}], "files": {}}',
     '{"tensors": [], "files": 3}', '{"tensors": [], "files": {"../x": "y"}}',
     '{"tensors": [], "files": {"config.json": 5}}', "[" * 100_000],
)  # fmt: skip
def test_a_report_that_is_none_is_an_error_or_a_difference(converted, text):
    (converted / REPORT).write_text(text)
    try:
        assert not bertx.verify(converted).passed
    except bertx.CheckpointError as error:
        assert REPORT in str(error)


def test_a_folder_without_hashes_is_an_error(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "plain")
    with pytest.raises(bertx.CheckpointError, match=f"no {REPORT}, and is no snapshot"):
        bertx.verify(tmp_path / "plain")


@pytest.fixture
def snapshot(tmp_path):
    """As huggingface_hub leaves it: links to blobs that are called by their hashes."""
    storage = tmp_path / "models--someone--tiny"
    folder = storage / "snapshots" / ("a1" * 20)
    for path in FOLDER.iterdir():
        content = path.read_bytes()
        large = path.suffix == ".safetensors"
        name = (hashlib.sha256(content) if large else hashlib.sha1(b"blob %d\0" % len(content) + content)).hexdigest()
        for place in (storage / "blobs", folder):
            place.mkdir(parents=True, exist_ok=True)
        (storage / "blobs" / name).write_bytes(content)
        (folder / path.name).symlink_to(os.path.relpath(storage / "blobs" / name, folder))
    return folder


def test_a_snapshot_of_the_hub_is_what_its_hashes_say(snapshot, tmp_path):
    (tmp_path / "link").symlink_to(snapshot)
    for source in (snapshot, tmp_path / "link"):
        found = bertx.verify(source)
        assert found.passed and found.checked == len(list(FOLDER.iterdir()))
        assert f"commit {'a1' * 20} of models--someone--tiny" in str(found)
    for name in ("model.safetensors", "vocab.txt"):
        one_bit(snapshot / name, -1)
    found = bertx.verify(snapshot)
    assert found.problems == [
        f"{name} has another content than the hub declares" for name in ("model.safetensors", "vocab.txt")
    ]


def test_what_was_declared_counts_where_there_are_no_links(snapshot):
    """A cache without links; a file that came and went is missed."""
    checked = {}
    for path in list(snapshot.iterdir()):
        content, digest = path.read_bytes(), path.readlink().name
        path.unlink()
        path.write_bytes(content)
        checked[path.name] = [len(content), digest]
    with pytest.raises(bertx.CheckpointError, match="without a single hash"):
        bertx.verify(snapshot)
    state = {"checked": checked, "small": True, "weights": True}
    (snapshot / ".bertx.json").write_text(json.dumps(state))
    assert bertx.verify(snapshot).passed
    (snapshot / "vocab.txt").unlink()
    one_bit(snapshot / "model.safetensors")
    problems = bertx.verify(snapshot).problems
    assert len(problems) == 2 and "model.safetensors has another" in problems[0] and "vocab.txt" in problems[1]
