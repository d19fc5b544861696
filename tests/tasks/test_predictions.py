"""Tasks read the likeliest words, labels and spans where the model runs: only these come back to the host."""

from __future__ import annotations

import numpy as np
import pytest
from test_padding_side import INPUTS, OPTIONS, _same
from tiny import write_checkpoint

import bertx
from bertx.backend import get_backend
from bertx.testing import PREDICTIONS, build, config_of
from conftest import MASKED_LM
from support import BACKENDS, HEADS, SIZES

TASKS = {task: head for head, task in HEADS.items() if task in PREDICTIONS}
LAYOUTS = ("padded", "packed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """task → the folder of a checkpoint."""
    return {task: write_checkpoint(tmp_path_factory.mktemp(task), head) for task, head in TASKS.items()}


@pytest.fixture
def outputs(monkeypatch):
    """Output → shape of each pass, on any backend."""
    found = []
    for name in BACKENDS:
        backend = type(get_backend(name))
        forward = backend.forward

        def spy(self, module, inputs, flags, forward=forward):
            given = forward(self, module, inputs, flags)
            assert all(type(value) is np.ndarray for value in given.values())
            found.append({name: value.shape for name, value in given.items()})
            return given

        monkeypatch.setattr(backend, "forward", spy)
    return found


@pytest.fixture(params=LAYOUTS)
def packs(request, monkeypatch):
    """Whether rows are packed in one."""
    for name in BACKENDS:
        monkeypatch.setattr(type(get_backend(name)), "packs", lambda self, module: request.param == "packed")
    return request.param == "packed"


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_a_mask_come_as_many_words_as_are_asked_for(loaded, folders, outputs, packs, backend):
    model = loaded(folders["fill-mask"], backend=backend)
    model(INPUTS["fill-mask"])
    for found in outputs:
        rows = found["scores"][1 if packs else 0]
        shape = (1, rows, 8) if packs else (rows, 1, 8)  # five words are read of a power of two
        assert found == {"scores": shape, "indices": shape}
    assert len(outputs) == 1 or not packs
    del outputs[:]
    model("the [MASK] dog [MASK]", top_k=2, targets=["dog", "cat", "happy"])
    assert len(model("[MASK]", top_k=1000)) == SIZES["vocab_size"]
    expected = [(1, 2, 2), (1, 1, SIZES["vocab_size"])]
    assert outputs == [{"scores": shape, "indices": shape} for shape in expected]
    words = model("[MASK]", top_k=4, targets=["dog", "cat"])  # fewer than are asked for
    assert sorted(word["token_str"] for word in words) == ["cat", "dog"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_a_context_come_its_best_spans(loaded, folders, outputs, packs, backend):
    loaded(folders["question-answering"], backend=backend)(INPUTS["question-answering"])
    for found in outputs:
        (rows,) = found["null_scores"]
        assert found == {"scores": (rows, 16), "indices": (rows, 16), "null_scores": (rows,)}
    assert outputs and (len(outputs) == 1 or not packs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_a_token_comes_its_best_label(loaded, folders, outputs, packs, backend):
    model = loaded(folders["token-classification"], backend=backend)
    for aggregation in ("none", "simple", "first", "max"):
        model(INPUTS["token-classification"], aggregation=aggregation)
        assert all(list(found) == ["scores", "indices"] for found in outputs)
        assert all(len(shape) == 2 for found in outputs for shape in found.values())
    del outputs[:]
    model(INPUTS["token-classification"], aggregation="average")
    assert outputs and all(list(found) == ["scores"] for found in outputs)
    assert {found["scores"][2:] for found in outputs} == {(SIZES["num_labels"],)}


@pytest.mark.parametrize("task", TASKS)
def test_packed_rows_give_what_padded_rows_give(loaded, folders, monkeypatch, task):
    inputs, options = INPUTS[task], OPTIONS.get(task, {})
    for backend in BACKENDS:
        model, found = loaded(folders[task], backend=backend), []
        for packed in (False, True):
            monkeypatch.setattr(type(get_backend(backend)), "packs", lambda self, module, packed=packed: packed)
            found.append(model(inputs, **options))
        _same(*found)


def test_another_number_of_words_compiles_no_more_code(loaded, folders, outputs):
    model = loaded(folders["fill-mask"], backend="jax")
    for top_k in (5, 6, 8):
        model("[MASK]", top_k=top_k)
    for targets in (["dog"], ["dog", "cat"]):
        model("[MASK]", top_k=5, targets=targets)
    assert {found["scores"] for found in outputs} == {(1, 1, 8)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_equally_likely_words_come_in_the_order_of_the_vocabulary(tmp_path, backend, dtype):
    if dtype not in get_backend(backend).dtypes:
        pytest.skip(f"{backend} does not run {dtype}")
    folder = write_checkpoint(tmp_path / "model", "BertForMaskedLM")
    loaded = bertx.load(folder, backend="numpy")
    bias = loaded.module.cls.predictions.bias
    loaded.module.cls.predictions.decoder.weight.value[:] = 0
    bias.value = (np.arange(SIZES["vocab_size"]) % 3 == 1).astype(np.float32)
    loaded.save(tmp_path / "tied")
    model = bertx.load(tmp_path / "tied", backend=backend, dtype=dtype)
    assert [word["token"] for word in model("[MASK] dog", top_k=7)] == [1, 4, 7, 10, 13, 16, 19]
    count = int(bias.value.sum())
    words = model("[MASK] dog", top_k=count + 3)
    assert [word["token"] for word in words[count:]] == [0, 2, 3]
    assert len({word["score"] for word in words}) == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_words_are_those_of_all_logits(loaded, backend):
    """By the definition: the softmax of what `forward` gives, sorted."""
    model = loaded(MASKED_LM, backend=backend)
    text = "she [MASK] the door and [MASK] home ."
    ids = model.tokenizer([text], return_tensors="np")
    logits = model.forward(**ids)["logits"][0].astype(np.float64)
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    for position, words in zip((2, 6), model(text, top_k=20), strict=True):
        of_mask = probabilities[position]
        order = np.argsort(-of_mask, kind="stable")[:20]
        assert [word["token"] for word in words] == order.tolist()
        np.testing.assert_allclose([word["score"] for word in words], of_mask[order], rtol=2e-5)


def test_a_model_that_was_replaced_or_changed_is_read_anew():
    model = build(get_backend("numpy"), "BertForTokenClassification", "float32")
    ids = {"input_ids": np.array([[5, 6, 7]])}
    before = model.predictor("LabelPredictions")(**ids)["scores"]
    assert model._predictions_of("LabelPredictions") is model._predictions_of("LabelPredictions")
    other = build(get_backend("numpy"), "BertForTokenClassification", "float32", **{"classifier.bias": np.arange(5.0)})
    model.module = other.module
    after = model.predictor("LabelPredictions")(**ids)["scores"]
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(after, other.predictor("LabelPredictions")(**ids)["scores"])
    kept = model._predictions_of("LabelPredictions")
    model.config = config_of("BertForTokenClassification", initializer_range=0.3)
    assert model._predictions_of("LabelPredictions") is not kept


def test_bad_inputs_are_refused():
    model = build(get_backend("numpy"), "BertForMaskedLM", "float32")
    predict = model.predictor("WordPredictions", count=2)
    with pytest.raises(ValueError, match=r"mask_positions\[0, 0\] is 9, expected 0 to 2"):
        predict(input_ids=np.array([[5, 6, 7]]), mask_positions=[[9]])
    with pytest.raises(TypeError, match="it was given context_mask"):
        predict(input_ids=np.array([[5, 6, 7]]), context_mask=[[1, 1, 1]])
