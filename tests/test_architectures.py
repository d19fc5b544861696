"""Which class a checkpoint is of: another family's, or a class that bertx does not have, is never run as BERT."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

import bertx
import bertx_numpy
import bertx_torch
from fixture_files import CASES
from support import peer, save_peer

SIZES = {
    "vocab_size": 51,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 34,
}
OTHERS = {
    "XLMRobertaModel": transformers.XLMRobertaConfig,
    "RobertaForMaskedLM": transformers.RobertaConfig,
    "CamembertForTokenClassification": transformers.CamembertConfig,
    "ElectraModel": transformers.ElectraConfig,
    "ElectraForMaskedLM": transformers.ElectraConfig,
    "DistilBertModel": transformers.DistilBertConfig,
    "BertGenerationEncoder": transformers.BertGenerationConfig,
    "MobileBertModel": transformers.MobileBertConfig,
    "LayoutLMModel": transformers.LayoutLMConfig,
}


def edited(folder, **changes):
    """Changes keys of config.json; None removes one."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return folder


def assert_refused(folder, message, *, with_task=True):
    """No way of loading takes it, with a task or without."""
    for task in (None, "feature-extraction", "fill-mask") if with_task else (None,):
        with pytest.raises(bertx.CheckpointError, match=message):
            bertx.load(folder, task=task, backend="numpy")
        with pytest.raises(bertx.CheckpointError, match=message):
            bertx.inspect(folder, task=task)
        with pytest.raises(bertx.CheckpointError, match=message):
            bertx.convert(folder, folder.parent / "converted", task=task)
    if with_task:
        with pytest.raises(bertx.CheckpointError, match=message):
            bertx_torch.BertModel.from_pretrained(folder)
        with pytest.raises(bertx.CheckpointError, match=message):
            bertx_numpy.BertForMaskedLM.from_pretrained(folder, config=bertx.BertConfig())


def test_the_xlm_roberta_of_the_issue_is_refused():
    assert_refused(CASES / "21_xlm_roberta_without_model_type" / "XLMRoberta", "architectures names XLMRobertaModel")


@pytest.mark.parametrize("architecture", OTHERS)
@pytest.mark.parametrize("prefix", ["", "TF", "Flax"])
def test_another_family_without_model_type_is_refused(tmp_path, architecture, prefix):
    names = {"num_hidden_layers": "n_layers", "hidden_size": "dim", "num_attention_heads": "n_heads"}
    sizes = {names.get(name, name) if "Distil" in architecture else name: size for name, size in SIZES.items()}
    model = getattr(transformers, architecture)(OTHERS[architecture](**sizes))
    model.save_pretrained(tmp_path / "saved")
    written = prefix + architecture
    folder = edited(tmp_path / "saved", model_type=None, architectures=[written])
    assert_refused(folder, f"architectures names {written}, which is no class of BERT, and there is no model_type")
    # Whoever states the family of such a checkpoint has said it.
    folder = edited(folder, model_type=model.config.model_type)
    if model.config.model_type in ("roberta", "xlm-roberta"):
        assert bertx.load(folder, backend="numpy").architecture == architecture
        return
    with pytest.raises(
        bertx.CheckpointError, match=r"model_type is '[a-z-]+', bertx runs 'bert', 'encoder-decoder', 'roberta', 'xlm-"
    ):
        bertx.load(folder, backend="numpy")


@pytest.mark.parametrize("architecture", ["RobertaForMaskedLM", "CamembertForTokenClassification"])
def test_tensors_of_another_family_without_any_name_of_it_are_refused(tmp_path, architecture):
    getattr(transformers, architecture)(OTHERS[architecture](**SIZES)).save_pretrained(tmp_path / "saved")
    folder = edited(tmp_path / "saved", model_type=None, architectures=None)
    assert_refused(folder, r'no model_type, and the tensors are named roberta\.….*add "model_type": "roberta" or "xlm-')


@pytest.mark.parametrize("model_type", ["roberta", "xlm-roberta", "BERT", "bert-generation", 5, ["bert"]])
def test_another_model_type_is_refused(tmp_path, model_type):
    folder = edited(save_peer(peer("BertModel", num_hidden_layers=1), tmp_path), model_type=model_type)
    assert_refused(folder, "model_type is")


