"""The garbage collector is held off while a model is loaded, and is afterwards as it was."""

import gc
import subprocess
import sys
import threading

import pytest

import bertx.checkpoints.load
from bertx.collector import held_off
from conftest import MINILM


@pytest.fixture(autouse=True)
def enabled():
    gc.enable()
    yield
    gc.enable()


def test_no_collection_runs_while_a_model_is_loaded(monkeypatch):
    loading, phases = threading.Event(), []
    load_model = bertx.checkpoints.load.load_model

    def watched(*arguments, **options):
        loading.set()
        try:
            return load_model(*arguments, **options)
        finally:
            loading.clear()

    def saw(phase, info):
        if loading.is_set():
            phases.append(phase)

    monkeypatch.setattr(bertx.checkpoints.load, "load_model", watched)
    threshold = gc.get_threshold()
    gc.callbacks.append(saw)
    gc.set_threshold(1, 1, 1)  # otherwise nearly each call would collect
    try:
        bertx.load(MINILM, backend="numpy")
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(saw)
    assert not phases
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off():
    gc.disable()
    with held_off():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_loads_within_one_another_and_failed_ones():
    with pytest.raises(bertx.checkpoints.load.CheckpointError), held_off():
        bertx.load("/no/such/folder")
    assert gc.isenabled()
    with held_off():
        with held_off():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_a_caller_froze_stays_frozen():
    """In a process of its own: here a thread that another test left may end, and free some of what is frozen."""
    script = """
import gc
from bertx.collector import held_off
gc.freeze()
frozen = gc.get_freeze_count()
assert frozen
with held_off():
    pass
assert gc.get_freeze_count() >= frozen, (gc.get_freeze_count(), frozen)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
