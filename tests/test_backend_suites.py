"""The suite for anyone's backend, on our four."""

from __future__ import annotations

import bertx.testing
from gradients import gradients_of


class TestNumpy(bertx.testing.BackendSuite):
    backend = "numpy"


class TestTorch(bertx.testing.BackendSuite):
    backend = "torch"
    gradients = staticmethod(gradients_of)


class TestJax(bertx.testing.BackendSuite):
    backend = "jax"
    gradients = staticmethod(gradients_of)


class TestTensorFlow(bertx.testing.BackendSuite):
    backend = "tensorflow"
    gradients = staticmethod(gradients_of)
