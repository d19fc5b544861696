"""While the model runs a window, the next one is tokenised on another thread; results and errors stay as they are."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from bertx.tasks import streaming
from bertx.tasks.streaming import InputError, run_whole
from bertx.tokenizers.ragged import RaggedBatch
from conftest import MINILM

MODEL = SimpleNamespace(
    config=SimpleNamespace(vocab_size=100), compiles_each_shape=False, device="cpu", packs=False, map=map
)
WINDOW, WINDOWS = 4, 6
INPUTS = list(range(1, WINDOW * WINDOWS + 1))
EXPECTED = [i * 10 for i in INPUTS]


@pytest.fixture(autouse=True)
def ahead(monkeypatch):
    monkeypatch.setattr(streaming, "WINDOW", WINDOW)
    monkeypatch.setattr(streaming, "tokenizes_ahead", lambda model: True)
    yield
    assert not _threads()


def _threads():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("bertx-tokenizer")]


def _encode(window):
    if -1 in window:
        raise InputError({window.index(-1): "is -1"})
    return RaggedBatch(np.zeros(sum(window), np.int64), np.cumsum([0, *window]))


def _compute(rows):
    return [length * 10 for length in rows.lengths.tolist()]


def test_where_the_model_is_not_on_the_processor(monkeypatch):
    monkeypatch.undo()
    assert [streaming.tokenizes_ahead(SimpleNamespace(device=device)) for device in ("cpu", "cuda:0")] == [False, True]


def test_the_next_window_is_tokenised_while_the_model_runs():
    """The model waits until the window after the one that it runs is tokenised: on one thread this would not end."""
    tokenised = [threading.Event() for _ in range(WINDOWS)]
    threads = set()
    computed = []

    def encode(window):
        threads.add(threading.current_thread())
        tokenised[(window[0] - 1) // WINDOW].set()
        return _encode(window)

    def compute(rows):
        window = (int(rows.lengths.min()) - 1) // WINDOW
        computed.append(window)
        assert window + 1 == WINDOWS or tokenised[window + 1].wait(20)
        assert window + 2 >= WINDOWS or not tokenised[window + 2].is_set()
        return _compute(rows)

    assert list(run_whole(MODEL, iter(INPUTS), encode, compute)) == EXPECTED
    assert computed == list(range(WINDOWS)) and len(threads) == 2


@pytest.mark.parametrize("count", [0, 1, WINDOW, WINDOW + 1, len(INPUTS)])
def test_results_come_in_order(count):
    assert run_whole(MODEL, INPUTS[:count], _encode, _compute) == EXPECTED[:count]
    assert list(run_whole(MODEL, iter(INPUTS[:count]), _encode, _compute)) == EXPECTED[:count]


def test_one_input_starts_no_thread(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread was started"))
    assert run_whole(MODEL, (1,), lambda window: _encode([1]), _compute) == 10
    assert run_whole(MODEL, INPUTS[:WINDOW], _encode, _compute) == EXPECTED[:WINDOW]


def test_a_stream_is_read_one_window_ahead_and_on_the_thread_of_its_reader():
    read, readers = [], set()

    def source():
        for i in INPUTS:
            read.append(i)
            readers.add(threading.current_thread())
            yield i

    results = run_whole(MODEL, source(), _encode, _compute)
    assert read == []
    for i, expected in enumerate(EXPECTED):
        assert next(results) == expected
        assert len(read) == min((i // WINDOW + 2) * WINDOW, len(INPUTS))
    assert list(results) == [] and readers == {threading.current_thread()}


@pytest.mark.parametrize("error", [OSError("the disk"), KeyError("x")])
@pytest.mark.parametrize("after", [0, 3, WINDOW, WINDOW + 2, 2 * WINDOW])
def test_an_error_of_the_stream_comes_after_the_results_of_the_windows_before(error, after):
    def source():
        yield from INPUTS[:after]
        raise error

    found = []
    with pytest.raises(type(error)) as raised:
        found.extend(run_whole(MODEL, source(), _encode, _compute))
    assert raised.value is error
    found = []
    results = run_whole(MODEL, source(), _encode, _compute)
    with pytest.raises(type(error)):
        while True:
            found.append(next(results))
    assert found == EXPECTED[: after // WINDOW * WINDOW]


def test_ctrl_c_while_the_stream_is_read_is_raised_at_once():
    def source():
        yield from INPUTS[:WINDOW]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(run_whole(MODEL, source(), _encode, _compute))


def test_an_input_error_has_the_number_in_the_stream_and_comes_in_its_turn():
    found = []
    results = run_whole(MODEL, iter([*INPUTS[:9], -1, *INPUTS[9:]]), _encode, _compute)
    with pytest.raises(InputError) as raised:
        while True:
            found.append(next(results))
    assert raised.value.problems == {9: "is -1"} and found == EXPECTED[:8]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_an_error_of_the_model_ends_the_thread(stop):
    def compute(rows):
        if rows.lengths.min() > WINDOW:
            raise stop
        return _compute(rows)

    found = []
    results = run_whole(MODEL, iter(INPUTS), _encode, compute)
    with pytest.raises(stop):
        while True:
            found.append(next(results))
    assert found == EXPECTED[:WINDOW]
    assert not _threads()


def test_a_closed_generator_leaves_no_thread():
    results = run_whole(MODEL, iter(INPUTS), _encode, _compute)
    assert next(results) == 10
    assert len(_threads()) == 1
    results.close()
    assert not _threads()


def test_embeddings_stay_the_same(loaded, monkeypatch):
    texts = ["a short text", "", "a longer text about nothing in particular " * 3] * 5
    model = loaded(MINILM, backend="numpy")
    found = list(model(iter(texts)))
    monkeypatch.setattr(streaming, "tokenizes_ahead", lambda model: False)
    np.testing.assert_array_equal(found, list(model(iter(texts))))
