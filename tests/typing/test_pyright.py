"""The static face of the packages: types without errors, stubs that are not stale, definitions in the spec."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from language_server import LanguageServer

ROOT = Path(__file__).parents[2]


def _check(*files: str) -> None:
    command = [Path(sys.executable).with_name("basedpyright"), "--pythonpath", sys.executable, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_finds_no_error_in_what_users_write():
    _check("tests/typing/user_code.py")


@pytest.mark.slow
def test_pyright_finds_no_error_in_the_whole_tree():
    _check()


def test_the_stubs_are_those_of_the_spec():
    command = [sys.executable, ROOT / "tools" / "make_stubs.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def server():
    with LanguageServer(ROOT) as server:
        yield server


@pytest.mark.parametrize(
    ("package", "name", "file", "line"),
    [
        ("bertx_torch", "BertModel", "bert.py", "class BertModel("),
        ("bertx_torch", "RobertaForMaskedLM", "roberta.py", "class RobertaForMaskedLM("),
        ("bertx_tensorflow", "TFBertForMaskedLM", "bert.py", "class BertForMaskedLM("),
        ("bertx_jax", "FlaxBertModel", "bert.py", "class BertModel("),
        ("bertx_numpy", "MaskedLMOutput", "layers/outputs.py", "class MaskedLMOutput("),
    ],
)
def test_go_to_definition_lands_in_the_spec(server, package, name, file, line):
    path = ROOT / "tests" / "typing" / f"opened_{package}_{name}.py"
    server.open(path, f"import {package}\n\n{package}.{name}\n")
    found = server.definitions(path, line=2, character=len(package) + 2)
    spec = ROOT / "bertx" / "models" / file
    lines = [spec.read_text().splitlines()[number] for where, number in found if where == spec]
    assert len(lines) == 1 and lines[0].startswith(line), found
