from __future__ import annotations

import hashlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import bertx
import bertx.hub
from bertx import CheckpointError, MissingExtraError
from bertx.config import BertConfig
from bertx.sources import SHORT_NAMES, resolve
from support import peer, save_peer

COMMIT = "c0ffee" + "0" * 34
HUB_ID = "someone/tiny-bert"


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

    monkeypatch.setattr(bertx.hub, "fetch", fetch)
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


def sibling(name: str, content: bytes) -> dict:
    """What the hub declares of a file; the large ones lie in LFS, under their SHA-256."""
    declared = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
    if name.endswith((".safetensors", ".bin", ".h5", ".msgpack")):
        lfs = hashlib.sha256(content).hexdigest()
        declared["lfs"] = {"sha256": lfs, "size": len(content), "pointerSize": 134}
    return declared


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class FakeHub(http.server.BaseHTTPRequestHandler):
    """The three routes of the hub that a download of a model takes, over `self.server.folder`."""

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path))
        files = {file.name: file.read_bytes() for file in self.server.folder.iterdir()}
        if path.startswith("/api/models/") and not path.startswith(f"/api/models/{HUB_ID}"):
            return self.answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        api = path.removeprefix(f"/api/models/{HUB_ID}")
        if api in ("", "/revision/main", "/revision/v1", f"/revision/{COMMIT}"):
            siblings = [sibling(name, content) for name, content in files.items()]
            return self.answer(200, json.dumps({"id": HUB_ID, "sha": COMMIT, "siblings": siblings}).encode())
        if api.startswith(f"/tree/{COMMIT}"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            return self.answer(200, json.dumps(tree).encode())
        if path.startswith(f"/{HUB_ID}/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            if name in files:
                etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
                return self.answer(200, files[name], {"ETag": etag, "X-Repo-Commit": COMMIT})
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        return self.answer(404, b'{"error": "Revision not found"}', {"X-Error-Code": "RevisionNotFound"})

    def answer(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture(scope="module")
def hub(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    for name in ("README.md", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"):
        (folder / name).write_bytes(b"not for bertx")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        server.folder, server.requests = folder, []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


SCRIPT = """
import json, sys, numpy as np, bertx
source, revision = json.loads(sys.argv[1])
try:
    model = bertx.load(source, backend="numpy", revision=revision)
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
else:
    logits = model.forward(np.arange(8).reshape(2, 4))["logits"]
    print(json.dumps([model.load_report.source, float(np.abs(logits).sum())]))
"""


def load_elsewhere(source, endpoint: str, home: Path, revision=None, **environment) -> list:
    """Loads in a process of its own: huggingface_hub reads its settings when it is imported."""
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    settings |= {"HF_HUB_ETAG_TIMEOUT": "2", "HF_HUB_DOWNLOAD_TIMEOUT": "2", "NO_PROXY": "*", "no_proxy": "*"}
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("HF_") and "proxy" not in name.lower()
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([source, revision])],
        env=kept | settings | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().split("\n")[-1])


def address(server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_model_of_the_hub_is_downloaded_and_loaded_and_then_cached(hub, checkpoint, tmp_path):
    hub.requests.clear()
    place, total = load_elsewhere(HUB_ID, address(hub), tmp_path)
    expected = bertx.load(checkpoint, backend="numpy").forward(np.arange(8).reshape(2, 4))["logits"]
    assert total == float(np.abs(expected).sum())
    assert Path(place).is_relative_to(tmp_path) and Path(place).name == COMMIT
    fetched = {path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/resolve/" in path}
    assert {"config.json", "model.safetensors"} <= fetched <= {file.name for file in checkpoint.iterdir()}
    # The second time from the cache, even where the hub cannot be reached.
    assert load_elsewhere(HUB_ID, unreachable(), tmp_path) == [place, total]
    assert load_elsewhere(HUB_ID, address(hub), tmp_path, HF_HUB_OFFLINE="1") == [place, total]


def test_a_revision_is_asked_for(hub, tmp_path):
    hub.requests.clear()
    place, _ = load_elsewhere(HUB_ID, address(hub), tmp_path, revision="v1")
    assert Path(place).name == COMMIT
    assert any(path.endswith("/revision/v1") for _, path in hub.requests)


def test_a_model_that_the_hub_does_not_have_is_an_error(hub, tmp_path):
    kind, message = load_elsewhere("someone/else", address(hub), tmp_path)
    assert kind == "CheckpointError"
    assert message.startswith("there is no folder someone/else, and no such model on the hub: ")


def test_a_revision_that_the_hub_does_not_have_is_named(hub, tmp_path):
    kind, message = load_elsewhere(HUB_ID, address(hub), tmp_path, revision="v9")
    assert kind == "CheckpointError"
    assert message.startswith(f"there is no folder {HUB_ID}, and no such model on the hub at revision v9: ")


def test_a_hub_that_cannot_be_reached_is_an_error(tmp_path):
    kind, message = load_elsewhere(HUB_ID, unreachable(), tmp_path)
    assert kind == "CheckpointError"
    assert message.startswith(f"there is no folder {HUB_ID}, and the hub could not be reached: ")


def test_offline_without_a_cached_copy_is_an_error(hub, tmp_path):
    hub.requests.clear()
    kind, message = load_elsewhere(HUB_ID, address(hub), tmp_path, HF_HUB_OFFLINE="1")
    assert kind == "CheckpointError" and HUB_ID in message
    assert hub.requests == []


def unreachable() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"
