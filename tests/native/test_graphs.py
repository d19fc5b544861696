"""Recorded passes on PyTorch: what is recorded and when, with a recording that computes anew in place of CUDA's."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import bertx
from bertx.backend import get_backend
from bertx.testing import SIZES, build
from bertx_torch import graphs
from conftest import MINILM


class Recorder:
    """Stands for CUDA: a replay computes from the tensors that were recorded, into the outputs that were."""

    def __init__(self):
        self.recorded = self.replayed = 0
        self.pools = set()

    def record(self, compute, pool):
        self.recorded += 1
        self.pools.add(pool)
        outputs = {name: tensor.clone() for name, tensor in compute().items()}

        def replay():
            self.replayed += 1
            for name, tensor in compute().items():
                outputs[name].copy_(tensor)

        return outputs, replay


@pytest.fixture
def recorder(monkeypatch):
    made = Recorder()
    monkeypatch.setattr(graphs, "DEVICES", ("cpu",))
    monkeypatch.setattr(graphs, "record", made.record)
    monkeypatch.setattr(graphs, "new_pool", lambda: object())
    monkeypatch.delenv("BERTX_CUDA_GRAPHS", raising=False)
    return made


@pytest.fixture
def model():
    return build(get_backend("torch"), "BertForMaskedLM", "float32")


def batch(rows, length, seed=0):
    ids = np.random.default_rng(seed).integers(5, SIZES["vocab_size"], (rows, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def plain(model, inputs, **flags):
    """What the model gives where nothing is recorded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTX_CUDA_GRAPHS", "0")
        return model.forward(**inputs, **flags)


def test_a_shape_is_recorded_when_it_comes_again_and_then_replayed(recorder, model):
    for turn, expected in enumerate([(0, 0), (1, 1), (1, 2), (1, 3)]):
        inputs = batch(2, 7, seed=turn)
        inputs["attention_mask"][1, 5:] = turn % 2
        found = model.forward(**inputs)
        np.testing.assert_array_equal(found["logits"], plain(model, inputs)["logits"])
        assert (recorder.recorded, recorder.replayed) == expected


def test_what_a_pass_gave_stays_when_the_next_has_run(recorder, model):
    outputs = [model.forward(**batch(1, 5, seed)) for seed in range(4)]
    for seed, found in enumerate(outputs):
        np.testing.assert_array_equal(found["logits"], plain(model, batch(1, 5, seed))["logits"])


def test_positions_and_segments_are_inputs_like_others(recorder, model):
    for seed in range(3):
        inputs = batch(2, 6, seed) | {"mask_positions": np.array([[0, seed], [1, 5 - seed]])}
        np.testing.assert_array_equal(model.forward(**inputs)["logits"], plain(model, inputs)["logits"])
        segments = np.array([[0, 1, 2, -1], [3, 4, -1, -1], [5, -1, -1, -1]])
        if seed == 2:
            segments = np.array([[0, -1, -1, -1], [1, 2, 3, 4], [5, -1, -1, -1]])
        packed = {"input_ids": batch(1, 6, seed)["input_ids"], "segments": segments}
        np.testing.assert_array_equal(model.forward(**packed)["logits"], plain(model, packed)["logits"])
    assert recorder.recorded == 2 and recorder.replayed == 4


def test_what_is_not_recorded(recorder, model, monkeypatch):
    large, labels = batch(9, 7), {"labels": batch(2, 7)["input_ids"]}
    for _ in range(3):
        model.forward(**large)
        model.forward(**batch(2, 7), **labels)
        model.forward(**batch(2, 7), output_hidden_states=True)
        model.forward(inputs_embeds=np.zeros((1, 4, SIZES["hidden_size"]), np.float32))
    assert not recorder.recorded
    monkeypatch.setenv("BERTX_CUDA_GRAPHS", "0")
    for _ in range(3):
        model.forward(**batch(2, 7))
    assert not recorder.recorded


def test_on_the_processor_nothing_is_recorded(monkeypatch, model):
    monkeypatch.setattr(graphs, "record", None)
    assert not model.replays(1, 8)
    for _ in range(3):
        model.forward(**batch(1, 8))


