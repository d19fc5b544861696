"""What the tests of the command line share: tiny checkpoints, `bertx` in this process and in one of its own.

A plugin of the test files beside it (`pytest_plugins = "cli_support"`): a conftest.py here would take the place of
tests/conftest.py, which other files import by name. PYTEST_DONT_REWRITE: they import it before it is registered.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import gc
import io
import json
import os
import re
import string
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import typer.main

import bertx
from bertx.cli import app, main, outputs
from support import SIZES, peer, save_peer

WORDS = re.findall(
    r"\w+", "the happy dog cat person river walks runs green house city train is was of in and to it who where"
)
LONGEST = SIZES["max_position_embeddings"]


def _vocabulary() -> list[str]:
    letters = [*string.ascii_lowercase, *string.digits]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    tokens += [*".,?!-':;()", *WORDS]
    return tokens + [f"word{i}" for i in range(SIZES["vocab_size"] - len(tokens))]


@dataclass(frozen=True)
class Verb:
    """A verb, a checkpoint's head for it, records that it takes, and what its row says of each.

    `options` are what the Python task is called with to do what the verb does.
    """

    head: str
    task: str
    records: list[dict[str, Any]]
    results: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.records[0])

    @property
    def inputs(self) -> list[Any]:
        """The records as the Python task takes them."""
        return [record["text"] if list(record) == ["text"] else record for record in self.records]

    def rows(self, model: bertx.Model, inputs: list[Any]) -> list[dict[str, Any]]:
        """The results of the Python task, by the columns of the verb."""
        answers = model(inputs, **self.options)
        return [answer if isinstance(answer, Mapping) else {self.results[0]: answer} for answer in answers]


TEXTS = ["The happy dog walks.", "a cat", "", "   ", "It is – ünïcode 漢字 😀, \"quoted\", 'n' so on", "the dog " * 60]
MASKED = ["The [MASK] dog.", "[MASK] [MASK]", 'a [MASK], "quoted"; 漢字', "the [MASK] " + "dog " * 60]
VERBS = {
    "embed": Verb("BertModel", "feature-extraction", [{"text": text} for text in TEXTS], ("embedding",)),
    "fill-mask": Verb("BertForMaskedLM", "fill-mask", [{"text": text} for text in MASKED], ("words",)),
    "classify": Verb(
        "BertForSequenceClassification",
        "text-classification",
        [{"text": text} for text in TEXTS],
        ("label", "score"),
    ),
    "tag": Verb(
        "BertForTokenClassification",
        "token-classification",
        [{"text": text} for text in TEXTS],
        ("entities",),
        {"aggregation": "simple"},
    ),
    "answer": Verb(
        "BertForQuestionAnswering",
        "question-answering",
        [
            {"question": "who walks?", "context": "The happy dog walks in the city."},
            {"question": "where?", "context": "the dog is in the house , 漢字. " * 12},
        ],
        ("answer", "score", "start", "end"),
    ),
    "choose": Verb(
        "BertForMultipleChoice",
        "multiple-choice",
        [
            {"question": "who walks?", "choices": ["the dog", 'the "train", 漢字', ""]},
            {"question": "where?", "choices": ["in the city", "the river " * 40]},
        ],
        ("choice", "answer", "scores"),
    ),
    "next-sentence": Verb(
        "BertForNextSentencePrediction",
        "next-sentence-prediction",
        [{"text": "the dog walks", "text_pair": "it runs"}, {"text": "a, b", "text_pair": ""}],
        ("is_next", "score"),
    ),
    "generate": Verb(
        "BertLMHeadModel",
        "text-generation",
        [{"text": text} for text in TEXTS[:-1]],
        ("generated_text", "tokens"),
    ),
    "summarize": Verb(
        "EncoderDecoderModel",
        "summarization",
        [{"text": text} for text in TEXTS[:-1]],
        ("summary_text", "tokens", "score"),
    ),
}
SINGLE = [name for name, verb in VERBS.items() if verb.fields == ("text",)]
BACKEND = ("--backend", "numpy")


def write_checkpoint(head: str, folder: Path, **changes: Any) -> Path:
    """A tiny checkpoint with a vocabulary of words, letters and digits; a BertModel pools by the mean."""
    save_peer(peer(head, **changes), folder)
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in _vocabulary()))
    if head == "BertModel":
        (folder / "1_Pooling").mkdir()
        kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
        modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """(verb) → the folder of a checkpoint for it."""
    made = {}

    def get(verb: str) -> Path:
        if verb not in made:
            made[verb] = write_checkpoint(VERBS[verb].head, tmp_path_factory.mktemp(verb))
        return made[verb]

    return get


@pytest.fixture(scope="session")
def model(checkpoint, loaded):
    """(verb) → bertx.load of its checkpoint."""
    return lambda verb: loaded(checkpoint(verb), task=VERBS[verb].task, backend="numpy")


@pytest.fixture
def small_window(monkeypatch):
    """Chunks of 8 records, in this process."""
    monkeypatch.setattr("bertx.tasks.streaming.WINDOW", 8)
    return 8


class KilledError(BaseException):
    """What a test raises where a process is to end: nothing in bertx catches it."""


@dataclass(frozen=True)
class Done:
    """What a run of `bertx` left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The JSON lines on stdout."""
        return [json.loads(line, parse_constant=_no_json) for line in self.out.split("\n")[:-1]]

    @property
    def vectors(self) -> np.ndarray:
        """The embeddings of the rows."""
        return np.array([row["embedding"] for row in self.rows], np.float32)

    @property
    def told(self) -> str:
        """Stderr on one line, without the box that usage errors are drawn in."""
        return re.sub(r"[\s│]+", " ", self.err)

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out[:2000]}\n--- stderr\n{self.err[-4000:]}"


def _no_json(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def run(*arguments: Any, stdin: bytes = b"") -> Done:
    """`bertx ARGUMENTS` in this process, with neither stdin, stdout nor stderr a terminal."""
    streams = {name: io.TextIOWrapper(io.BytesIO(stdin if name == "stdin" else b""), "utf-8") for name in _STREAMS}
    streams["stderr"] = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    patches = [mock.patch.object(sys, name, stream) for name, stream in streams.items()]
    patches.append(mock.patch.object(sys, "argv", ["bertx", *map(str, arguments)]))
    patches.append(mock.patch("bertx.cli.app", _command()))
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", ResourceWarning)  # a process that ends closes its files
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code
        except KilledError:
            code = -9
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        if code:
            gc.collect(1)
    out, err = (streams[name].buffer.getvalue().decode() for name in ("stdout", "stderr"))
    return Done(code, out, err)


_STREAMS = ("stdin", "stdout", "stderr")


@functools.cache
def _command() -> Any:
    """The commands of `app`, which typer would make again for each run."""
    return typer.main.get_command(app)


@pytest.fixture
def killed(monkeypatch):
    """(chunks, *arguments): a run that is killed when so many chunks are written, before it writes the next."""

    def get(chunks, *arguments, stdin=b""):
        written = 0
        write = outputs.FileOutput.write

        def counted(self, *values):
            nonlocal written
            if written == chunks:
                raise KilledError
            written += 1
            write(self, *values)

        with monkeypatch.context() as patch:
            patch.setattr(outputs.FileOutput, "write", counted)
            assert run(*arguments, stdin=stdin).code == -9

    return get


def environment() -> dict[str, str]:
    """The environment for a process of its own: what makes rich draw or not is left to the streams."""
    ours = ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "PYTHONWARNINGS")
    return {name: value for name, value in os.environ.items() if name not in ours} | {"TERM": "xterm-256color"}


def command(*arguments: Any, window: int = 0, pause: float = 0, before: str = "") -> list[str]:
    """The command line of a process of its own.

    `window`: the records of a chunk; `pause`: seconds after each; `before`: statements that it begins with.
    """
    if not window:
        return [sys.executable, "-m", "bertx", *map(str, arguments)]
    return [sys.executable, "-c", _SMALL.format(window=window, pause=pause, before=before), *map(str, arguments)]


_SMALL = """
{before}
import time
import bertx.tasks.streaming
from bertx.cli import main, outputs

