"""The real readers read what bertx writes of RoBERTa and XLM-R: transformers 4.57 and 5, Flax, Orbax, KerasHub."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from format_support import assert_bit_equal

import bertx
from fixture_files import FIXTURES

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv-transformers4" / "bin" / "python"
READER = ROOT / "tests" / "peers" / "read_transformers4.py"
ROBERTA = FIXTURES / "roberta"
HEADS = sorted(folder.name for folder in ROBERTA.iterdir() if folder.name not in ("sharded", "untied"))
# What bertx writes → the framework of transformers 4.57 that reads it.
FORMATS = {"safetensors": "pytorch", "pytorch": "pytorch", "tensorflow": "tensorflow", "flax": "flax"}
UNTIED = {"safetensors": "flax", "flax": "safetensors"}  # format → what it is converted from


def part(arrays, prefix):
    return {name.removeprefix(f"{prefix}/"): value for name, value in arrays.items() if name.startswith(f"{prefix}/")}


@pytest.mark.slow
def test_transformers4_reads_every_head_as_its_own(tmp_path):
    """Nothing missing, nothing unexpected, and the weights and outputs of the file that the class itself wrote."""
    if not PEER.exists():
        pytest.skip(f"{PEER} is not there: `make test` builds it")
    jobs = {}
    for head in HEADS:
        for form, framework in FORMATS.items():
            bertx.convert(ROBERTA / head / "safetensors", tmp_path / head / form, form)
            theirs = ROBERTA / head / ("safetensors" if form == "pytorch" else form)
            jobs[head, form, "ours"] = tmp_path / head / form, head, framework
            jobs[head, form, "theirs"] = theirs, head, framework
    for form, source in UNTIED.items():
        bertx.convert(ROBERTA / "untied" / source, tmp_path / "untied" / form, form)
        for whose, folder in (("ours", tmp_path), ("theirs", ROBERTA)):
            jobs["untied", form, whose] = folder / "untied" / form, "RobertaForMaskedLM", FORMATS[form]
    files = {key: str(tmp_path / f"{'-'.join(key)}.npz") for key in jobs}
    asked = [[str(folder), head, framework, files[key]] for key, (folder, head, framework) in jobs.items()]
    result = subprocess.run([PEER, READER], input=json.dumps(asked), capture_output=True, text=True, timeout=540)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(reports) == len(jobs), result.stderr[-2000:]
    for key, report in zip(jobs, reports, strict=True):
        amiss = {kind: report[kind] for kind in ("error", "missing", "unexpected", "mismatched")}
        assert amiss == {"error": None, "missing": [], "unexpected": [], "mismatched": []}, key
    for head, form, whose in jobs:
        if whose == "theirs":
            continue
        with np.load(files[head, form, "ours"]) as ours, np.load(files[head, form, "theirs"]) as theirs:
            for kind in ("inputs", "weights", "outputs"):
                assert part(theirs, kind)
                assert_bit_equal(part(ours, kind), part(theirs, kind))


def transformers5(folder, head, **inputs):
    import torch
    import transformers

    model, info = getattr(transformers, head).from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    with torch.no_grad():
        found = model.eval()(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in found.items() if name != "past_key_values"}


def batch(head):
    """Ids, the second row padded on the right."""
    ids = np.random.default_rng(3).integers(2, 41, (2, 3, 7) if head.endswith("Choice") else (2, 7))
    ids[1, ..., -3:] = 1
    return {"input_ids": ids, "attention_mask": (ids != 1).astype(np.int64)}


@pytest.mark.parametrize("head", HEADS)
def test_transformers5_reads_what_came_through_other_formats(head, tmp_path):
    folder = ROBERTA / head / "safetensors"
    for form in ("tensorflow", "flax", "orbax", "safetensors"):
        bertx.convert(folder, tmp_path / form, form)
        folder = tmp_path / form
    wanted = transformers5(ROBERTA / head / "safetensors", head, **batch(head))
    found = transformers5(folder, head, **batch(head))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("head", ["RobertaForMaskedLM", "XLMRobertaForMaskedLM"])
def test_orbax_restores_the_params_of_flax(head, tmp_path):
    import flax.serialization
    import flax.traverse_util
    import jax
    import orbax.checkpoint as ocp

    theirs = flax.serialization.msgpack_restore((ROBERTA / head / "flax" / "flax_model.msgpack").read_bytes())
    bertx.convert(ROBERTA / head / "safetensors", tmp_path / "orbax", "orbax")
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), theirs)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore((tmp_path / "orbax" / "params").absolute(), like)
    flat = flax.traverse_util.flatten_dict
    assert_bit_equal(
        {"/".join(name): np.asarray(value) for name, value in flat(restored).items()},
        {"/".join(name): value for name, value in flat(theirs).items()},
    )


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize("head", [head for head in HEADS if (ROBERTA / head / "keras_hub").exists()])
def test_kerashub_reads_the_preset(head, tmp_path):
    """Its own class, the values that it holds of its own preset, and the outputs of bertx where there is no padding."""
    import keras_hub

    source = ROBERTA / head / "safetensors"
    if head.endswith("Model"):  # the backbone has no pooler: its own preset is taken round by the hub's format
        bertx.convert(ROBERTA / head / "keras_hub", tmp_path / "hub")
        source = tmp_path / "hub"
    bertx.convert(source, tmp_path / "preset", "keras-hub")
    family = "XLMRoberta" if head.startswith("XLM") else "Roberta"
    kind = {"Model": "Backbone", "MaskedLM": "MaskedLM"}.get(
        head.removeprefix(family).removeprefix("For"), "TextClassifier"
    )
    reader = getattr(keras_hub.models, kind)
    options = {} if kind == "Backbone" else {"preprocessor": None}
    found, theirs = (reader.from_preset(str(f), **options) for f in (tmp_path / "preset", ROBERTA / head / "keras_hub"))
    assert type(found) is type(theirs) is getattr(keras_hub.models, f"{family}{kind}")
    for ours, real in zip(found.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), real.numpy(), err_msg=ours.path)
    inputs = batch(head)
    shown = inputs["attention_mask"].astype(bool)
    keras_inputs = {"token_ids": inputs["input_ids"], "padding_mask": inputs["attention_mask"]}
    if kind == "MaskedLM":
        keras_inputs["mask_positions"] = np.tile(np.arange(7), (2, 1))
    outputs = np.asarray(found(keras_inputs))
    ours = bertx.load(tmp_path / "preset", backend="numpy").forward(**inputs)
    ours = ours["last_hidden_state" if kind == "Backbone" else "logits"]
    where = ... if kind == "TextClassifier" else shown
    np.testing.assert_allclose(outputs[where], ours[where], rtol=0, atol=5e-6)
