"""The engine: which requests share a batch, how long one waits, and what an error does to the others."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from bertx.serving.engine import Engine
from bertx.tasks.streaming import Steps
from bertx.tokenizers.ragged import RaggedBatch

WAIT = 60


class Recorded:
    """Steps that give the first id of each row, and remember the batches that they had."""

    batch_tokens = 1024

    def __init__(self):
        self.batches = []
        self.running, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def answers(self, rows):
        self.running.set()
        assert self.go_on.wait(WAIT)
        self.batches.append(rows.lengths.tolist())
        if 666 in rows.input_ids:
            raise ValueError("the devil's")
        return [ids[0] for ids in rows.lists("input_ids")]


def rows(*firsts, length=4):
    ids = np.concatenate([np.full(length, first) for first in firsts])
    return RaggedBatch(ids, np.arange(len(firsts) + 1) * length)


@pytest.fixture
def engine():
    made = Engine(max_batch_tokens=40, max_wait=0.2)
    yield made
    made.close()


def held(engine, steps):
    """A job that keeps the engine busy until `go_on`, so that what follows waits in the queue."""
    steps.go_on.clear()
    steps.running.clear()
    first = engine.submit(steps, rows(0))
    assert steps.running.wait(WAIT)
    return first


def test_jobs_that_wait_share_a_batch_and_each_gets_its_own_answers(engine):
    steps = Recorded()
    first = held(engine, steps)
    jobs = [engine.submit(steps, rows(*firsts)) for firsts in ([1, 2], [3], [4, 5, 6])]
    steps.go_on.set()
    assert [job.result(WAIT).answers for job in jobs] == [[1, 2], [3], [4, 5, 6]]
    assert first.result(WAIT).answers == [0]
    assert steps.batches == [[4], [4] * 6]


def test_a_batch_has_no_more_than_its_tokens_but_a_larger_job_runs_alone(engine):
    steps = Recorded()
    held(engine, steps)
    jobs = [engine.submit(steps, rows(1, length=length)) for length in (30, 30, 10, 100)]
    steps.go_on.set()
    [job.result(WAIT) for job in jobs]
    assert steps.batches == [[4], [30, 10], [30], [100]]


def test_jobs_of_other_steps_run_in_a_batch_of_their_own_in_turn(engine):
    steps, others = Recorded(), Recorded()
    held(engine, steps)
    jobs = [engine.submit(one, rows(i)) for i, one in enumerate((steps, others, steps, others))]
    steps.go_on.set()
    assert [job.result(WAIT).answers for job in jobs] == [[0], [1], [2], [3]]
    assert steps.batches == [[4], [4, 4]] and others.batches == [[4, 4]]


def test_an_error_is_only_of_the_job_that_has_it(engine):
    steps = Recorded()
    held(engine, steps)
    good, bad, other = (engine.submit(steps, rows(first)) for first in (1, 666, 2))
    steps.go_on.set()
    assert (good.result(WAIT).answers, other.result(WAIT).answers) == ([1], [2])
    with pytest.raises(ValueError, match="devil"):
        bad.result(WAIT)
    assert engine.alive


def test_after_an_error_the_next_one_does_not_wait_for_those_before_it():
    engine, steps = Engine(max_batch_tokens=1000, max_wait=30), Recorded()
    held(engine, steps)
    jobs = [engine.submit(steps, rows(first)) for first in (1, 666)]  # a batch of two, and then each alone
    steps.go_on.set()
    jobs[0].result(WAIT)
    for _ in range(2):
        with pytest.raises(ValueError, match="devil"):
            engine.submit(steps, rows(666)).result(15)  # of a wait of 30 there is none
    engine.close()


def test_a_job_that_is_cancelled_in_the_queue_is_not_computed(engine):
    steps = Recorded()
    held(engine, steps)
    job, other = engine.submit(steps, rows(1)), engine.submit(steps, rows(2))
    assert job.cancel()
    steps.go_on.set()
    assert other.result(WAIT).answers == [2]
    assert steps.batches == [[4], [4]]


def test_one_client_never_waits_and_several_are_waited_for():
    engine, steps = Engine(max_batch_tokens=1000, max_wait=30), Recorded()
    began = time.perf_counter()
    for i in range(3):
        engine.submit(steps, rows(i)).result(WAIT)
    assert time.perf_counter() - began < 15  # of a wait of 30 there is none
    held(engine, steps)
    jobs = [engine.submit(steps, rows(i)) for i in range(2)]
    steps.go_on.set()
    [job.result(WAIT) for job in jobs]  # the last batch had two
    job = engine.submit(steps, rows(1))
    time.sleep(0.1)
    assert not job.done()
    engine.submit(steps, rows(2)).result(WAIT)
    assert job.done() and steps.batches[-1] == [4, 4]
    engine.close()


def test_a_wait_ends():
    engine, steps = Engine(max_batch_tokens=1000, max_wait=0.05), Recorded()
    held(engine, steps)
    jobs = [engine.submit(steps, rows(i)) for i in range(2)]
    steps.go_on.set()
    [job.result(WAIT) for job in jobs]
    assert engine.submit(steps, rows(7)).result(WAIT).answers == [7]
    engine.close()


def test_a_wait_is_a_part_of_the_last_batchs_time_where_that_is_more_than_max_wait(monkeypatch):
    monkeypatch.setattr("bertx.serving.engine._LONGEST", 10)
    engine, steps = Engine(max_batch_tokens=1000, max_wait=1e-6), Recorded()
    jobs = [held(engine, steps), engine.submit(steps, rows(1))]  # two are expected
    time.sleep(3)  # a fifth of it is 0.6
    steps.go_on.set()
    time.sleep(0.1)
    assert jobs[0].done() and not jobs[1].done()
    engine.submit(steps, rows(2)).result(WAIT)
    assert jobs[1].done() and steps.batches == [[4], [4, 4]]
    engine.close()


def test_what_waits_for_a_long_batch_does_not_wait_long_after_it():
    engine, steps = Engine(max_batch_tokens=1000, max_wait=1e-6), Recorded()
    held(engine, steps)
    job = engine.submit(steps, rows(1))
    time.sleep(5)
    steps.go_on.set()
    began = time.perf_counter()
    job.result(WAIT)
    assert time.perf_counter() - began < 0.6  # a fifth of 5 s is 1 s
    engine.close()


def test_those_that_waited_for_a_batch_and_those_in_it_are_waited_for_together():
    engine, steps = Engine(max_batch_tokens=1000, max_wait=30), Recorded()
    first = held(engine, steps)
    waiting = engine.submit(steps, rows(1))
    steps.go_on.set()
    first.result(WAIT)
    time.sleep(0.1)
    assert not waiting.done()  # two are expected: the first comes again
    engine.submit(steps, rows(2)).result(WAIT)
    assert waiting.done() and steps.batches == [[4], [4, 4]]
    engine.close()


def test_with_a_wait_of_0_nobody_waits():
    engine, steps = Engine(max_batch_tokens=1000, max_wait=0), Recorded()
    held(engine, steps)
    jobs = [engine.submit(steps, rows(i)) for i in range(2)]
    time.sleep(1)
    steps.go_on.set()
    [job.result(WAIT) for job in jobs]
    began = time.perf_counter()
    engine.submit(steps, rows(1)).result(WAIT)
    assert time.perf_counter() - began < 0.15
    engine.close()


def test_what_waits_when_it_is_closed_is_answered_and_nothing_after_it():
    engine, steps = Engine(max_batch_tokens=40, max_wait=0), Recorded()
    held(engine, steps)
    job = engine.submit(steps, rows(1))
    closing = threading.Thread(target=engine.close)
    closing.start()
    steps.go_on.set()
    closing.join(WAIT)
    assert job.result(WAIT).answers == [1] and not engine.alive
    with pytest.raises(RuntimeError):
        engine.submit(steps, rows(2))


def test_steps_are_what_a_task_does(tmp_path):
    import bertx
    from bertx.tasks.streaming import STEPS
    from tasks.tiny import write_checkpoint

    model = bertx.load(write_checkpoint(tmp_path, "BertForTokenClassification"), backend="numpy")
    texts = ["the dog walks", "a cat " * 60, ""]
    steps = model(STEPS, aggregation="simple", stride=3)
    assert isinstance(steps, Steps)
    made = steps.rows(texts)
    assert len(made) > len(texts)  # a long text has several rows
    assert steps.results(texts, made, steps.answers(made)) == model(texts, aggregation="simple", stride=3)
