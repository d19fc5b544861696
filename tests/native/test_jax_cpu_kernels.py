"""How JAX multiplies: small batches of models without a transposed table have XLA's own products, attention sums."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bertx.backend import get_backend
from bertx.testing import build
from bertx_jax import backend, cpu_kernels, structure


@pytest.fixture
def told(monkeypatch):
    """The compiler options of each function that runs, and whether it has batches of products, as attention has."""
    found, compiled = [], backend.compiled

    def spy(function, **options):
        run = compiled(function, **options)

        def call(*args):
            found.append((options["compiler_options"], "batching_dims" in run.lower(*args).as_text()))
            return run(*args)

        return call

    monkeypatch.setattr(backend, "compiled", spy)
    backend._compiled.cache_clear()
    yield found
    backend._compiled.cache_clear()


@pytest.mark.parametrize(
    ("head", "shape", "own"),
    [
        ("BertModel", (1, 12), True),
        ("BertForSequenceClassification", (2, 16), True),
        ("BertModel", (3, 11), False),  # 33 rows
        ("BertForMaskedLM", (1, 12), False),
    ],
)
def test_small_batches_without_a_transposed_table(told, head, shape, own):
    model = build(get_backend("jax"), head, "float32")
    ids = np.resize(np.arange(5, 20), shape)
    own = own and cpu_kernels._has_ynnpack()
    oracle = build(get_backend("numpy"), head, "float64")
    for attentions in (False, True):
        found = model.forward(input_ids=ids, output_attentions=attentions)
        assert told.pop() == (cpu_kernels.OPTIONS if own else None, not own)
        for name, expected in oracle.forward(input_ids=ids, output_attentions=attentions).items():
            for value, known in zip(jax.tree.leaves(found[name]), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(value, known, atol=5e-6)


def test_in_half_precision_attention_has_no_sums(told):
    build(get_backend("jax"), "BertModel", "bfloat16").forward(input_ids=np.arange(5, 17)[None])
    assert told == [(cpu_kernels.OPTIONS if cpu_kernels._has_ynnpack() else None, True)]


def test_an_xla_without_the_option(monkeypatch):
    monkeypatch.setattr(cpu_kernels, "OPTIONS", {"xla_cpu_no_such_option": ""})
    cpu_kernels._has_ynnpack.cache_clear()
    try:
        assert not cpu_kernels.for_few_rows(1, has_decoder=False)
    finally:
        monkeypatch.undo()
        cpu_kernels._has_ynnpack.cache_clear()


def test_an_array_that_blocks_share_is_given_once():
    model = build(get_backend("jax"), "BertModel", "float32")
    model.module.train()  # all dropouts draw from one stream
    values = structure.take_apart(model.module)[1]
    assert len({id(value) for value in values}) == len(values)


def test_functions_of_few_rows():
    """Those of a large mean are the hard ones: one pass would lose their digits."""
    rng = np.random.default_rng(0)
    x = (300 + rng.standard_normal((2, 3, 384))).astype(np.float32)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-12)
    np.testing.assert_allclose(cpu_kernels.standardized(jnp.asarray(x), 1e-12), expected, atol=1e-4)
    a, b = rng.standard_normal((2, 4, 3, 5), np.float32), rng.standard_normal((2, 4, 5, 7), np.float32)
    np.testing.assert_allclose(cpu_kernels.product(jnp.asarray(a), jnp.asarray(b)), a @ b, atol=1e-6)


def test_only_float32_inside_few_rows_is_taken():
    single, half = jnp.zeros(1), jnp.zeros(1, jnp.bfloat16)
    assert not cpu_kernels.takes(single)
    with cpu_kernels.few_rows(True):
        assert [cpu_kernels.takes(single, other) for other in (single, half)] == [True, False]
        of_heads = [jnp.zeros((1, 12, length, 64)) for length in (16, 24)]
        assert [cpu_kernels.takes_product(x, x.swapaxes(2, 3)) for x in of_heads] == [True, False]
    assert not cpu_kernels.takes(single)
