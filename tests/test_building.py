"""How a backend builds a model: nothing is drawn that a checkpoint then overwrites, and Keras must be TensorFlow's."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import bertx
from support import BACKENDS


def _refuse(*args, **kwargs):
    raise AssertionError("random values were drawn while a checkpoint was loaded")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_load_draws_nothing(peers, backend, monkeypatch):
    import jax
    import keras
    import torch

    folder = peers("BertForMaskedLM")[1]
    bertx.load(folder, backend=backend)  # whatever is set up once is set up
    monkeypatch.setattr(np.random, "default_rng", _refuse)
    monkeypatch.setattr(jax.random, "normal", _refuse)
    monkeypatch.setattr(jax.random, "truncated_normal", _refuse)
    for name in ("GlorotUniform", "RandomUniform"):
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", _refuse)
    before = torch.get_rng_state()
    bertx.load(folder, backend=backend)
    assert torch.equal(torch.get_rng_state(), before)


def test_keras_on_another_framework_is_a_clear_error():
    code = "import bertx; bertx.load('python:cognition/model', backend='tensorflow')"
    environment = os.environ | {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Keras runs on jax here, and bertx_tensorflow needs it on TensorFlow" in done.stderr
    assert "KERAS_BACKEND=tensorflow" in done.stderr


def test_the_models_of_all_frameworks_are_made_from_one_source_file():
    import inspect

    import bertx_jax
    import bertx_tensorflow
    import bertx_torch
    from bertx.models import bert

    classes = (
        bert.BertForMaskedLM,
        bertx_torch.BertForMaskedLM,
        bertx_tensorflow.TFBertForMaskedLM,
        bertx_jax.FlaxBertForMaskedLM,
    )
    assert len({inspect.getsourcefile(cls) for cls in classes}) == 1
    assert len(set(classes)) == 4
    assert {cls.__module__ for cls in classes} == {
        "bertx.models.bert",
        "bertx_torch.bert",
        "bertx_tensorflow.bert",
        "bertx_jax.bert",
    }
