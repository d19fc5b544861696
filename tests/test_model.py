"""Model: moving between backends, and what `forward` takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import bertx
from support import BACKENDS, HEADS, LENGTH, SIZES, batch, differences, peer, peer_forward, save_peer

TOLERANCE = 5e-6
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
FLAGS = {"output_hidden_states": True, "output_attentions": True}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Head → (the peer, its checkpoint)."""
    root = tmp_path_factory.mktemp("model")
    heads = ("BertModel", "BertForMaskedLM", "BertForMultipleChoice", "BertLMHeadModel")
    peers = {head: peer(head, num_hidden_layers=2) for head in heads}
    return {head: (model, save_peer(model, root / head)) for head, model in peers.items()}


@pytest.fixture(scope="module")
def loaded(folders):
    return {
        (head, backend): bertx.load(folder, backend=backend)
        for head, (_, folder) in folders.items()
        for backend in BACKENDS
    }


def assert_equals(found, expected):
    worst = differences(found, expected)
    assert max(worst.values()) <= TOLERANCE, worst


def assert_same_tensors(found, expected):
    assert set(found) - TIED == set(expected) - TIED
    for name in set(found) & set(expected):
        assert found[name].dtype == expected[name].dtype, name
        assert found[name].tobytes() == expected[name].tobytes(), name


# --- to -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), list(itertools.product(BACKENDS, BACKENDS)))
def test_to_moves_every_bit(loaded, source, target):
    model = loaded["BertForMaskedLM", source]
    moved = model.to(target)
    assert (moved.backend, moved.task, moved.config) == (target, model.task, model.config)
    assert_same_tensors(dict(moved.tensors()), dict(model.tensors()))
    inputs = batch("BertForMaskedLM", "right")
    assert_equals(moved.forward(**inputs), model.forward(**inputs))


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("pooling", [True, False])
def test_to_keeps_or_omits_the_pooler(tmp_path, target, pooling):
    folder = save_peer(peer("BertModel"), tmp_path)
    if not pooling:
        import bertx_numpy

        model = bertx_numpy.BertModel(bertx.BertConfig.from_pretrained(folder), add_pooling_layer=False)
        model.save_pretrained(folder)
    moved = bertx.load(folder, backend="numpy").to(target)
    assert ("pooler_output" in moved.forward(**batch("BertModel", None))) == pooling


@pytest.mark.parametrize("target", ["jax", "tensorflow"])
def test_to_keeps_the_dtype(folders, target):
    model = bertx.load(folders["BertModel"][1], backend="torch", dtype="bfloat16")
    assert_same_tensors(dict(model.to(target).tensors()), dict(model.tensors()))
    changed = model.to(target, dtype="float32")
    assert {tensor.dtype for _, tensor in changed.tensors()} == {np.dtype("float32")}


def test_writing_to_torch_leaves_the_jax_arrays(folders):
    model = bertx.load(folders["BertModel"][1], backend="jax")
    before = {name: tensor.copy() for name, tensor in model.tensors()}
    for parameter in model.to("torch").module.parameters():
        parameter.data.zero_()
    assert_same_tensors(dict(model.tensors()), before)


def test_to_refuses_a_dtype_that_the_backend_does_not_run(folders):
    model = bertx.load(folders["BertModel"][1], backend="torch", dtype="float64")
    with pytest.raises(ValueError, match="jax backend runs float32, bfloat16, float16; asked for dtype 'float64'"):
        model.to("jax")


def test_frameworks_share_a_process(loaded, folders):
    inputs = batch("BertForMaskedLM", "left")
    expected = peer_forward(folders["BertForMaskedLM"][0], inputs, **FLAGS)
    for backend in (*BACKENDS, *reversed(BACKENDS)):
        assert_equals(loaded["BertForMaskedLM", backend].forward(**inputs, **FLAGS), expected)


