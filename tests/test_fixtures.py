"""What tests/fixtures may weigh, and that it is put together and taken apart without loss."""

from __future__ import annotations

import collections
import shutil
from pathlib import Path

import pytest

import fixture_files


def contents(folder: Path) -> dict[str, bytes]:
    """Path → bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """A copy of tests/fixtures that `store` writes to."""
    shutil.copytree(fixture_files.STORED, tmp_path / "fixtures", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fixture_files, "STORED", tmp_path / "fixtures")
    monkeypatch.setattr(fixture_files, "_SHARED", tmp_path / "fixtures" / "shared")
    return tmp_path / "fixtures"


def test_the_fixtures_are_few_and_small(apart):
    stored = contents(apart)
    assert len(stored) < 450
    assert sum(map(len, stored.values())) <= 8e6
    assert not [path for path in apart.rglob("*") if path.is_symlink()]
    same = collections.defaultdict(list)
    for name, content in stored.items():
        same[content].append(name)
    twice = [names for content, names in same.items() if len(names) > 1 and len(content) > 1000]
    assert not twice, "store them once: tests/fixtures/shared.json"


def test_what_a_test_reads_is_what_is_stored(apart, tmp_path):
    fixture_files.assemble(tmp_path / "complete")
    complete = contents(tmp_path / "complete")
    assert complete == contents(fixture_files.FIXTURES)
    assert len(complete) > 900 and not [name for name in complete if "shared" in name.split("/") or ".zip" in name]
    tokenizer = contents(apart / "shared" / "tokenizer")
    for name, content in tokenizer.items():
        assert complete[f"checkpoints/BertModel/orbax_manager/{name}"] == content
        assert complete[f"checkpoints/variants/untied/flax/{name}"] == content


def test_a_fixture_is_stored_as_it_was(apart, tmp_path):
    before = contents(apart)
    for folder in ("checkpoints", "cases"):
        fixture_files.store(fixture_files.FIXTURES / folder)
    assert set(contents(apart)) == set(before)
    assert {name: data for name, data in contents(apart).items() if not name.endswith(".zip")} == {
        name: data for name, data in before.items() if not name.endswith(".zip")
    }
    fixture_files.assemble(tmp_path / "complete")
    assert contents(tmp_path / "complete") == contents(fixture_files.FIXTURES)


def test_a_changed_copy_of_a_shared_file_is_refused(apart, monkeypatch, tmp_path):
    fixture_files.assemble(tmp_path / "complete")
    monkeypatch.setattr(fixture_files, "FIXTURES", tmp_path / "complete")
    (tmp_path / "complete" / "checkpoints" / "BertModel" / "flax" / "vocab.txt").write_text("another\n")
    before = contents(apart)
    with pytest.raises(ValueError, match=r"BertModel/flax/vocab\.txt'\] differ from"):
        fixture_files.store(tmp_path / "complete" / "checkpoints")
    assert contents(apart) == before


def test_a_pattern_without_a_folder_is_refused(apart):
    (apart / "shared.json").write_text('{"tokenizer": ["checkpoints/Nothing"]}')
    with pytest.raises(ValueError, match="tokenizer: there is no checkpoints/Nothing"):
        list(fixture_files.shared_files())