@pytest.mark.parametrize("model_type", [None, "", "bert"])
@pytest.mark.parametrize("written", ["BertForMaskedLM", "TFBertForMaskedLM", "FlaxBertForMaskedLM"])
def test_a_class_of_bert_needs_no_model_type(tmp_path, model_type, written):
    folder = save_peer(peer("BertForMaskedLM", num_hidden_layers=1), tmp_path)
    expected = bertx.load(folder, backend="numpy").forward([[1, 2, 3]])["logits"]
    found = bertx.load(edited(folder, model_type=model_type, architectures=[written]), backend="numpy")
    np.testing.assert_array_equal(found.forward([[1, 2, 3]])["logits"], expected)


@pytest.mark.parametrize(
    "written", [["MyRanker"], ["BertForRanking"], ["VisionEncoderDecoderModel"], ["BertEncoder"], [""]]
)
def test_a_class_of_ones_own_is_loaded_where_the_task_names_the_head(tmp_path, written):
    model = peer("BertForSequenceClassification", num_hidden_layers=1)
    folder = edited(save_peer(model, tmp_path), architectures=written)
    assert_refused(folder, r"architectures names .*, which bertx does not have: .* task=", with_task=False)
    loaded = bertx.load(folder, task="text-classification", backend="numpy")
    native = bertx_torch.BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2, 3]])).logits.numpy()
        found = native(torch.tensor([[1, 2, 3]])).logits.numpy()
    assert np.abs(loaded.forward([[1, 2, 3]])["logits"] - expected).max() < 5e-6
    assert np.abs(found - expected).max() < 5e-6


@pytest.mark.parametrize("entry", ["modeling_x.BertForMaskedLM", "someone/code--modeling_x.Mine", ["a.B", None]])
@pytest.mark.parametrize("key", ["AutoModel", "AutoModelForMaskedLM", "TFAutoModelForMaskedLM"])
def test_code_of_the_checkpoint_is_told_and_the_task_names_the_head(tmp_path, key, entry):
    folder = save_peer(peer("BertForMaskedLM", num_hidden_layers=1), tmp_path)
    edited(folder, auto_map={"AutoConfig": "configuration_x.MyConfig", key: entry})
    assert_refused(folder, "auto_map names classes of the checkpoint's own code", with_task=False)
    assert bertx.load(folder, task="fill-mask", backend="numpy").load_report.problems == []


@pytest.mark.parametrize("entry", [{"AutoTokenizer": ["tokenization_x.Mine", None]}, {}, None, 5])
def test_an_auto_map_without_a_model_is_no_code_of_the_model(tmp_path, entry):
    folder = save_peer(peer("BertForMaskedLM", num_hidden_layers=1), tmp_path)
    edited(folder, auto_map=entry)
    assert bertx.load(folder, backend="numpy").architecture == "BertForMaskedLM"


def test_no_file_is_left_by_a_refused_conversion(tmp_path):
    shutil.copytree(CASES / "21_xlm_roberta_without_model_type" / "XLMRoberta", tmp_path / "source")
    with pytest.raises(bertx.CheckpointError):
        bertx.convert(tmp_path / "source", tmp_path / "target", "npz")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_older_names_of_tasks_and_the_class_of_a_classifier():
    from bertx.configs.bert import BertConfig
    from bertx.registry import architecture_of_task, trained_as

    assert architecture_of_task("ner", "bert") == architecture_of_task("token-classification", "bert")
    for name in ("BertForSequenceClassification", "TFBertForSequenceClassification"):
        config = BertConfig(architectures=(name,))
        assert trained_as(config, "BertForTokenClassification") == "BertForSequenceClassification"
        assert trained_as(config, "BertForSequenceClassification") is None
        assert trained_as(config, "BertForMaskedLM") is None


def test_a_classifier_of_another_task_is_loaded_with_a_warning(tmp_path, recwarn):
    folder = save_peer(peer("BertForSequenceClassification", num_hidden_layers=1), tmp_path)
    with pytest.warns(UserWarning, match="was trained in a BertForSequenceClassification: in a BertForTokenClass"):
        bertx.load(folder, task="token-classification", backend="numpy")
    recwarn.clear()
    bertx.load(folder, task="text-classification", backend="numpy")
    assert not recwarn