bertx.tasks.streaming.WINDOW = {window}
write = outputs.FileOutput.write

def slowly(*given):
    write(*given)
    time.sleep({pause})

outputs.FileOutput.write = slowly
main()
"""


def run_process(*arguments: Any, stdin: bytes = b"", window: int = 0) -> Done:
    """`bertx ARGUMENTS` in a process of its own, with pipes."""
    given = command(*arguments, window=window)
    done = subprocess.run(given, input=stdin, capture_output=True, env=environment(), timeout=120)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def write_texts(path: Path, texts: list[str]) -> Path:
    """A .txt file, a text a line."""
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    """A .jsonl file; bytes are a line as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def write_csv(path: Path, header: list[str], rows: list[list[Any] | bytes]) -> Path:
    """A .csv file; bytes are a row as they are, and what is no string is JSON."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(header)
    content = text.getvalue().encode()
    for row in rows:
        if not isinstance(row, bytes):
            text = io.StringIO()
            cells = [cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False) for cell in row]
            csv.writer(text, lineterminator="\n").writerow(cells)
            row = text.getvalue().encode().removesuffix(b"\n")
        content += row + b"\n"
    path.write_bytes(content)
    return path


def some_texts(number: int, seed: int = 0) -> list[str]:
    """Short texts, all different."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 9, number)
    return [f"{' '.join(generator.choice(WORDS, length))} {i}" for i, length in enumerate(lengths)]


def assert_same(found: Any, expected: Any) -> None:
    """Values of JSON and of Python: floats within 1e-6, the rest equal."""
    if isinstance(expected, Mapping):
        if set(found) != set(expected):
            raise AssertionError(f"{sorted(found)} instead of {sorted(expected)}")
        for name, value in expected.items():
            assert_same(found[name], value)
    elif isinstance(expected, (list, tuple)):
        if len(found) != len(expected):
            raise AssertionError(f"{len(found)} instead of {len(expected)} values")
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        np.testing.assert_allclose(np.array(found, np.float32), expected, atol=1e-6, rtol=0)
    elif isinstance(expected, float):
        if not isinstance(found, float) or abs(found - expected) > 1e-6:
            raise AssertionError(f"{found!r} instead of {expected!r}")
    elif found != expected or type(found) is not type(expected):
        raise AssertionError(f"{found!r} instead of {expected!r}")
