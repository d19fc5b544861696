"""`bertx.distributed.MapTask`: it pickles without a model, and gives each kind of batch back with its results."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import bertx
from bertx import distributed
from bertx.distributed import MapTask

TEXTS = ["A happy person.", "a cat", "", "the dog " * 9]
EMBED = {"output": "embedding", "backend": "numpy", "pooling": "mean"}


@pytest.fixture
def embed():
    """As an engine has it on another machine."""
    made = MapTask("bertx-tiny", "feature-extraction", **EMBED)
    pickled = pickle.dumps(made)
    assert len(pickled) < 2000
    return pickle.loads(pickled)


@pytest.fixture(scope="module")
def expected():
    return bertx.load("bertx-tiny", task="feature-extraction", backend="numpy")(TEXTS, pooling="mean")


def test_a_dict_of_arrays(embed, expected):
    for texts in (np.array(TEXTS), np.array(TEXTS, object)):
        batch = {"id": np.arange(4), "text": texts}
        found = embed(batch)
        assert list(found) == ["id", "text", "embedding"] and list(batch) == ["id", "text"]
        assert found["embedding"].dtype == np.float32
        np.testing.assert_array_equal(found["embedding"], expected)
        np.testing.assert_array_equal(found["id"], np.arange(4))
    assert len(embed({"text": np.array([], str)})["embedding"]) == 0


def test_frames_and_iterators_of_them(embed, expected):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"id": range(4), "text": TEXTS}, index=[7, 8, 9, 9])
    found = embed(frame)
    assert list(found.columns) == ["id", "text", "embedding"] and list(found.index) == [7, 8, 9, 9]
    np.testing.assert_array_equal(np.stack(found["embedding"]), expected)
    assert list(frame.columns) == ["id", "text"]
    parts = list(embed(iter([frame[:2], frame[:0], frame[2:]])))
    assert [len(part) for part in parts] == [2, 0, 2]
    assert all(list(part.columns) == ["id", "text", "embedding"] for part in parts)
    np.testing.assert_allclose(np.stack(pandas.concat(parts)["embedding"]), expected, atol=1e-5)


def test_results_that_are_objects_and_several_columns():
    fill = MapTask("bertx-tiny", "fill-mask", columns="masked", backend="numpy", top_k=2)
    texts = ["The [MASK] dog.", "a [MASK]"]
    found = fill({"masked": np.array(texts)})["result"]
    assert found.dtype == object and found.shape == (2,)
    model = bertx.load("bertx-tiny", backend="numpy")
    assert [[word["token"] for word in one] for one in found] == [
        [word["token"] for word in one] for one in model(texts, top_k=2)
    ]
    pairs = MapTask("bertx-tiny", "feature-extraction", columns={"text": "a", "text_pair": "b"}, **EMBED)
    batch = {"a": np.array(["the dog"]), "b": np.array(["it runs"])}
    embed = bertx.load("bertx-tiny", task="feature-extraction", backend="numpy")
    np.testing.assert_array_equal(pairs(batch)["embedding"][0], embed(("the dog", "it runs"), pooling="mean"))


def test_a_process_loads_a_model_once(embed, monkeypatch):
    from bertx.checkpoints import load

    distributed._loaded.cache_clear()
    loads = []
    real = load.load
    monkeypatch.setattr(load, "load", lambda *given, **how: loads.append(given) or real(*given, **how))
    again = pickle.loads(pickle.dumps(embed))
    for one in (embed, again, embed):
        one({"text": np.array(["a"])})
    assert len(loads) == 1


def test_what_is_no_such_batch_is_told(embed):
    with pytest.raises(KeyError, match="has no column 'text'; it has body"):
        embed({"body": np.array(["a"])})
    with pytest.raises(TypeError, match="the batch is a list, expected a dict of NumPy arrays or a pandas DataFrame"):
        embed(["a"])
    with pytest.raises(ValueError, match="has a column 'embedding' already"):
        embed({"text": np.array(["a"]), "embedding": np.array([1])})
