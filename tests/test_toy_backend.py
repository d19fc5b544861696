"""A fifth backend, registered as a third party's is: it passes the suite, and all of bertx runs on it."""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bertx
import bertx.backend
import bertx.testing
from bertx.cli import app
from fixture_files import CHECKPOINTS

FOLDER = Path(__file__).parent / "toy_backend"
SOURCE = CHECKPOINTS / "BertForMaskedLM" / "safetensors"


def _forget():
    bertx.backend._entry_points.cache_clear()
    bertx.backend._load_backend.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def installed():
    """The toy's folder on the path, as pip would put its files there; afterwards only the four are known again."""
    sys.path.insert(0, str(FOLDER))
    _forget()
    yield
    sys.path.remove(str(FOLDER))
    _forget()


class TestToy(bertx.testing.BackendSuite):
    backend = "toy"


def test_it_is_one_nn_and_one_backend():
    own = {path.name for path in (FOLDER / "bertx_toy").glob("*.py")}
    assert own == {"__init__.py", "nn.py", "backend.py"}  # the first puts the spec's folder on the package's path
    assert len((FOLDER / "bertx_toy" / "__init__.py").read_text().splitlines()) < 10


def test_it_is_known_after_the_four_and_runs_what_they_run(tmp_path):
    assert distribution("bertx-toy").version == "1.0"
    assert bertx.backend.known_backends()[-1] == bertx.installed_backends()[-1] == "toy"
    model = bertx.load(SOURCE, backend="toy")
    before = bertx.backend.get_backend("toy").calls().get("attention", 0)
    ids = np.array([[2, 5, 6, 3]])
    found = model.forward(input_ids=ids)["logits"]
    after = bertx.backend.get_backend("toy").calls()["attention"]
    assert after - before == model.config.num_hidden_layers
    expected = bertx.load(SOURCE, backend="numpy").to("toy").forward(input_ids=ids)["logits"]
    assert (found == expected).all()
    report = bertx.parity(SOURCE, backends=["toy", "numpy"])
    assert report.passed and report.backends == ["toy", "numpy"]
    import bertx_toy

    native = bertx_toy.ToyBertForMaskedLM.from_pretrained(SOURCE)
    native.save_pretrained(tmp_path / "saved")
    assert (bertx.load(tmp_path / "saved", backend="toy").forward(input_ids=ids)["logits"] == found).all()


def test_the_command_line_has_it():
    result = CliRunner().invoke(app, ["parity", str(SOURCE), "--backend", "to"], env={"COLUMNS": "200"})
    assert result.exit_code == 2 and "toy" in result.output
    assert CliRunner().invoke(app, ["parity", str(SOURCE), "--backend", "toy"]).exit_code == 0


def test_a_backend_that_is_not_registered_is_given_as_an_object():
    from bertx_toy.backend import ToyBackend

    model = bertx.load(SOURCE, backend=ToyBackend())
    assert model.backend == "toy"


def test_the_suite_finds_a_backend_that_is_wrong(monkeypatch):
    """A backend whose mask is dropped fails the test of each head."""
    nn = TestToy._nn()
    for name, value in bertx.testing.mask_dropped(nn).items():
        monkeypatch.setattr(nn, name, value)
    backend = bertx.backend.get_backend("toy")
    case = bertx.testing.Case(backend, bertx.testing.build(backend, "BertForMaskedLM", "float32"))
    with pytest.raises(AssertionError, match="logits"):
        TestToy().test_outputs_layers_attentions_and_loss_are_the_oracles(case)
    monkeypatch.undo()
    TestToy().test_outputs_layers_attentions_and_loss_are_the_oracles(case)
