"""The files of a tokenizer, mutated: they load, or a CheckpointError names the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bertx.tokenizers.base

SCRIPT = Path(__file__).parent / "fuzz_tokenizer.py"


def run(count: int, seed: int) -> dict:
    """In a process of its own, which the library may end."""
    command = [sys.executable, str(SCRIPT), "--count", str(count), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("count", "seed"), [(400, 1), pytest.param(10_000, 2, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_a_mutated_tokenizer_loads_or_is_refused(count, seed):
    result = run(count, seed)
    assert not result["failures"], result["failures"]
    # The mutations reach the readers: some folders load, others do not, and for more than one reason.
    assert result["outcomes"]["loaded"] > count // 20 and result["refused"] > 20


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError("x"), ("escape", "KeyError")),
        (type("PanicException", (BaseException,), {})("y"), ("escape", "PanicException")),
        (bertx.tokenizers.base.CheckpointError("nowhere"), ("no place", "nowhere")),
    ],
    ids=lambda value: str(value),
)
def test_the_driver_sees_what_must_not_be(tmp_path, monkeypatch, error, expected):
    import fuzz_tokenizer

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(bertx.tokenizers.base, "read_settings", fail)
    outcome, said = fuzz_tokenizer.examine(tmp_path, tmp_path)
    assert outcome == expected[0] and expected[1] in said
