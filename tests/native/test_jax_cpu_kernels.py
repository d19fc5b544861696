"""Which library multiplies on JAX: small batches of models without a transposed table have XLA's own products."""

from __future__ import annotations

import numpy as np
import pytest

from bertx.backend import get_backend
from bertx.testing import build
from bertx_jax import backend, cpu_kernels, structure


@pytest.fixture
def told(monkeypatch):
    """The compiler options of each function that was compiled."""
    found, compiled = [], backend.compiled

    def spy(function, **options):
        found.append(options["compiler_options"])
        return compiled(function, **options)

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
    found = model.forward(input_ids=ids)
    assert told == [cpu_kernels._OWN_PRODUCTS if own and cpu_kernels._has_ynnpack() else None]
    expected = build(get_backend("numpy"), head, "float64").forward(input_ids=ids)
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(found[name], value, atol=5e-6)


def test_an_xla_without_the_option(monkeypatch):
    monkeypatch.setattr(cpu_kernels, "_OWN_PRODUCTS", {"xla_cpu_no_such_option": ""})
    cpu_kernels._has_ynnpack.cache_clear()
    try:
        assert cpu_kernels.compiler_options(1, has_decoder=False) is None
    finally:
        monkeypatch.undo()
        cpu_kernels._has_ynnpack.cache_clear()


def test_an_array_that_blocks_share_is_given_once():
    model = build(get_backend("jax"), "BertModel", "float32")
    model.module.train()  # all dropouts draw from one stream
    values = structure.take_apart(model.module)[1]
    assert len({id(value) for value in values}) == len(values)
