"""Tasks on packed rows give what they give on padded ones: forced here, since on a processor no backend packs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_padding_side import INPUTS, OPTIONS, _same
from tiny import write_checkpoint

import bertx
import bertx_numpy
import bertx_torch
from bertx.backend import Backend, get_backend
from bertx.tasks.streaming import batches
from bertx.testing import config_of
from bertx.tokenizers.ragged import RaggedBatch
from bertx_torch import varlen
from support import BACKENDS, HEADS

TASKS = {task: head for head, task in HEADS.items() if task in INPUTS and task != "text-generation"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """task → the folder of a checkpoint."""
    return {task: write_checkpoint(tmp_path_factory.mktemp(task), head) for task, head in TASKS.items()}


@pytest.fixture
def segments(monkeypatch):
    """The segments of each pass, where all backends pack."""
    found = []
    for name in BACKENDS:
        backend = type(get_backend(name))
        forward = backend.forward

        def spy(self, module, inputs, flags, forward=forward):
            found.append(inputs.get("segments"))
            return forward(self, module, inputs, flags)

        monkeypatch.setattr(backend, "forward", spy)
        monkeypatch.setattr(backend, "packs", lambda self, module: True)
    return found


@pytest.mark.parametrize("task", TASKS)
def test_a_task_on_packed_rows(loaded, folders, segments, monkeypatch, task):
    inputs, options = INPUTS[task], OPTIONS.get(task, {})
    with monkeypatch.context() as unpacked:
        for name in BACKENDS:
            unpacked.setattr(type(get_backend(name)), "packs", Backend.packs)
        expected = list(loaded(folders[task], backend="numpy")(inputs, **options))
    assert segments and all(given is None for given in segments)
    for backend in BACKENDS:
        del segments[:]
        _same(list(loaded(folders[task], backend=backend)(inputs, **options)), expected)
        if task == "multiple-choice":  # one question is a batch
            assert all(given is None for given in segments)
        else:
            (given,) = segments
            assert given.shape[0] == len(inputs) and (given < 0).any()


def test_sentence_embeddings_of_packed_rows(loaded, folders, segments):
    texts = INPUTS["feature-extraction"]
    for backend in BACKENDS:
        model = loaded(folders["feature-extraction"], backend=backend)
        for pooling in ("mean", "cls", "max", "lasttoken"):
            alone = np.stack([model(text, pooling=pooling) for text in texts])
            np.testing.assert_allclose(model(texts, pooling=pooling), alone, atol=2e-5)
        assert all(given is not None for given in segments)


def test_several_masks_in_a_row(loaded, folders, segments):
    texts = ["the [MASK] dog [MASK]", "[MASK]", "a cat [MASK] on the mat"]
    model = loaded(folders["fill-mask"], backend="numpy")
    alone = [model(text, top_k=2) for text in texts]
    _same(model(texts, top_k=2), alone)
    assert [len(filled) for filled in alone] == [2, 2, 2] and isinstance(alone[0][0], list)


def test_rows_with_padding_of_their_own_are_padded(loaded, folders, segments):
    """`padding="max_length"` gives a vector of each position."""
    model = loaded(folders["feature-extraction"], backend="numpy")
    found = model(INPUTS["feature-extraction"], padding="max_length", max_length=20)
    assert {len(vectors) for vectors in found} == {20}
    assert segments == [None]


def test_a_batch_has_so_many_tokens_and_no_more():
    lengths = [3, 9, 1, 4, 12, 2, 30]
    made = batches(lengths, 14, packed=True)
    assert sorted(place for batch in made for place in batch) == list(range(7))
    assert [[lengths[place] for place in batch] for batch in made] == [[30], [12], [9, 4], [3, 2, 1]]
    assert batches([], 14, packed=True) == []


def test_packed_rows_of_a_ragged_batch():
    rows = RaggedBatch(np.arange(6), np.array([0, 2, 3, 6]), token_type_ids=np.array([0, 1, 0, 0, 0, 1]))
    packed = rows.packed()
    assert packed["input_ids"].tolist() == [[0, 1, 2, 3, 4, 5]] and packed["token_type_ids"].shape == (1, 6)
    assert packed["segments"].tolist() == [[0, 1, -1], [2, -1, -1], [3, 4, 5]]
    for padded in (rows.at_least(3, 0), rows.select([]).joined([RaggedBatch(np.arange(2), np.array([0, 2, 2]))])):
        with pytest.raises(ValueError, match="cannot be packed: pad them"):
            padded.packed()


# --- what is refused ---------------------------------------------------------------------------------

IDS = np.array([[5, 6, 7, 8, 9]])
SEGMENTS = np.array([[0, 1, 2], [3, 4, -1]])


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"segments": SEGMENTS[0]}, r"segments is int64 \[3\], expected integers \[B, T\]"),
        ({"segments": SEGMENTS + 0.0}, r"segments is float64 \[2, 3\], expected integers \[B, T\]"),
        (
            {"segments": [[0, 1, -1], [3, 4, -1]]},
            "the indices of its tokens, at least one, and then -1: together 0 to 4",
        ),
        ({"segments": [[0, 1, 2, -1], [-1, 3, 4, -1]]}, "together 0 to 4, in order"),
        ({"segments": [[3, 4, -1], [0, 1, 2]]}, "together 0 to 4, in order"),
        ({"segments": [[0, 1, 2, 3, 4], [-1] * 5]}, "at least one"),
        (
            {"input_ids": np.ones((2, 3), int)},
            r"segments are of rows packed in one, \[1, S\], and the tokens are \[2, 3\]",
        ),
        ({"attention_mask": np.ones((1, 5))}, "cannot be given with attention_mask: give padded rows"),
        ({"attention_mask": np.ones((1, 5, 5))}, "cannot be given with attention_mask: give padded rows"),
        ({"input_ids": np.ones((1, 600), int), "segments": np.arange(600)[None]}, "a sequence of 600 tokens is longer"),
    ],
)
def test_segments_that_cannot_be_are_refused(loaded, folders, changed, problem):
    model = loaded(folders["fill-mask"], backend="numpy")
    with pytest.raises(ValueError, match=problem):
        model.forward(**{"input_ids": IDS, "segments": SEGMENTS} | changed)


def test_more_tokens_than_positions_are_packed(loaded, folders):
    """The longest row counts, not all together."""
    model = loaded(folders["fill-mask"], backend="numpy")
    rows = model.config.max_position_embeddings // 4 + 1
    segments = np.arange(rows * 4).reshape(rows, 4)
    found = model.forward(input_ids=np.tile(IDS[:, :4], rows), segments=segments)["logits"]
    alone = model.forward(input_ids=IDS[:, :4])["logits"]
    np.testing.assert_allclose(found.reshape(rows, 4, -1), np.repeat(alone, rows, 0), atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_native_model_refuses_what_packed_rows_cannot_have(loaded, folders, backend):
    model = loaded(folders["fill-mask"], backend=backend)
    tensor = model._backend.tensor
    ids, segments = tensor(IDS.astype(np.int32)), tensor(SEGMENTS.astype(np.int32))
    mask = tensor(np.ones((1, 5), np.int32))
    with pytest.raises(ValueError, match="segments cannot be given with attention_mask: give padded rows"):
        model.module(input_ids=ids, segments=segments, attention_mask=mask)
    with pytest.raises(ValueError, match="segments cannot be given with output_attentions: give padded rows"):
        model.module(input_ids=ids, segments=segments, output_attentions=True)
    with pytest.raises(ValueError, match=r"rows packed in one, \[1, S\], and 2 rows were given"):
        model.module(input_ids=tensor(np.ones((2, 5), np.int32)), segments=segments)


@pytest.mark.parametrize("changes", [{"position_embedding_type": "relative_key"}, {"is_decoder": True}])
def test_relative_positions_and_causal_masks_go_padded(monkeypatch, changes):
    named = "relative positions" if "is_decoder" not in changes else "a causal model"
    config = config_of("BertModel", **changes)
    model = bertx.Model(bertx_numpy.BertModel(config), config, get_backend("numpy"), "BertModel")
    with pytest.raises(ValueError, match=f"segments cannot be given with {named}"):
        model.forward(input_ids=IDS, segments=SEGMENTS)
    with pytest.raises(ValueError, match=f"segments cannot be given with {named}"):
        model.module(input_ids=IDS, segments=SEGMENTS)
    module = bertx_torch.BertModel(config).to(torch.bfloat16)
    monkeypatch.setattr(varlen, "DEVICES", ("cpu",))
    monkeypatch.setattr(varlen, "kernel", lambda: print)
    assert not get_backend("torch").packs(module)
    assert get_backend("torch").packs(bertx_torch.BertModel(config_of("BertModel")).to(torch.bfloat16))


def test_the_labels_of_positions_go_padded(loaded, folders):
    model = loaded(folders["question-answering"], backend="torch")
    ids, segments = model._backend.tensor(IDS), model._backend.tensor(SEGMENTS)
    labels = {"start_positions": np.array([1, 0]), "end_positions": np.array([1, 1])}
    with pytest.raises(ValueError, match="start_positions, end_positions: give padded rows"):
        model.forward(input_ids=IDS, segments=SEGMENTS, **labels)
    with pytest.raises(ValueError, match="go without segments"):
        tensors = {name: model._backend.tensor(value) for name, value in labels.items()}
        model.module(input_ids=ids, segments=segments, **tensors)


def test_the_wrong_rows_would_be_found(loaded, folders, segments, monkeypatch):
    """Segments one token off give other embeddings."""
    packed = RaggedBatch.packed

    def shifted(self):
        arrays = packed(self)
        lengths = self.lengths.copy()
        lengths[:2] += [1, -1]
        offsets = np.cumsum([0, *lengths])
        at = np.arange(lengths.max())
        return arrays | {"segments": np.where(at < lengths[:, None], offsets[:-1, None] + at, -1)}

    texts = INPUTS["feature-extraction"]
    model = loaded(folders["feature-extraction"], backend="numpy")
    expected = model(texts, pooling="mean")
    monkeypatch.setattr(RaggedBatch, "packed", shifted)
    assert np.abs(model(texts, pooling="mean") - expected).max() > 1e-3
