"""dtypes and devices: what each backend runs, how near it comes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bertx
from bertx.backend import get_backend
from support import BACKENDS, HEADS, batch, differences, labels, peer, peer_forward, save_peer

HALF = [(backend, dtype) for backend in ("torch", "jax", "tensorflow") for dtype in ("bfloat16", "float16")]
HALF.append(("numpy", "float16"))
# Relative to the largest number of an output. Measured: 0.011 and 0.0019 at most.
NEAR = {"bfloat16": 0.03, "float16": 0.005}
FLAGS = {"output_hidden_states": True, "output_attentions": True}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model = peer("BertForMaskedLM", num_hidden_layers=2)
    return model, save_peer(model, tmp_path_factory.mktemp("dtypes"))


@pytest.fixture(scope="module")
def half(checkpoint):
    """(backend, dtype) → the model."""
    return {(backend, dtype): bertx.load(checkpoint[1], backend=backend, dtype=dtype) for backend, dtype in HALF}


def assert_near(found, expected, dtype):
    """Each output to NEAR of its scale; → the worst ratio."""
    assert set(found) == set(expected)
    worst = {}
    for name, value in expected.items():
        pairs = zip(found[name], value, strict=True) if isinstance(value, tuple) else [(found[name], value)]
        for a, b in pairs:
            assert a.shape == b.shape
            ratio = np.abs(a.astype(np.float64) - b).max() / np.abs(b).max()
            worst[name] = max(worst.get(name, 0), float(ratio))
    assert max(worst.values()) <= NEAR[dtype], worst


@pytest.mark.parametrize(("backend", "dtype"), HALF)
def test_half_precision_comes_near(checkpoint, half, backend, dtype):
    inputs = batch("BertForMaskedLM", "right") | labels("BertForMaskedLM")
    found = half[backend, dtype].forward(**inputs, **FLAGS)
    expected = peer_forward(checkpoint[0], inputs, **FLAGS)
    assert_near(found, expected, dtype)
    # It is the half precision that ran, not float32 under its name.
    assert np.abs(found["logits"] - expected["logits"]).max() > 1e-4
    if dtype == "bfloat16":
        arrays = [found["loss"], found["logits"], *found["hidden_states"], *found["attentions"]]
        assert {array.dtype for array in arrays} == {np.dtype("float32")}


@pytest.mark.parametrize(("backend", "dtype"), HALF)
def test_parameters_are_of_the_dtype_and_rounded_to_nearest(checkpoint, half, backend, dtype):
    state = checkpoint[0].state_dict()
    expected = {name: tensor.float().to(getattr(torch, dtype)) for name, tensor in state.items()}
    for name, tensor in half[backend, dtype].tensors():
        assert tensor.tobytes() == expected[name].contiguous().view(torch.int16).numpy().tobytes(), name


@pytest.mark.parametrize(("backend", "dtype"), HALF)
def test_inputs_embeds_take_the_dtype_of_the_model(checkpoint, half, backend, dtype):
    inputs = batch("BertForMaskedLM", "right")
    shape = inputs.pop("input_ids").shape
    inputs["inputs_embeds"] = np.random.default_rng(3).standard_normal((*shape, 48), np.float32)
    assert_near(half[backend, dtype].forward(**inputs), peer_forward(checkpoint[0], inputs), dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_a_checkpoint_in_half_precision_loads_into_float32(checkpoint, tmp_path, backend, stored):
    copy = type(checkpoint[0])(checkpoint[0].config)
    copy.load_state_dict(checkpoint[0].state_dict())
    copy.to(getattr(torch, stored)).save_pretrained(tmp_path)
    expected = copy.float().state_dict()
    for name, tensor in bertx.load(tmp_path, backend=backend).tensors():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, expected[name].numpy(), err_msg=name)


@pytest.mark.parametrize("padding", ["right", "left", None])
@pytest.mark.parametrize("head", HEADS)
def test_float64_on_torch_equals_transformers(tmp_path, head, padding):
    original = peer(head)
    model = bertx.load(save_peer(original, tmp_path), backend="torch", dtype="float64")
    inputs = batch(head, padding) | labels(head)
    found = model.forward(**inputs, **FLAGS)
    assert max(differences(found, peer_forward(original, inputs, **FLAGS)).values()) <= 1e-9
    plain = model.forward(**inputs)
    assert max(differences(plain, peer_forward(original, inputs)).values()) <= 1e-9
    assert found["hidden_states"][0].dtype == np.float64


@pytest.mark.parametrize(
    ("backend", "dtype", "runs"),
    [
        ("jax", "float64", "float32, bfloat16, float16"),
        ("tensorflow", "float64", "float32, bfloat16, float16, mixed_bfloat16, mixed_float16"),
        ("numpy", "bfloat16", "float32, float64, float16"),
        ("torch", "int4", "float32, bfloat16, float16, float64, int8"),
    ],
)
def test_a_dtype_that_a_backend_does_not_run_is_refused(checkpoint, backend, dtype, runs):
    assert ", ".join(get_backend(backend).dtypes) == runs
    with pytest.raises(ValueError, match=f"the {backend} backend runs {runs}; asked for dtype '{dtype}'"):
        bertx.load(checkpoint[1], backend=backend, dtype=dtype)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unknown_device_is_refused(checkpoint, backend):
    seen = ", ".join(get_backend(backend).devices())
    assert seen.split(", ")[0] == "cpu"
    with pytest.raises(ValueError, match=f"the {backend} backend sees {seen} here; asked for device 'warp'"):
        bertx.load(checkpoint[1], backend=backend, device="warp")
    with pytest.raises(ValueError, match="asked for device 'warp'"):
        bertx.load(checkpoint[1], backend="numpy").to(backend, device="warp")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_device_that_is_listed_runs(checkpoint, backend):
    original, folder = checkpoint
    inputs = batch("BertForMaskedLM", "right")
    expected = peer_forward(original, inputs)
    for device in get_backend(backend).devices():
        model = bertx.load(folder, backend=backend, device=device)
        assert model.device.startswith(device)
        found = model.forward(**inputs)
        assert max(differences(found, expected).values()) <= 5e-6, device


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_every_output_is_computed_in_the_dtype_that_was_asked_for(checkpoint, backend, dtype):
    module = bertx.load(checkpoint[1], backend=backend, dtype=dtype).module
    ids = get_backend(backend).tensor(np.array([[2, 5, 3]]))
    outputs = module(input_ids=ids, output_hidden_states=True, output_attentions=True)
    found = [part for value in outputs.values() for part in (value if isinstance(value, tuple) else (value,))]
    assert len(found) > 3
    assert all(dtype in str(part.dtype) for part in found)
