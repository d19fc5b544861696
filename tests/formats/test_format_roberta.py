"""RoBERTa's and XLM-R's checkpoints, as transformers 4.57 and KerasHub wrote them: read and written bit-equal."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
import safetensors.numpy
from format_support import assert_bit_equal, copy_with_config, open_checkpoint

import bertx
from bertx import CheckpointError
from bertx.registry import architectures, names_of
from bertx_weights import FORMATS
from fixture_files import FIXTURES

ROBERTA = FIXTURES / "roberta"
HEADS = sorted(folder.name for folder in ROBERTA.iterdir() if folder.name not in ("sharded", "untied"))
FOLDERS = [(head, form.name) for head in HEADS for form in sorted((ROBERTA / head).iterdir())]
TYPES, POSITIONS = "roberta.embeddings.token_type_embeddings.weight", "roberta.embeddings.position_embeddings.weight"


def original(folder, is_base=False):
    """The values of a safetensors by schema name, read with the library alone, without what is stored twice."""
    tensors = safetensors.numpy.load_file(folder / "safetensors" / "model.safetensors")
    tied = "roberta.embeddings.word_embeddings.weight" in tensors and "untied" not in folder.name
    return {
        f"roberta.{name}" if is_base else name: tensor
        for name, tensor in tensors.items()
        if name != "lm_head.decoder.bias" and not (tied and name == "lm_head.decoder.weight")
    }


def wanted(head):
    return original(ROBERTA / head, head.endswith("Model"))


def read(folder):
    tensors = open_checkpoint(folder).tensors.values()
    return {t.schema_name: t.read() for t in tensors if not t.schema_name.startswith("lm_head.decoder.bias")}


def without_what_keras_lacks(tensors):
    """Zeros for the positions of padding; no pooler, which KerasHub's backbone has not."""
    found = {name: value for name, value in tensors.items() if ".pooler." not in name}
    return found | {POSITIONS: np.concatenate([np.zeros((2, 12), np.float32), found[POSITIONS][2:]])}


def test_every_head_of_roberta_is_here():
    assert set(HEADS) >= set(architectures("roberta"))
    assert {head for head in HEADS if head.startswith("XLM")} < set(architectures("xlm-roberta"))


@pytest.mark.parametrize(("head", "form"), FOLDERS)
def test_what_the_real_writer_wrote_is_the_original(head, form):
    checkpoint = open_checkpoint(ROBERTA / head / form)
    assert checkpoint.format == form.replace("_", "-") and checkpoint.prefix == "roberta."
    expected = without_what_keras_lacks(wanted(head)) if form == "keras_hub" else wanted(head)
    assert_bit_equal(read(ROBERTA / head / form), expected)


@pytest.mark.parametrize(("head", "form"), FOLDERS)
def test_it_loads_as_its_own_head(head, form):
    model = bertx.load(ROBERTA / head / form, backend="numpy")
    assert model.load_report.target == head and not model.load_report.initialised
    assert model.config.model_type == ("xlm-roberta" if head.startswith("XLM") else "roberta")
    ids = np.random.default_rng(0).integers(2, 41, (2, 3, 7) if head.endswith("Choice") else (2, 7))
    ids[1, ..., -3:] = 1
    mask = (ids != 1).astype(int)
    found = model.forward(input_ids=ids, attention_mask=mask)
    ours = bertx.load(ROBERTA / head / "safetensors", backend="numpy").forward(input_ids=ids, attention_mask=mask)
    shown = mask.astype(bool) if form == "keras_hub" else ...
    for name in found.keys() & {"last_hidden_state", "logits"}:
        values, same = found[name], ours[name]
        if values.shape[:2] == (2, 7):
            values, same = values[shown], same[shown]
        np.testing.assert_array_equal(values, same)


def test_shards_are_one_checkpoint():
    assert_bit_equal(read(ROBERTA / "sharded" / "tensorflow"), wanted("RobertaForMaskedLM"))


