"""Dropout in PyTorch on a CPU and in JAX: the rate, the mean, the gradient, and where the framework's own is kept."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from bertx.backend import get_backend
from bertx.testing import build, config_of, inputs_of
from bertx_jax.nn import Dropout as JaxDropout
from bertx_torch.dropout import Dropout


def of_jax(rate):
    dropout = JaxDropout(rate)
    dropout.rngs = nnx.Rngs(dropout=0).dropout
    dropout.train()
    return dropout


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
def test_of_jax_too(rate):
    y = np.asarray(of_jax(rate)(jnp.ones((1000, 1003))))
    assert y.dtype == np.float32 and y.shape == (1000, 1003)
    assert abs((y == 0).mean() - rate) < 5 * (rate * (1 - rate) / y.size) ** 0.5
    assert abs(y.mean(dtype=np.float64) - 1) < 5 * (rate / (1 - rate) / y.size) ** 0.5
    for whole in (y, y.T):
        dropped = whole.reshape(-1) == 0
        assert abs((dropped[:-1] & dropped[1:]).mean() - rate**2) < 5 * (rate**2 * (1 - rate**2) / y.size) ** 0.5


def test_the_gradient_of_jax():
    x = jnp.linspace(1.0, 2.0, 63).reshape(9, 7)
    y = of_jax(0.3)(x)
    gradient = jax.grad(lambda x: of_jax(0.3)(x).sum())(x)  # the same draw
    np.testing.assert_allclose(gradient * x, y, rtol=1e-6)
    assert 0 < (np.asarray(y) == 0).sum() < y.size


def test_jax_without_a_stream_or_bits_is_flaxs_own():
    without = JaxDropout(0.5)
    without.train()
    with pytest.raises(ValueError, match="rngs"):
        without(jnp.ones(4))
    assert (of_jax(1.0)(jnp.ones(40)) == 0).all() and (of_jax(0.0)(jnp.ones(40)) == 1).all()


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_elements_are_dropped_at_the_rate_and_the_mean_stays(rate, dtype):
    torch.manual_seed(0)
    x = torch.ones(1000, 1003, dtype=dtype)  # not a multiple of what one draw is for
    y = Dropout(rate)(x)
    assert y.dtype == dtype and y.shape == x.shape
    # Five standard deviations of a million independent draws.
    assert abs((y == 0).double().mean().item() - rate) < 5 * (rate * (1 - rate) / x.numel()) ** 0.5
    assert abs(y.double().mean().item() - 1) < 5e-3
    for whole in (y, y.T):  # neighbours, which one draw is for, are independent
        dropped = (whole.reshape(-1)[:-1] == 0, whole.reshape(-1)[1:] == 0)
        both = (dropped[0] & dropped[1]).double().mean().item()
        assert abs(both - rate**2) < 5 * (rate**2 * (1 - rate**2) / x.numel()) ** 0.5


def test_the_gradient_passes_where_the_value_does():
    x = torch.randn(40, 50, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)


def test_the_generator_decides_what_is_dropped():
    dropout, x = Dropout(0.5), torch.ones(64)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(x))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[1], drawn[2])


@pytest.mark.parametrize("rate", [0.0, 1.0, 1e-6])
def test_rates_that_16_bits_do_not_hold_are_torchs_own(rate):
    x = torch.ones(1000)
    assert not Dropout(rate).takes(x)
    assert torch.equal(Dropout(rate)(x), torch.zeros(1000) if rate == 1 else x) or rate == 1e-6


def test_nothing_is_dropped_in_evaluation():
    assert torch.equal(Dropout(0.5).eval()(torch.ones(100)), torch.ones(100))


def test_vmap_draws_for_each_as_it_is_asked():
    x = torch.ones(2, 500)
    different = torch.func.vmap(Dropout(0.5), randomness="different")(x)
    same = torch.func.vmap(Dropout(0.5), randomness="same")(x)
    assert not torch.equal(*different) and torch.equal(*same)


def test_a_model_in_training_drops_of_the_attention_too():
    config = config_of("BertModel", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    model = build(get_backend("torch"), "BertModel", "float32", config).module
    batch = {name: torch.as_tensor(value) for name, value in inputs_of("BertModel", "right").items()}
    with torch.no_grad():
        calm = model.eval()(**batch).last_hidden_state
        drawn = torch.stack([model.train()(**batch).last_hidden_state for _ in range(200)])
    one, mean = (drawn[0] - calm).abs().mean(), (drawn.mean(0) - calm).abs().mean()
    assert not torch.equal(drawn[0], drawn[1]) and mean < one / 5
