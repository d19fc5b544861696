"""hidden_act: each name means on each backend what it means in transformers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import bertx
import bertx.backend
from bertx.models import nn
from bertx.models.layers.activations import ACTIVATIONS
from support import BACKENDS, batch, differences, peer, peer_forward, save_peer

NAMES = (
    "gelu",
    "gelu_python",
    "gelu_new",
    "gelu_fast",
    "gelu_pytorch_tanh",
    "quick_gelu",
    "relu",
    "silu",
    "swish",
    "tanh",
)


@pytest.fixture(scope="module")
def expected():
    """Name → what transformers says, from equal weights."""
    inputs = batch("BertModel", "right")
    return {name: peer_forward(peer("BertModel", hidden_act=name, num_hidden_layers=1), inputs) for name in NAMES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("activations")
    return {name: save_peer(peer("BertModel", hidden_act=name, num_hidden_layers=1), root / name) for name in NAMES}


def test_there_are_ten():
    assert tuple(ACTIVATIONS) == NAMES


def test_the_kinds_are_further_apart_than_the_tolerance(expected):
    kinds = [expected[name] for name in ("gelu", "gelu_new", "quick_gelu", "relu", "silu", "tanh")]
    apart = [max(differences(a, b).values()) for i, a in enumerate(kinds) for b in kinds[:i]]
    assert min(apart) > 1e-4


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_equals_transformers(expected, folders, name, backend):
    found = bertx.load(folders[name], backend=backend).forward(**batch("BertModel", "right"))
    worst = differences(found, expected[name])
    assert max(worst.values()) <= 5e-6, worst


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_equals_transformers(expected, folders, name):
    found = bertx.load(folders[name], backend="numpy", dtype="float64").forward(**batch("BertModel", "right"))
    assert max(differences(found, expected[name]).values()) <= 1e-10


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unknown_one_is_an_error_that_lists_all(folders, tmp_path, backend):
    text = (folders["gelu"] / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"gelu"', '"mish"'))
    (tmp_path / "model.safetensors").write_bytes((folders["gelu"] / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=f"hidden_act is 'mish', expected one of {', '.join(NAMES)}"):
        bertx.load(tmp_path, backend=backend)
    with pytest.raises(ValueError, match=f"hidden_act is 'mish', expected one of {', '.join(NAMES)}"):
        bertx.backend.get_backend(backend).model_class("BertModel")(bertx.BertConfig.from_pretrained(tmp_path))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 2e-15), (np.float32, 4.8e-7)])
def test_gelu_is_that_of_the_error_function(dtype, tolerance):
    """To half a unit in the last place of the largest value; the reference is math.erf."""
    x = np.linspace(-12, 12, 48_001).astype(dtype)
    expected = np.array([v * 0.5 * math.erfc(-v * 0.5**0.5) for v in x.astype(np.float64)])
    found = nn.gelu(x)
    assert found.dtype == dtype
    assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_of_extremes(dtype):
    x = np.array([-np.inf, -1e30, -100, -0.0, 1e30, np.inf, np.nan], dtype)
    assert np.array_equal(nn.gelu(x), np.array([0, 0, 0, 0, 1e30, np.inf, np.nan], dtype), equal_nan=True)


def test_gelu_of_float16_is_float32():
    x = np.linspace(-5, 5, 101).astype(np.float16)
    assert np.array_equal(nn.gelu(x), nn.gelu(x.astype(np.float32)))
