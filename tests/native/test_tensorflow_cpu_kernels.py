"""The product with a table that TensorFlow transposes, in both of its ways."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bertx_tensorflow import cpu_kernels


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 130])
def test_rows_by_the_transposed_table(monkeypatch, has_gpu, rows):
    monkeypatch.setattr(cpu_kernels, "_has_gpu", lambda: has_gpu)
    generator = np.random.default_rng(0)
    x, table = generator.normal(size=(rows, 7)), generator.normal(size=(11, 7))
    found = tf.function(cpu_kernels.times_table)(tf.constant(x), tf.constant(table))
    np.testing.assert_allclose(found, x @ table.T, atol=1e-12)


def test_the_first_factor_is_the_table_on_a_processor(monkeypatch):
    """The other way takes five times as long for a few rows."""
    given, matmul = [], tf.matmul
    monkeypatch.setattr(
        cpu_kernels.tf, "matmul", lambda a, b, **options: given.append(a.shape) or matmul(a, b, **options)
    )
    monkeypatch.setattr(cpu_kernels, "_has_gpu", lambda: False)
    cpu_kernels.times_table(tf.zeros([2, 7]), tf.zeros([11, 7]))
    assert given == [(11, 7)]
