"""What must hold whichever backends are installed: CI runs this file with none, with each alone and with all."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import bertx
from bertx import demo
from bertx.backend import get_backend, installed_backends, known_backends
from bertx.cli import app

SOURCE = demo.SOURCE


def test_the_core_runs_without_any_framework():
    assert "numpy" in installed_backends()
    assert set(known_backends()) == {"torch", "jax", "tensorflow", "numpy"}


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow", "numpy"])
def test_a_backend_answers_the_demo_or_says_what_to_install(name):
    if name not in installed_backends():
        with pytest.raises(bertx.MissingExtraError, match=rf"pip install 'bertx\[{name}\]'"):
            get_backend(name)
        return
    done = demo.run(SOURCE, name)
    first = [answer.passages[0] for answer in done.answers]
    assert [passage.split()[0] for passage, _ in first] == ["Refunds", "The", "Penguins", "To"]
    # The figures of the card's own model, to the four places that the demo prints.
    assert [round(similarity, 3) for _, similarity in first] == pytest.approx([0.524, 0.292, 0.482, 0.489], abs=1e-3)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *[("tf", "tensorflow"), ("Keras", "tensorflow"), ("pytorch", "torch"), ("flax", "jax"), ("np", "numpy")],
        *[("tourch", "torch"), ("NumPy", "numpy")],
    ],
)
def test_another_name_of_a_backend_says_which_was_meant(given, meant):
    for refused in (lambda: bertx.load(SOURCE, backend=given), lambda: bertx.parity(SOURCE, backends=[given])):
        with pytest.raises(ValueError, match=f"there is no backend '{given}'; .*; did you mean {meant}\\?$"):
            refused()
    for verb in (["embed", SOURCE, "a text"], ["parity", SOURCE]):
        done = CliRunner().invoke(app, [*verb, "--backend", given], env={"COLUMNS": "200"})
        assert done.exit_code == 2 and f"did you mean {meant}?" in done.output


@pytest.mark.parametrize(("given", "meant"), [("fp16", "float16"), ("HALF", "float16"), ("fp32", "float32")])
def test_another_name_of_a_dtype_says_which_was_meant(tmp_path, given, meant):
    refusals = (
        lambda: bertx.load(SOURCE, backend="numpy", dtype=given),
        lambda: bertx.parity(SOURCE, backends=["numpy"], dtype=given),
        lambda: bertx.parity(SOURCE, dtype=given),
        lambda: bertx.convert(SOURCE, tmp_path / "out", dtype=given),
    )
    for refused in refusals:
        with pytest.raises(ValueError, match=f"'{given}'.*; did you mean {meant}\\?$"):
            refused()
    for verb in (["embed", SOURCE, "a text", "-b", "numpy"], ["convert", SOURCE, str(tmp_path / "out")]):
        done = CliRunner().invoke(app, [*verb, "--dtype", given], env={"COLUMNS": "200"})
        assert done.exit_code and f"did you mean {meant}?" in f"{done.output} {done.exception}"


def test_a_dtype_that_only_another_backend_runs_is_not_suggested():
    with pytest.raises(ValueError, match=r"asked for dtype 'bf16'$"):
        bertx.load(SOURCE, backend="numpy", dtype="bf16")


BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise {error}(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
try:
    import bertx_{backend}
except ImportError as error:
    print(type(error).__name__, error)
import bertx_numpy
"""


@pytest.mark.parametrize(
    ("backend", "library", "error"),
    [
        ("torch", "torch", "ModuleNotFoundError"),
        ("jax", "jax", "ModuleNotFoundError"),
        ("jax", "flax", "ImportError"),
        ("tensorflow", "tensorflow", "ModuleNotFoundError"),
        ("tensorflow", "keras", "ModuleNotFoundError"),
    ],
)
def test_the_package_of_a_backend_without_its_framework_says_what_to_install(backend, library, error):
    code = BLOCKED.format(backend=backend, library=library, error=error)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"MissingExtraError bertx_{backend} needs ")
    assert f"pip install 'bertx[{backend}]'" in done.stdout


def test_no_backend_given_takes_the_first_installed():
    assert bertx.load(SOURCE).backend == installed_backends()[0]


def test_the_command_line_lists_every_backend():
    result = CliRunner().invoke(app, ["backends"])
    assert result.exit_code == 0
    for name in known_backends():
        assert name in result.output
        if name not in installed_backends():
            assert f"pip install 'bertx[{name}]'" in result.output


def test_the_installed_backends_agree():
    report = bertx.parity(SOURCE)
    assert report.backends == installed_backends()
    assert report.passed, str(report)