def test_a_decoder_of_its_own_is_read_and_written(tmp_path):
    """Its bias lies twice in PyTorch's files, once in Flax's."""
    expected = original(ROBERTA / "untied")
    assert "lm_head.decoder.weight" in expected
    assert_bit_equal(read(ROBERTA / "untied" / "safetensors"), expected)
    assert_bit_equal(read(ROBERTA / "untied" / "flax"), expected)
    for source, form in (("flax", "safetensors"), ("safetensors", "flax"), ("flax", "pytorch"), ("flax", "orbax")):
        assert bertx.convert(ROBERTA / "untied" / source, tmp_path / form, form).verified
        assert_bit_equal(read(tmp_path / form), expected)
    stored = safetensors.numpy.load_file(tmp_path / "safetensors" / "model.safetensors")
    np.testing.assert_array_equal(stored["lm_head.decoder.bias"], expected["lm_head.bias"])
    for form in ("tensorflow", "keras-hub"):  # which have no such decoder
        with pytest.raises(CheckpointError, match=f"the format {form} has no place for lm_head.decoder.weight"):
            bertx.convert(ROBERTA / "untied" / "flax", tmp_path / form, form)
    assert {path.name for path in tmp_path.iterdir()} == {"safetensors", "flax", "pytorch", "orbax"}


# --- writing --------------------------------------------------------------------------------------

REFUSED = {
    "tf1": "the format tf1 cannot hold a model of model_type '(xlm-)?roberta': it is the original release of BERT",
    "tf2": "the format tf2 cannot hold a model of model_type '(xlm-)?roberta': bertx reads",
}
KERAS_REFUSED = {
    "RobertaModel": "keras-hub has no place for roberta.pooler.dense.bias, roberta.pooler.dense.weight",
    "RobertaForCausalLM": "is_decoder is True, KerasHub's RoBERTa has False",
    "RobertaForTokenClassification": "KerasHub's RoBERTa classifies texts, not tokens",
    "RobertaForMultipleChoice": "keras-hub has no place for classifier.bias, classifier.weight",
    "RobertaForQuestionAnswering": "keras-hub has no place for qa_outputs.bias",
}


@pytest.mark.parametrize("head", HEADS)
def test_every_format_holds_it_bit_equal(head, tmp_path):
    """From the original to each format, from each to the hub's; or refused with the reason, and nothing is left."""
    for form in FORMATS:
        why = REFUSED.get(form) or (KERAS_REFUSED.get(head) if form == "keras-hub" else None)
        if why is not None:
            with pytest.raises(CheckpointError, match=why):
                bertx.convert(ROBERTA / head / "safetensors", tmp_path / form, form)
            assert not (tmp_path / form).exists()
            continue
        assert bertx.convert(ROBERTA / head / "safetensors", tmp_path / form, form).verified
        assert_bit_equal(read(tmp_path / form), wanted(head))
        assert bertx.convert(tmp_path / form, tmp_path / f"{form}-hub").verified
        assert_bit_equal(read(tmp_path / f"{form}-hub"), wanted(head))
        config = json.loads((tmp_path / f"{form}-hub" / "config.json").read_text())
        theirs = json.loads((ROBERTA / head / "safetensors" / "config.json").read_text())
        assert {key: config.get(key, theirs[key]) for key in theirs} == {**theirs, "transformers_version": "4.57.6"}


def datasets(path):
    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda name, node: found.update({name: node[()]}) if isinstance(node, h5py.Dataset) else None)
        return found


def msgpack(path):
    import flax.serialization
    import flax.traverse_util

    tree = flax.serialization.msgpack_restore(path.read_bytes())
    return {"/".join(name): value for name, value in flax.traverse_util.flatten_dict(tree).items()}


@pytest.mark.parametrize("head", HEADS)
def test_the_file_is_as_the_real_writer_writes_it(head, tmp_path):
    """The same names and bits, and in an h5 Keras's attributes too."""
    for form, file in (("flax", "flax_model.msgpack"), ("tensorflow", "tf_model.h5")):
        bertx.convert(ROBERTA / head / "safetensors", tmp_path / form, form)
        contents = msgpack if form == "flax" else datasets
        assert_bit_equal(contents(tmp_path / form / file), contents(ROBERTA / head / form / file))
    ours, theirs = (weight_names(folder / "tensorflow" / "tf_model.h5") for folder in (tmp_path, ROBERTA / head))
    assert ours == {layer: names for layer, names in theirs.items() if names}


