"""Relative position embeddings against what transformers 4.57 said (tests/fixtures/make_relative_positions.py)."""

from __future__ import annotations

import numpy as np
import pytest

import bertx
from fixture_files import FIXTURES
from support import BACKENDS, differences

FOLDER = FIXTURES / "relative_positions"
INPUTS = ("input_ids", "token_type_ids", "attention_mask", "labels")
CASES = [
    (f"{kind}{suffix}", padding)
    for kind in ("relative_key", "relative_key_query")
    for suffix, paddings in (("", ("right", "left", "none")), ("_decoder", ("left",)))
    for padding in paddings
]
# Measured: 1.5e-6 at most in float32; the fixture is rounded to 1.2e-10.
RUNS = [*((backend, "float32", 5e-6) for backend in BACKENDS), ("numpy", "float64", 1e-9)]


@pytest.fixture(scope="module")
def load():
    models = {}

    def loaded(variant, backend, dtype):
        if (variant, backend, dtype) not in models:
            models[variant, backend, dtype] = bertx.load(FOLDER / variant, backend=backend, dtype=dtype)
        return models[variant, backend, dtype]

    return loaded


@pytest.mark.parametrize(("variant", "padding"), CASES)
@pytest.mark.parametrize(("backend", "dtype", "tolerance"), RUNS)
def test_equals_transformers(load, backend, dtype, tolerance, variant, padding):
    with np.load(FOLDER / variant / "expected.npz") as stored:
        case = {name.split("/")[1]: stored[name] for name in stored if name.startswith(f"{padding}/")}
    inputs = {name: case.pop(name) for name in INPUTS if name in case}
    assert set(case) >= {"logits", "hidden_states", "attentions"}
    expected = {
        name: tuple(value) if name in ("hidden_states", "attentions") else value for name, value in case.items()
    }
    model = load(variant, backend, dtype)
    found = model.forward(**inputs, output_hidden_states=True, output_attentions=True)
    worst = differences(found, expected)
    assert max(worst.values()) <= tolerance, worst
    # Without attentions a backend may take another path, torch its fused one.
    plain = {"logits": model.forward(**inputs)["logits"]}
    assert max(differences(plain, {"logits": expected["logits"]}).values()) <= tolerance
