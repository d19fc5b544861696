"""What the tests of the server share: tiny checkpoints, a server in a thread of this process or in one of its own,
and a client of it.

A plugin of the test files beside it (`pytest_plugins = "serving_support"`).
PYTEST_DONT_REWRITE: they import it before it is registered.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertx.serving.served import Served
from bertx.serving.server import Server, listening
from bertx.serving.service import Service
from bertx.serving.settings import ModelSettings, Settings
from tasks.tiny import write_checkpoint, write_pair

IDENTITY = "torch.nn.modules.linear.Identity"
NLI = {"num_labels": 2, "id2label": {0: "entailment", 1: "not"}, "label2id": {"entailment": 0, "not": 1}}
PROMPTS = {"prompts": {"query": "query : ", "document": "passage : "}, "model_type": "SentenceTransformer"}
# Name of a model → its head, and changes of its config.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "embedder": ("BertModel", {}),
    "tokens": ("BertModel", {}),  # it does not say how it pools
    "classifier": ("BertForSequenceClassification", {}),
    # A CrossEncoder whose own scores are its logits.
    "reranker": (
        "BertForSequenceClassification",
        {"num_labels": 1, "sentence_transformers": {"activation_fn": IDENTITY}},
    ),
    "inference": ("BertForSequenceClassification", NLI),
    "masked": ("BertForMaskedLM", {}),
    "tagger": ("BertForTokenClassification", {}),
    "reader": ("BertForQuestionAnswering", {}),
    "chooser": ("BertForMultipleChoice", {}),
    "follower": ("BertForNextSentencePrediction", {}),
    "writer": ("BertLMHeadModel", {"is_decoder": True}),
    "summarizer": ("EncoderDecoderModel", {}),
}


def write_model(name: str, folder: Path) -> Path:
    """The checkpoint of a model of `MODELS`; the embedder is a sentence-transformers folder with prompts."""
    head, changes = MODELS[name]
    if head == "EncoderDecoderModel":
        write_pair(folder)
    else:
        write_checkpoint(folder, head, **changes)
    if name == "embedder":
        (folder / "1_Pooling").mkdir()
        kinds = {"": "Transformer", "1_Pooling": "Pooling"}
        modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
        (folder / "config_sentence_transformers.json").write_text(json.dumps(PROMPTS))
    return folder


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """(name) → the folder of a checkpoint."""
    made = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = write_model(name, tmp_path_factory.mktemp("models") / name)
        return made[name]

    return get


@pytest.fixture(scope="session")
def model_of(folder_of, loaded):
    """(name) → bertx.load of its checkpoint."""
    return lambda name: loaded(folder_of(name), backend="numpy")


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: Any, content: bytes):
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"{self.status} {self.content[:500]!r}"


class Client:
    """Calls of one server, a connection each unless they are made in `kept`."""

    def __init__(self, port: int, key: str | None = None):
        self.port, self.key = port, key
        self._kept: http.client.HTTPConnection | None = None

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    @contextlib.contextmanager
    def kept(self):
        """Inside, all calls are made on one connection."""
        self._kept = self.connection()
        try:
            yield self
        finally:
            self._kept.close()
            self._kept = None

    def call(self, method: str, path: str, content: bytes | None = None, **headers: str) -> Answer:
        own = {"Content-Type": "application/json"} if content is not None else {}
        if self.key:
            own["Authorization"] = f"Bearer {self.key}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = self._kept or self.connection()
        try:
            connection.request(method, path, content, {**own, **named})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except Exception:
            connection.close()
            raise
        finally:
            if self._kept is None:
                connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", path, content, **headers)


class Running:
    """A server in a thread."""

    def __init__(self, settings: Settings, models: list[Served], environment: dict[str, str] | None = None):
        self.service = Service(settings, models)
        self._listening = listening(settings)
        listener = self._listening.__enter__()
        ready = threading.Event()
        self.server = Server(self.service, listener, ready.set, environment or {})
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        assert ready.wait(60)
        self.port = listener.getsockname()[1]
        self.client = Client(self.port, settings.api_keys[0] if settings.api_keys else None)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.service.close()
        self._listening.__exit__(None, None, None)


@pytest.fixture(scope="module")
def serving(model_of):
    """A context: (*names of models, **settings) → a server of these."""

    @contextlib.contextmanager
    def get(*names: str, environment: dict[str, str] | None = None, **settings: Any):
        named = tuple(ModelSettings(name, name) for name in names)
        running = Running(
            replace(Settings(named, port=0, timeout=60), **settings),
            [Served(one, model_of(one.name)) for one in named],
            environment,
        )
        try:
            yield running
        finally:
            running.stop()

    return get


# --- a server as a process ------------------------------------------------------------------------


def environment(**changes):
    """That of a process of the tests."""
    ours = ("BERTX_API_KEY", "AIP_HTTP_PORT", "PYTHONWARNINGS")
    return {name: value for name, value in os.environ.items() if name not in ours} | changes


@contextlib.contextmanager
def serve(*arguments, ready="ready", **changes):
    """A process, and its lines as they come; ended if it is still there."""
    command = [sys.executable, "-m", "bertx", "serve", *map(str, arguments), "--backend", "numpy", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(**changes))
    lines, seen = [], threading.Event()

    def read():
        for line in process.stderr:
            lines.append(line)
            if f'"event": "{ready}"' in line:
                seen.set()
        seen.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert seen.wait(120)
        process.lines = lines
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        reader.join(30)
        process.stderr.close()


def events(process, name):
    """The lines of its log of one event."""
    found = [json.loads(line) for line in process.lines if line.startswith("{")]
    return [one for one in found if one["event"] == name]


def client_of(process, key=None):
    """A client of a process that is ready."""
    return Client(events(process, "ready")[0]["port"], key)