def weight_names(path):
    """Keras's attributes: layer → its weights."""

    def text(names):
        return sorted(name.decode() if isinstance(name, bytes) else str(name) for name in names)

    with h5py.File(path) as file:
        return {layer: text(file[layer].attrs["weight_names"]) for layer in text(file.attrs["layer_names"])}


@pytest.mark.parametrize("head", [head for head in HEADS if (ROBERTA / head / "keras_hub").exists()])
def test_a_preset_comes_back_as_kerashub_wrote_it(head, tmp_path):
    """Its datasets and its JSON; of the classifier's training nothing, and beside them the positions of padding."""
    theirs = ROBERTA / head / "keras_hub"
    bertx.convert(theirs, tmp_path / "hub")
    bertx.convert(tmp_path / "hub", tmp_path / "preset", "keras-hub")
    for file in ("model.weights.h5", "task.weights.h5"):
        if (theirs / file).exists():
            ours, real = datasets(tmp_path / "preset" / file), datasets(theirs / file)
            padding = ours.pop("layers/token_and_position_embedding/position_embedding/padding/0", np.zeros(1))
            assert not padding.any()
            assert_bit_equal(ours, {name: value for name, value in real.items() if "optimizer" not in name})
    for file in ("config.json", "task.json"):
        if (theirs / file).exists():
            ours, real = (json.loads((folder / file).read_text()) for folder in (tmp_path / "preset", theirs))
            for values in (ours, real):
                for key in ("name", "dtype", "dropout", "activation", "hidden_dim"):
                    if values["config"].get("num_classes") or key in ("name", "dtype"):
                        values["config"].pop(key, None)
                if "backbone" in values["config"]:
                    for key in ("name", "dtype"):
                        values["config"]["backbone"]["config"].pop(key)
            assert ours == real


# --- what only one format has ---------------------------------------------------------------------


def test_the_positions_of_padding_survive_a_preset(tmp_path):
    """KerasHub's backbone has none: they lie beside, where Keras does not look."""
    head = "RobertaForSequenceClassification"
    assert wanted(head)[POSITIONS][:2].any()
    bertx.convert(ROBERTA / head / "safetensors", tmp_path / "preset", "keras-hub")
    np.testing.assert_array_equal(read(tmp_path / "preset")[POSITIONS], wanted(head)[POSITIONS])
    with h5py.File(tmp_path / "preset" / "model.weights.h5") as file:
        stored = file["layers/token_and_position_embedding/position_embedding/vars/0"][()]
    np.testing.assert_array_equal(stored, wanted(head)[POSITIONS][2:])


def test_token_types_that_say_something_are_no_preset(tmp_path):
    head = "RobertaForSequenceClassification"
    source = tmp_path / "source"
    shutil.copytree(ROBERTA / head / "safetensors", source)
    tensors = wanted(head)
    tensors[TYPES] = tensors[TYPES] + 1
    safetensors.numpy.save_file(tensors, source / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"KerasHub's RobertaBackbone has no {TYPES}, which is not zero"):
        bertx.convert(source, tmp_path / "preset", "keras-hub")
    assert not (tmp_path / "preset").exists()


def test_tensorflow_counts_from_padding_of_1_whatever_the_config_says(tmp_path):
    head = "RobertaForMaskedLM"
    source = copy_with_config(ROBERTA / head / "tensorflow", tmp_path / "source", pad_token_id=0)
    model = bertx.load(source, backend="numpy")
    assert model.config.pad_token_id == 1
    assert any("TFRoberta computes with pad_token_id 1" in line for line in model.load_report.notes)
    other = copy_with_config(ROBERTA / head / "safetensors", tmp_path / "other", pad_token_id=0)
    with pytest.raises(CheckpointError, match="pad_token_id is 0, TFRoberta has 1"):
        bertx.convert(other, tmp_path / "target", "tensorflow")