def change_a_value(module):
    module.cls.predictions.bias.data += 1  # in place: what is recorded reads it


def give_a_parameter_other_memory(module):
    module.cls.predictions.bias.data = module.cls.predictions.bias.data + 1


def replace_a_block(module):
    layer = module.bert.encoder.layer[0].output
    layer.dense = torch.nn.Linear(layer.dense.in_features, layer.dense.out_features).eval()


def add_a_hook(module):
    module.bert.encoder.layer[0].register_forward_hook(lambda block, inputs, outputs: (outputs[0] * 2, *outputs[1:]))


def replace_a_method(module):
    module.bert.encoder.layer[0].feed_forward = lambda attended: attended


@pytest.mark.parametrize(
    "change", [change_a_value, give_a_parameter_other_memory, replace_a_block, add_a_hook, replace_a_method]
)
def test_a_model_that_changed_is_recorded_anew(recorder, model, change):
    inputs = batch(2, 7)
    before = [model.forward(**inputs)["logits"] for _ in range(3)][-1]
    change(model.module)
    for _ in range(3):
        found = model.forward(**inputs)["logits"]
        np.testing.assert_array_equal(found, plain(model, inputs)["logits"])
        assert np.abs(found - before).max() > 1e-3
    assert recorder.recorded == (1 if change is change_a_value else 2)


def test_a_model_that_trains_is_not_recorded(recorder, model):
    model.module.train()
    for _ in range(3):
        model.forward(**batch(2, 7))
    assert not recorder.recorded


def test_so_many_shapes_are_kept_and_no_more(recorder, model, monkeypatch):
    monkeypatch.setattr(graphs, "MOST", 3)
    for length in range(2, 8):
        for _ in range(2):
            model.forward(**batch(1, length))
    passes = graphs._passes[model.module]
    assert recorder.recorded == 6 and len(passes._recorded) == 3 and len(recorder.pools) == 1
    model.forward(**batch(1, 5))  # used again: the oldest is another
    for _ in range(2):
        model.forward(**batch(1, 8))
    kept = [shape for _, ((_, shape, _), *_) in passes._recorded]
    assert kept == [(1, 7), (1, 5), (1, 8)]


def test_a_model_that_is_gone_leaves_nothing(recorder, monkeypatch):
    monkeypatch.setattr(graphs, "record", lambda compute, pool: (compute(), lambda: None))  # keeps no function
    made = build(get_backend("torch"), "BertModel", "float32")
    for _ in range(3):
        made.forward(**batch(1, 4))
    assert made.module in graphs._passes
    gone = weakref.ref(made.module)
    del made
    gc.collect()
    assert gone() is None


def test_threads_share_what_is_recorded(recorder, model):
    jobs = [batch(1, 4 + seed % 2, seed) for seed in range(40)]
    expected = [plain(model, inputs)["logits"] for inputs in jobs]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda inputs: model.forward(**inputs)["logits"], jobs))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert recorder.recorded == 2


def test_tasks_pad_small_batches_to_a_few_lengths(recorder):
    model = bertx.load(MINILM, backend="torch")
    texts = [" ".join(["river"] * count) for count in (1, 2, 3, 5, 9, 12)]
    found = [model(text) for text in texts]
    assert (recorder.recorded, recorder.replayed) == (2, 2)  # of 4 and 8 tokens; 12 and 16 came once
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTX_CUDA_GRAPHS", "0")
        assert not model.replays(1, 8)
        np.testing.assert_allclose(found, [model(text) for text in texts], atol=1e-6)
    long = " ".join(["river"] * 600)
    for _ in range(2):
        assert model(long).shape == (384,)
        assert model([long] * 9).shape == (9, 384)
    assert recorder.recorded <= 3


def test_a_compiled_model_is_left_to_its_compiler(recorder, model):
    compiled = []
    model.module.compile(dynamic=True, backend=lambda graph, _: compiled.append(1) or graph.forward)
    for _ in range(3):
        model.forward(**batch(2, 7))
    assert compiled and not recorder.recorded
