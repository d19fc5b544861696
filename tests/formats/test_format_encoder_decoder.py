"""EncoderDecoderModels as transformers 4.57 wrote them: read, converted to each other's formats, and written alike."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest
import safetensors.numpy

import bertx
from bertx_weights import CheckpointError
from bertx_weights.containers import msgpack, torch_file
from fixture_files import FIXTURES, STORED

sys.path.insert(0, str(STORED))
FOLDER = FIXTURES / "encoder_decoder"
FORMATS = ("safetensors", "pytorch", "tensorflow", "flax")
NAMES = ("mixed", "tied")


def stored(folder):
    """Name → array of a checkpoint's file, read with the format's own library alone."""
    if (path := folder / "model.safetensors").exists():
        return safetensors.numpy.load_file(path)
    if (path := folder / "tf_model.h5").exists():
        found = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, one: found.update({name: one[()]}) if isinstance(one, h5py.Dataset) else None)
        return found
    if (path := folder / "flax_model.msgpack").exists():
        return msgpack.read(path)
    return {name: tensor.read() for name, tensor in torch_file.read_file(folder / "pytorch_model.bin").items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].tobytes() == value.tobytes(), name


@pytest.fixture(scope="module")
def tensors():
    """Name of a fixture → schema name → values, by the file that PyTorch wrote."""
    return {name: dict(bertx.load(FOLDER / name / "safetensors", backend="numpy").tensors()) for name in NAMES}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_reads_what_4_57_wrote(tensors, name, form):
    model = bertx.load(FOLDER / name / form, backend="numpy")
    assert model.architecture == "EncoderDecoderModel"
    assert model.config.tie_encoder_decoder == (name == "tied")
    assert_same(dict(model.tensors()), tensors[name])
    own = safetensors.numpy.load_file(FOLDER / name / "safetensors" / "model.safetensors")
    for key, value in own.items():
        assert tensors[name][key].tobytes() == value.tobytes(), key


@pytest.mark.parametrize("name", NAMES)
def test_gives_what_4_57_gave(name):
    import make_encoder_decoder_inputs as made

    model = bertx.load(FOLDER / name / "safetensors", backend="numpy", dtype="float64")
    with np.load(FOLDER / name / "expected.npz") as expected:
        found = model.forward(**made.inputs(model.config))
        for key in expected:
            assert np.abs(found[key] - expected[key]).max() <= 1e-9, key


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_writes_what_4_57_wrote(tmp_path, tensors, name, form, to):
    """The same names and bits in the file, whatever was converted."""
    report = bertx.convert(FOLDER / name / form, tmp_path / "out", to)
    assert report.verified
    expected = stored(FOLDER / name / to)
    found = stored(tmp_path / "out")
    if to == "pytorch":  # where 4.57 has a shared tensor under each of its names
        expected = {key: expected[key] for key in found}
    assert_same(found, expected)
    assert_same(dict(bertx.load(tmp_path / "out", backend="numpy").tensors()), tensors[name])


@pytest.mark.parametrize("to", ["npz", "orbax"])
def test_other_formats_hold_it(tmp_path, tensors, to):
    bertx.convert(FOLDER / "mixed" / "safetensors", tmp_path / "out", to)
    assert_same(dict(bertx.load(tmp_path / "out", backend="numpy").tensors()), tensors["mixed"])


@pytest.mark.parametrize("to", ["tf1", "tf2", "keras-hub"])
def test_formats_of_encoders_refuse_it(tmp_path, to):
    with pytest.raises(CheckpointError, match=f"the format {to} cannot hold a model of model_type 'encoder-decoder'"):
        bertx.convert(FOLDER / "mixed" / "safetensors", tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_a_tensor_that_is_missing_is_named(tmp_path):
    folder = tmp_path / "broken"
    folder.mkdir()
    values = dict(safetensors.numpy.load_file(FOLDER / "mixed" / "safetensors" / "model.safetensors"))
    del values["enc_to_dec_proj.weight"], values["decoder.roberta.encoder.layer.0.crossattention.self.key.bias"]
    safetensors.numpy.save_file(values, folder / "model.safetensors")
    (folder / "config.json").write_bytes((FOLDER / "mixed" / "safetensors" / "config.json").read_bytes())
    with pytest.raises(CheckpointError) as caught:
        bertx.load(folder, backend="numpy")
    assert "missing: enc_to_dec_proj.weight" in str(caught.value)
    assert "missing: decoder.roberta.encoder.layer.0.crossattention.self.key.bias" in str(caught.value)