def test_the_head_of_an_h5_without_architectures_is_keras_name_for_it(tmp_path):
    for head in ("RobertaForMultipleChoice", "XLMRobertaForMaskedLM"):
        source = copy_with_config(ROBERTA / head / "tensorflow", tmp_path / head, architectures=None)
        assert open_checkpoint(source).config["architectures"] == [head]


@pytest.mark.parametrize("form", ["tensorflow", "flax", "safetensors"])
def test_a_missing_tensor_of_the_encoder_is_no_new_head(form, tmp_path):
    """task= initialises a head; a tensor of the encoder that is missing is an error, as BERT's is."""
    source = tmp_path / form
    bertx.convert(ROBERTA / "RobertaForMaskedLM" / "safetensors", tmp_path / "npz", "npz")
    with np.load(tmp_path / "npz" / "model.npz") as archive:
        tensors = dict(archive)
    lost = "roberta.encoder.layer.0.output.dense.weight"
    if form == "safetensors":
        shutil.copytree(ROBERTA / "RobertaForMaskedLM" / form, source)
        safetensors.numpy.save_file({n: t for n, t in tensors.items() if n != lost}, source / "model.safetensors")
    else:
        shutil.copytree(ROBERTA / "RobertaForMaskedLM" / form, source)
        if form == "tensorflow":
            with h5py.File(source / "tf_model.h5", "a") as file:
                del file["roberta/tf_roberta_for_masked_lm/roberta/encoder/layer_._0/output/dense/kernel:0"]
        else:
            import flax.serialization

            tree = flax.serialization.msgpack_restore((source / "flax_model.msgpack").read_bytes())
            del tree["roberta"]["encoder"]["layer"]["0"]["output"]["dense"]["kernel"]
            (source / "flax_model.msgpack").write_bytes(flax.serialization.msgpack_serialize(tree))
    for task in ("text-classification", "fill-mask"):
        with pytest.raises(CheckpointError, match=f"missing: {lost}, expected"):
            bertx.load(source, task=task, backend="numpy")


def test_a_base_model_without_its_prefix_is_read_with_it():
    for form in ("safetensors", "flax", "tensorflow"):
        names = open_checkpoint(ROBERTA / "RobertaModel" / form).tensors.values()
        assert all(tensor.schema_name.startswith("roberta.") for tensor in names)


def test_a_base_model_without_a_pooler_stays_one(tmp_path):
    source = ROBERTA / "RobertaModel" / "keras_hub"
    expected = without_what_keras_lacks(wanted("RobertaModel"))
    for form in ("safetensors", "pytorch", "tensorflow", "flax", "npz", "orbax", "keras-hub"):
        assert bertx.convert(source, tmp_path / form, form).verified
        assert_bit_equal(read(tmp_path / form), expected)
        model = bertx.load(tmp_path / form, backend="numpy")
        assert model.load_report.target == "RobertaModel" and not model.load_report.initialised
        assert not any("pooler" in name for name, _ in model.tensors())


def test_an_architecture_without_names_is_refused_by_name(tmp_path):
    """What a ModelSpec says nothing of, no format guesses."""
    names = names_of({"model_type": "roberta"})._replace(naming={})
    with pytest.raises(
        CheckpointError, match="flax cannot hold a model of model_type 'roberta': bertx has no names for roberta in it"
    ):
        FORMATS["flax"].read(ROBERTA / "RobertaModel" / "flax", lambda config: names)


NO_NUMBERS = [{"pad_token_id": -1}, {"pad_token_id": "1"}, {"type_vocab_size": [1]}, {"pad_token_id": 2**40}]


@pytest.mark.parametrize("changes", NO_NUMBERS)
def test_a_preset_whose_numbers_are_none_is_refused(tmp_path, changes):
    bertx.convert(ROBERTA / "RobertaForMaskedLM" / "keras_hub", tmp_path / "hub")
    bertx.convert(tmp_path / "hub", tmp_path / "preset", "keras-hub")
    path = tmp_path / "preset" / "bert_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=f"the config has .*{next(iter(changes))} .*, expected numbers from 0 to"):
        bertx.load(tmp_path / "preset", backend="numpy")