# --- forward --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("head", ["BertModel", "BertForMaskedLM", "BertForMultipleChoice"])
def test_inputs_embeds(loaded, folders, head, backend):
    inputs = batch(head, "right")
    shape = inputs.pop("input_ids").shape
    inputs["inputs_embeds"] = np.random.default_rng(3).standard_normal((*shape, SIZES["hidden_size"]), np.float32)
    expected = peer_forward(folders[head][0], inputs, **FLAGS)
    assert_equals(loaded[head, backend].forward(**inputs, **FLAGS), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("head", ["BertModel", "BertForMultipleChoice"])
def test_position_ids(loaded, folders, head, backend):
    inputs = batch(head, "left")
    places = np.random.default_rng(4).integers(0, SIZES["max_position_embeddings"], inputs["input_ids"].shape)
    inputs["position_ids"] = places
    assert_equals(loaded[head, backend].forward(**inputs, **FLAGS), peer_forward(folders[head][0], inputs, **FLAGS))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_row_of_position_ids_serves_the_batch(loaded, folders, backend):
    inputs = batch("BertModel", None)
    places = np.random.default_rng(4).integers(0, SIZES["max_position_embeddings"], (1, LENGTH))
    expected = peer_forward(folders["BertModel"][0], {**inputs, "position_ids": places})
    assert_equals(loaded["BertModel", backend].forward(**inputs, position_ids=places), expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("head", ["BertModel", "BertLMHeadModel"])
def test_attention_mask_of_each_query(loaded, folders, head, backend):
    inputs = batch(head, None)
    mask = np.random.default_rng(5).integers(0, 2, (*inputs["input_ids"].shape, LENGTH))
    mask |= np.eye(LENGTH, dtype=mask.dtype)
    visible = np.tril(mask) if head == "BertLMHeadModel" else mask
    # transformers takes such a mask as what is added to the scores.
    added = np.where(visible[:, None], 0, np.finfo(np.float64).min)
    expected = peer_forward(folders[head][0], {**inputs, "attention_mask": added}, **FLAGS)
    model = loaded[head, backend]
    assert_equals(model.forward(**(inputs | {"attention_mask": mask}), **FLAGS), expected)
    plain = {name: value for name, value in expected.items() if name not in ("hidden_states", "attentions")}
    assert_equals(model.forward(**(inputs | {"attention_mask": mask})), plain)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shapes_and_inputs_vary_from_call_to_call(loaded, folders, backend):
    generator = np.random.default_rng(6)
    for shape in [(4, 13), (1, 1), (2, SIZES["max_position_embeddings"]), (3, 5), (4, 13)]:
        inputs = {"input_ids": generator.integers(0, SIZES["vocab_size"], shape)}
        masked = {**inputs, "attention_mask": np.arange(shape[1]) < generator.integers(1, shape[1] + 1, (shape[0], 1))}
        masked["attention_mask"] = masked["attention_mask"].astype(np.int64)
        for given in (inputs, masked):
            expected = peer_forward(folders["BertModel"][0], given)
            assert_equals(loaded["BertModel", backend].forward(**given), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_token_types_are_type_0(loaded, backend):
    model = loaded["BertModel", backend]
    inputs = batch("BertModel", "right")
    inputs["token_type_ids"][:] = 0
    zeros = model.forward(**inputs)
    del inputs["token_type_ids"]
    assert_equals(model.forward(**inputs), zeros)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_row_without_a_visible_key_attends_to_all_alike(loaded, backend):
    inputs = batch("BertModel", "right")
    inputs["attention_mask"][2] = 0
    found = loaded["BertModel", backend].forward(**inputs, **FLAGS)
    for probabilities in found["attentions"]:
        np.testing.assert_allclose(probabilities[2], 1 / LENGTH, rtol=1e-6)
        assert probabilities[1].std() > 0.01
    # The path without attentions, torch's fused one, and the oracle agree on it.
    oracle = loaded["BertModel", "numpy"].forward(**inputs)
    assert_equals(loaded["BertModel", backend].forward(**inputs), oracle)


@pytest.mark.parametrize("backend", BACKENDS)
def test_outputs_are_numpy_arrays(loaded, backend):
    found = loaded["BertModel", backend].forward(**batch("BertModel", None), **FLAGS)
    assert isinstance(found["hidden_states"], tuple) and len(found["hidden_states"]) == 3
    assert isinstance(found["attentions"], tuple) and len(found["attentions"]) == 2
    arrays = [found["last_hidden_state"], found["pooler_output"], *found["hidden_states"], *found["attentions"]]
    assert all(type(array) is np.ndarray and array.dtype == np.float32 for array in arrays)


@pytest.mark.parametrize(("head", "task"), list(HEADS.items()))
def test_task_and_head_belong_together(tmp_path, head, task):
    folder = save_peer(peer(head, num_hidden_layers=1), tmp_path)
    own, asked = bertx.load(folder, backend="numpy"), bertx.load(folder, task=task, backend="numpy")
    assert own.task == asked.task == task
    assert type(own.module).__name__ == type(asked.module).__name__ == own.architecture == head
    assert repr(own) == f"bertx.Model({head}, task={task!r}, backend='numpy')"


def test_a_model_without_a_tokenizer_says_so(loaded):
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer: expected tokenizer\.json or vocab\.txt"):
        _ = loaded["BertModel", "numpy"].tokenizer


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compile_for_any_length(folders):
    """On PyTorch: the same within the noise, and not compiled again for each shape."""
    counters = pytest.importorskip("torch._dynamo.utils").counters
    _, folder = folders["BertForMaskedLM"]
    model, plain = (bertx.load(folder, backend="torch") for _ in range(2))
    model.compile()
    counters.clear()
    compiled = []
    for rows, length in ((2, 7), (3, 11), (4, 17), (5, 23)):
        inputs = {"input_ids": np.arange(rows * length).reshape(rows, length) % 60}
        np.testing.assert_allclose(model.forward(**inputs)["logits"], plain.forward(**inputs)["logits"], atol=TOLERANCE)
        compiled.append(counters["stats"]["unique_graphs"])
    assert 0 < compiled[0] <= compiled[1] == compiled[-1]


@pytest.mark.parametrize("backend", ["tensorflow", "numpy"])
def test_compile_where_there_is_no_compiler(loaded, backend):
    with pytest.raises(ValueError, match=f"the {backend} backend compiles no model further: torch does"):
        loaded["BertModel", backend].compile()
