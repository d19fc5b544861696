"""On PyTorch many batches run at once, one on each core; what the process has set stays as it was."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bertx
from conftest import MINILM

torch = pytest.importorskip("torch")
cpu_kernels = pytest.importorskip("bertx_torch.cpu_kernels")
threads = pytest.importorskip("bertx_torch.threads")

TEXTS = [" ".join(["word"] * (place % 7 + 1)) for place in range(24)]
BUDGET = 16  # tokens of a batch: 11 batches


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model():
    return bertx.load(MINILM, backend="torch")


@pytest.fixture
def laid_out(monkeypatch):
    """The tables of weights that threads shared, as they come; oneDNN's product is taken on any processor."""
    monkeypatch.setattr(cpu_kernels, "LINEAR_FROM", 0)
    monkeypatch.setattr(cpu_kernels, "GELU_FROM", 0)
    found = []
    compute = cpu_kernels._weight

    def weight(dense):
        given = compute(dense)
        if cpu_kernels.thread.laid_out is not None and all(cpu_kernels.thread.laid_out is not table for table in found):
            found.append(cpu_kernels.thread.laid_out)
        return given

    monkeypatch.setattr(cpu_kernels, "_weight", weight)
    return found


def threads_of_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def seen(batch):
    return batch, threading.current_thread() is threading.main_thread(), torch.get_num_threads()


@pytest.mark.parametrize(("batches", "alone"), [(0, 0), (1, 0), (7, 0), (8, 8), (9, 8), (10, 10)])
def test_each_batch_has_a_core_while_there_are_enough(model, two_threads, batches, alone):
    found = list(model.map(seen, list(range(batches))))
    assert found == [(place, False, 1) if place < alone else (place, True, 2) for place in range(batches)]


def test_one_core_is_no_reason_to_lay_out_weights_for_each_product(model, two_threads):
    torch.set_num_threads(1)
    assert list(model.map(seen, [0, 1, 2, 3])) == [(place, False, 1) for place in range(4)]


def test_the_number_of_threads_of_others_stays(model, two_threads):
    begun = threading.Barrier(2, timeout=60)

    def compute(batch):
        if batch < 2:
            begun.wait()
        return threads_of_a_new_thread()

    assert list(model.map(compute, list(range(9)))) == [2] * 9
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (2, 2)


def test_eight_threads_that_call_one_model_change_no_setting(model, two_threads):
    """Not even for a moment: threads that begin meanwhile see the number that was set."""
    expected = model(TEXTS, batch_tokens=BUDGET)
    before = torch.get_num_threads(), threads_of_a_new_thread()
    seen_meanwhile, calls = set(), [threading.Event() for _ in range(8)]

    def call(done):
        try:
            for _ in range(3):
                np.testing.assert_allclose(model(TEXTS, batch_tokens=BUDGET), expected, atol=2e-6)
                seen_meanwhile.add(torch.get_num_threads())
        finally:
            done.set()

    with ThreadPoolExecutor(len(calls)) as pool:
        results = [pool.submit(call, done) for done in calls]
        while not all(done.is_set() for done in calls):
            seen_meanwhile |= {torch.get_num_threads(), threads_of_a_new_thread()}
    for result in results:
        result.result()
    assert before == (2, 2) and seen_meanwhile == {2}
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == before


def test_where_a_thread_cannot_have_one_core_each_batch_takes_all(model, two_threads, monkeypatch):
    """As where PyTorch hides OpenMP's functions: the number of the process is not touched in their place."""
    monkeypatch.setattr(threads, "_setters", tuple)
    threads.can_take_one_core.cache_clear()
    try:
        found = list(model.map(seen, list(range(9))))
    finally:
        threads.can_take_one_core.cache_clear()
    assert found == [(place, True, 2) for place in range(9)]


def test_an_error_ends_the_work(model, two_threads):
    computed = []

    def compute(batch):
        computed.append(batch)
        time.sleep(0.002)  # time in which what waits can be called off
        if batch == 3:
            raise ArithmeticError("of batch 3")

    with pytest.raises(ArithmeticError, match="of batch 3"):
        list(model.map(compute, list(range(1000))))
    assert len(computed) < 1000
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (2, 2)


def test_compiled_code_is_not_compiled_again_for_one_thread(two_threads):
    model = bertx.load(MINILM, backend="torch")
    model.module.encoder.layer[0].compile(backend="eager")
    assert all(main and threads == 2 for _, main, threads in model.map(seen, list(range(9))))


def test_other_backends_go_on_as_they_did(loaded):
    model = loaded(MINILM, backend="numpy")
    assert list(model.map(lambda batch: threading.get_ident(), list(range(9)))) == [threading.get_ident()] * 9


def test_the_results_are_those_of_other_backends(model, loaded, two_threads, laid_out, monkeypatch):
    made, lay_out = [], torch.ops.mkldnn._reorder_linear_weight
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", lambda *of: made.append(1) or lay_out(*of))
    found = model(TEXTS, batch_tokens=BUDGET)
    linear = [block for block in model.module.encoder.modules() if isinstance(block, torch.nn.Linear)]
    (table,) = laid_out  # both threads share it
    assert set(table) == set(linear)
    assert len(made) <= 2 * len(linear)  # both may lay out one at the same time
    assert all(weight.is_mkldnn for weight in table.values())
    assert cpu_kernels.thread.laid_out is None
    np.testing.assert_allclose(found, loaded(MINILM, backend="numpy")(TEXTS), atol=2e-6)


def test_weights_that_change_between_two_calls_do_so_in_the_second(two_threads, laid_out):
    model = bertx.load(MINILM, backend="torch")
    first = model(TEXTS, batch_tokens=BUDGET)
    weight = model.module.encoder.layer[0].output.dense.weight
    weight.data.mul_(2)  # which no version of the parameter tells
    second = model(TEXTS, batch_tokens=BUDGET)
    assert len(laid_out) == 2
    assert np.abs(second - first).max() > 1e-3
    np.testing.assert_allclose(second, model.to("numpy")(TEXTS), atol=2e-6)
