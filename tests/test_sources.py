from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import bertx
import bertx.hub.download
import bertx_numpy
from bertx import CheckpointError, MissingExtraError
from bertx.configs.bert import BertConfig
from bertx.hub.sources import SHORT_NAMES, resolve
from support import peer, save_peer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_peer(peer("BertForMaskedLM"), tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package that holds a checkpoint folder, with a folder beside the package."""
    inside = tmp_path / "site" / "some_models_of_mine" / "models" / "tiny"
    inside.mkdir(parents=True)
    (inside.parent.parent / "__init__.py").touch()
    (inside / "config.json").write_text("{}")
    (tmp_path / "site" / "outside").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return inside


@pytest.fixture
def no_hub(monkeypatch):
    """A download that only tells what it was asked for."""
    asked = []

    def fetch(hub_id, revision, weights):
        asked.append((hub_id, revision))
        return Path("/downloaded")

    monkeypatch.setattr(bertx.hub.download, "fetch", fetch)
    return asked


def test_a_folder_is_itself(tmp_path, no_hub):
    assert resolve(tmp_path) == resolve(str(tmp_path)) == tmp_path
    assert no_hub == []


def test_a_folder_of_a_short_name_comes_before_the_hub(tmp_path, monkeypatch, no_hub):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert-base").mkdir()
    assert resolve("bert-base").resolve() == tmp_path / "bert-base"
    assert no_hub == []


@pytest.mark.parametrize("name", ["nothing", "./nothing", "../nothing"])
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(tmp_path, monkeypatch, no_hub, name):
    monkeypatch.chdir(tmp_path)
    source = str(tmp_path / name) if name == "nothing" else name
    with pytest.raises(CheckpointError, match="there is no folder") as error:
        resolve(source)
    assert source in str(error.value) and no_hub == []


LOCAL = {
    "a folder": lambda folder, package: str(folder),
    "a relative path": lambda folder, package: os.path.relpath(folder),
    "the folder here": lambda folder, package: ".",
    "a folder of a hub id's name": lambda folder, package: "bert-base-uncased",
    "a package": lambda folder, package: "python:some_models_of_mine/models/tiny",
}


@pytest.mark.parametrize("source", LOCAL)
def test_a_revision_of_what_is_no_model_of_the_hub_is_an_error(
    tmp_path, monkeypatch, checkpoint, package, no_hub, source
):
    monkeypatch.chdir(checkpoint)
    (tmp_path / "bert-base-uncased").symlink_to(checkpoint)
    if source == "a folder of a hub id's name":
        monkeypatch.chdir(tmp_path)
    name = LOCAL[source](checkpoint, package)
    calls = {
        "load": lambda revision: bertx.load(name, backend="numpy", revision=revision),
        "from_pretrained": lambda revision: bertx_numpy.BertModel.from_pretrained(name, revision=revision),
        "config": lambda revision: BertConfig.from_pretrained(name, revision=revision),
        "tokenizer": lambda revision: bertx.BertTokenizer.from_pretrained(name, revision=revision),
        "inspect": lambda revision: bertx.inspect(name, revision=revision),
        "convert": lambda revision: bertx.convert(name, tmp_path / "target", revision=revision),
        "verify": lambda revision: bertx.verify(name, revision=revision),
    }
    for what, call in calls.items():
        for revision in ("main", "v1", ""):
            with pytest.raises(ValueError, match="has no revision") as error:
                call(revision)
            assert name in str(error.value) and repr(revision) in str(error.value), what
    assert no_hub == [] and not (tmp_path / "target").exists()


def test_a_revision_of_a_config_file_is_an_error(checkpoint):
    with pytest.raises(ValueError, match="has no revision"):
        BertConfig.from_pretrained(checkpoint / "config.json", revision="main")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("bert-bas", "bert-base"),
        ("bert-base-uncase", "bert-base-uncased"),
        ("all-minilm-l6-v2", "all-MiniLM-L6-v2"),
        ("my-modle", "my-model"),
        ("./my-modle", "my-model"),
        ("sub/my-modle", "sub/my-model"),
    ],
)
def test_a_name_with_a_typo_gets_a_suggestion(tmp_path, monkeypatch, name, meant):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bertx.hub.download, "fetch", not_found)
    for folder in ("my-model", "sub/my-model"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(CheckpointError, match="did you mean") as error:
        resolve(name)
    found = str(error.value).partition("did you mean ")[2]
    assert meant in found.partition("?")[0].split(" or ")
    assert ("short names: bert-base, bert-base-uncased, " in found) == ("/" not in name)


def test_a_name_without_a_typo_gets_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bertx.hub.download, "fetch", not_found)
    for name in ("bert-base", "google-bert/bert-base-uncased", "zzz"):
        with pytest.raises(CheckpointError) as error:
            resolve(name)
        assert "did you mean" not in str(error.value)


def not_found(hub_id, revision, weights):
    raise bertx.hub.download.NotFoundError(f"there is no folder {hub_id}")


def test_a_path_deeper_than_a_hub_id_is_not_looked_for_there(no_hub):
    with pytest.raises(CheckpointError, match="there is no folder a/b/c"):
        resolve("a/b/c")
    assert no_hub == []


def test_a_file_is_an_error_that_asks_for_its_folder(checkpoint, no_hub):
    with pytest.raises(CheckpointError, match="is a file: give the folder") as error:
        bertx.load(checkpoint / "model.safetensors", backend="numpy")
    assert str(checkpoint / "model.safetensors") in str(error.value) and no_hub == []


def test_a_folder_inside_a_package_is_found_without_importing_it(package):
    assert resolve("python:some_models_of_mine/models/tiny") == package.resolve()
    assert resolve("python:some_models_of_mine") == package.parent.parent.resolve()
    assert "some_models_of_mine" not in sys.modules


@pytest.mark.parametrize("name", ["no_such_package_here/x", "os.path/x", "/x", "", "a-b/x", "../x", "json.py/x"])
def test_a_package_that_is_not_installed_is_named(name, no_hub):
    with pytest.raises(CheckpointError, match="there is no Python package") as error:
        resolve(f"python:{name}")
    assert repr(name.partition("/")[0]) in str(error.value) and no_hub == []


@pytest.mark.parametrize(
    "folder",
    ["nothing", "models/nothing", "models/tiny/config.json", "..", "../outside", "models/../../outside", "/", "/etc"],
)
def test_a_folder_that_the_package_does_not_hold_is_an_error(package, folder):
    with pytest.raises(CheckpointError, match="the package some_models_of_mine holds no folder") as error:
        resolve(f"python:some_models_of_mine/{folder}")
    assert repr(folder) in str(error.value)


def test_dots_that_stay_inside_the_package_are_allowed(package):
    assert resolve("python:some_models_of_mine/models/../models/tiny") == package.resolve()


@pytest.mark.parametrize(
    ("name", "hub_id"),
    [
        ("bert-base", "google-bert/bert-base-uncased"),
        ("bert-base-uncased", "google-bert/bert-base-uncased"),
        ("bert-large-cased", "google-bert/bert-large-cased"),
        ("bert-base-chinese", "google-bert/bert-base-chinese"),
        ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("someone/tiny-bert", "someone/tiny-bert"),
        ("gpt2", "gpt2"),
    ],
)
def test_short_names_and_hub_ids_are_asked_of_the_hub(tmp_path, monkeypatch, no_hub, name, hub_id):
    monkeypatch.chdir(tmp_path)
    assert resolve(name) == Path("/downloaded")
    assert resolve(name, revision="v1") == Path("/downloaded")
    assert no_hub == [(hub_id, None), (hub_id, "v1")]


def test_every_short_name_is_in_the_docs():
    text = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
    assert [name for name in SHORT_NAMES if f"`{name}`" not in text] == []


def test_every_short_name_means_a_hub_id():
    assert all(value.count("/") == 1 for value in SHORT_NAMES.values())
    assert all(value.split("/")[1].startswith(name) for name, value in SHORT_NAMES.items())


def test_config_and_tokenizer_take_the_same_sources(package):
    assert BertConfig.from_pretrained("python:some_models_of_mine/models/tiny") == BertConfig()
    with pytest.raises(FileNotFoundError, match=r"expected tokenizer\.json or vocab\.txt"):
        bertx.BertTokenizer.from_pretrained("python:some_models_of_mine/models/tiny")


@pytest.mark.parametrize("name", ["huggingface_hub", "huggingface_hub.errors"])
def test_without_huggingface_hub_the_error_names_the_extra(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as error:
        bertx.load("someone/tiny-bert", backend="numpy")
    assert "bertx[hub]" in str(error.value) and "someone/tiny-bert" in str(error.value)


@pytest.mark.parametrize("name", ["not a name", "a/b!", "-x-", "x--y"])
def test_what_cannot_be_a_hub_id_is_an_error_without_asking(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no such model on the hub") as error:
        resolve(name)
    assert f"there is no folder {name}" in str(error.value)
