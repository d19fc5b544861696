"""Adapters of PEFT: what bertx merges is what PEFT's own merge gives, and what it cannot merge is refused by name."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers

import bertx
import bertx_torch
from bertx import CheckpointError
from bertx.checkpoints.convert import convert
from fixture_files import CASES
from support import BACKENDS, SIZES, peer, save_peer

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # PEFT's own

CASE = CASES / "12_peft"
HEAD = "BertForSequenceClassification"
TASKS = {"SEQ_CLS": HEAD, "TOKEN_CLS": "BertForTokenClassification", "QUESTION_ANS": "BertForQuestionAnswering"}
IDS = np.random.default_rng(1).integers(0, SIZES["vocab_size"], (3, 9))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A classifier in float32 and its folder."""
    model = peer(HEAD, num_hidden_layers=2)
    return model, save_peer(model, tmp_path_factory.mktemp("base"))


def trained(folder, target, *, head=HEAD, weights="safetensors", **settings):
    """Puts a LoRA with random factors on a checkpoint, saves it to `target`; gives PEFT's merge of it, float32."""
    model = getattr(transformers, head).from_pretrained(folder, attn_implementation="eager")
    settings = {"r": 3, "lora_alpha": 7, "target_modules": ["query", "value"], "lora_dropout": 0.1} | settings
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings)).eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.empty_like(parameter).normal_(0, 0.2, generator=generator))
    adapted.save_pretrained(target, safe_serialization=weights == "safetensors")
    if weights == "bin":
        assert not list(target.glob("*.safetensors"))
    return adapted.merge_and_unload().eval()


def assert_equals(model, merged):
    """Every parameter of bertx's model, and what it computes, are those of PEFT's merge."""
    expected = {name: tensor.numpy() for name, tensor in merged.state_dict().items()}
    for name, array in model.tensors():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=2e-6, err_msg=name)
    with torch.no_grad():
        theirs = merged(input_ids=torch.from_numpy(IDS))
    ours = model.forward(IDS)
    for name in ours:
        assert np.abs(ours[name] - theirs[name].numpy()).max() < 1e-5, name


def edited(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_adapter_of_the_issue_is_merged(backend):
    expected = json.loads((CASE / "expected.json").read_text())
    model = bertx.load(CASE / "both", backend=backend)
    without = json.loads((CASE / "both" / "adapter_config.json").read_text())
    assert without["peft_type"] == "LORA"
    ids = [[2, 5, 6, 7, 3]]
    found = model.forward(ids)["logits"]
    reference = peft.PeftModel.from_pretrained(
        transformers.BertForSequenceClassification.from_pretrained(_base_alone()), CASE / "both"
    ).eval()
    with torch.no_grad():
        assert np.abs(found - reference(torch.tensor(ids)).logits.numpy()).max() < 1e-5
    assert found.shape == np.shape(expected)
    assert any("is merged: 4 modules, and " in n for n in model.load_report.notes)


def _base_alone(made=[]):  # noqa: B006
    """The case's base without the adapter: transformers follows adapter_config.json to a base that is not there."""
    if not made:
        import tempfile

        made.append(Path(tempfile.mkdtemp()))
        for name in ("config.json", "model.safetensors"):
            shutil.copy(CASE / "both" / name, made[0])
    return made[0]


SETTINGS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "all biases": {"bias": "all"},
    "their biases": {"bias": "lora_only"},
    "lora bias": {"lora_bias": True},
    "patterns": {
        "rank_pattern": {"query": 5, "layer.1.attention.self.value": 2},
        "alpha_pattern": {"query": 11, r"layer\.0.*value": 3},
    },
    "anchored": {
        "rank_pattern": {"^bert.encoder.layer.0.attention.self.query": 5},
        "alpha_pattern": {"^bert.encoder.layer.0.attention.self.query": 2},
    },
    "one layer": {"layers_to_transform": [1], "layers_pattern": "layer"},
    "regex": {"target_modules": r".*\.(query|dense)"},
    "all linear": {"target_modules": "all-linear"},
    "excluded": {"target_modules": ["query", "key"], "exclude_modules": r".*layer\.0.*"},
    "embeddings": {"target_modules": ["word_embeddings", "position_embeddings", "query"]},
    "pooler": {"target_modules": ["dense"]},
    "fan in": {"fan_in_fan_out": True},
    "saved modules": {"modules_to_save": ["classifier", "pooler"]},
    "gaussian": {"init_lora_weights": "gaussian"},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_merge_is_pefts_own(base, tmp_path, settings):
    merged = trained(base[1], tmp_path, task_type="SEQ_CLS", **settings)
    assert_equals(bertx.load(tmp_path, backend="numpy"), merged)


@pytest.mark.parametrize(
    ("head", "settings"),
    [
        ("RobertaForSequenceClassification", {"task_type": "SEQ_CLS", "target_modules": ["query", "value", "dense"]}),
        ("RobertaForMaskedLM", {"target_modules": r".*encoder.*\.(query|dense)", "bias": "all"}),
        ("RobertaForMaskedLM", {"modules_to_save": ["lm_head"]}),
        ("XLMRobertaForTokenClassification", {"task_type": "TOKEN_CLS"}),
        ("XLMRobertaForCausalLM", {"task_type": "CAUSAL_LM"}),
        ("RobertaModel", {"task_type": "FEATURE_EXTRACTION"}),  # whose names have no prefix
    ],
    ids=["classifier", "masked", "trained decoder", "xlm-r tokens", "xlm-r causal", "base"],
)
def test_a_merge_into_a_roberta_is_pefts_own(tmp_path, head, settings):
    """The base is a masked language model: its head comes with the adapter, or is there."""
    folder = tmp_path / "base"
    family = "XLMRoberta" if head.startswith("XLM") else "Roberta"
    save_peer(peer(f"{family}ForMaskedLM", is_decoder="CausalLM" in head), folder)
    if "Classification" in head:
        settings = settings | {"modules_to_save": ["classifier"]}
    merged = trained(folder, tmp_path / "adapter", head=head, **settings)
    model = bertx.load(tmp_path / "adapter", backend="numpy")
    assert model.architecture == head and not model.load_report.initialised
    assert_equals(model, merged)


def test_more_labels_than_a_roberta_has(tmp_path):
    folder = save_peer(peer("RobertaForMaskedLM", num_labels=2), tmp_path / "base")
    head = "RobertaForSequenceClassification"
    base = transformers.RobertaForSequenceClassification.from_pretrained(folder, num_labels=7)
    peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"])).save_pretrained(
        tmp_path / "adapter"
    )
    model = bertx.load(tmp_path / "adapter", backend="numpy")
    assert (model.architecture, model.config.num_labels) == (head, 7)


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
def test_the_head_and_its_labels_are_those_the_adapter_was_trained_with(tmp_path, weights):
    folder = save_peer(peer("BertModel", num_hidden_layers=2, num_labels=2), tmp_path / "base")
    for task, head in TASKS.items():
        if weights == "bin":
            merged = trained(folder, tmp_path / task, head=head, task_type=task)
            tensors = _as_bin(tmp_path / task)
            assert tensors
        else:
            merged = trained(folder, tmp_path / task, head=head, task_type=task)
        model = bertx.load(tmp_path / task, backend="numpy")
        assert model.architecture == head
        assert_equals(model, merged)
    merged = trained(folder, tmp_path / "none", head="BertForMaskedLM", modules_to_save=["cls"])
    model = bertx.load(tmp_path / "none", task="fill-mask", backend="numpy")
    assert_equals(model, merged)  # its decoder has been trained apart from the word embeddings


def _as_bin(folder):
    import safetensors.torch

    tensors = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    torch.save(tensors, folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    return tensors


def test_more_labels_than_the_base_has(tmp_path):
    folder = save_peer(peer("BertModel", num_hidden_layers=1, num_labels=2), tmp_path / "base")
    model = transformers.BertForSequenceClassification.from_pretrained(folder, num_labels=7)
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"]))
    adapted.save_pretrained(tmp_path / "adapter")
    found = bertx.load(tmp_path / "adapter", backend="numpy")
    assert found.config.num_labels == 7 and found.forward(IDS)["logits"].shape == (3, 7)


def test_everything_sees_the_merged_model(base, tmp_path):
    merged = trained(base[1], tmp_path / "adapter", task_type="SEQ_CLS")
    for name in ("config.json", "model.safetensors"):
        shutil.copy(base[1] / name, tmp_path / "adapter")
    native = bertx_torch.BertForSequenceClassification.from_pretrained(tmp_path / "adapter")
    for name, tensor in native.state_dict().items():
        assert (tensor - merged.state_dict()[name]).abs().max() < 2e-6, name
    seen = bertx.inspect(tmp_path / "adapter")
    assert seen.loads and "adapter_model.safetensors" in seen.files and "is merged: 4 modules" in str(seen)
    report = convert(tmp_path / "adapter", tmp_path / "converted", "npz")
    assert report.verified and any("is merged" in note for note in report.notes)
    assert not (tmp_path / "converted" / "adapter_config.json").exists()
    assert_equals(bertx.load(tmp_path / "converted", backend="numpy"), merged)
    assert bertx.parity(tmp_path / "adapter", backends=["torch"]).passed
    model = bertx.load(tmp_path / "adapter", backend="torch")
    model.save(tmp_path / "saved")
    assert_equals(bertx.load(tmp_path / "saved", backend="numpy"), merged)
    with pytest.raises(ValueError, match="has an adapter, which would be merged into what is saved there"):
        model.save(tmp_path / "adapter")


def test_an_adapter_alone_is_merged_into_the_base_that_it_names(base, tmp_path):
    merged = trained(base[1], tmp_path / "adapter", task_type="SEQ_CLS")
    assert not (tmp_path / "adapter" / "config.json").exists()
    assert bertx.BertConfig.from_pretrained(tmp_path / "adapter").hidden_size == SIZES["hidden_size"]
    seen = bertx.inspect(tmp_path / "adapter")
    assert seen.loads and str(base[1] / "model.safetensors") in seen.files
    assert_equals(bertx.load(tmp_path / "adapter", backend="numpy"), merged)
    for named, message in (
        (str(tmp_path / "gone"), "base_model_name_or_path is .*gone: there is no folder"),
        (None, "base_model_name_or_path names no checkpoint"),
        (str(tmp_path / "adapter"), "has an adapter too"),
    ):
        edited(tmp_path / "adapter", base_model_name_or_path=named)
        with pytest.raises(bertx.CheckpointError, match=message):
            bertx.load(tmp_path / "adapter", backend="numpy")


def test_a_job_with_an_adapter_alone_depends_on_its_base(base, tmp_path):
    shutil.copytree(base[1], tmp_path / "base")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(5, SIZES["vocab_size"]))]
    (tmp_path / "base" / "vocab.txt").write_text("\n".join(tokens) + "\n")
    trained(tmp_path / "base", tmp_path / "adapter", task_type="SEQ_CLS")
    job = [sys.executable, "-m", "bertx", "classify", tmp_path / "adapter", "w7 w8", "--backend", "numpy"]
    job += ["--out", tmp_path / "out.jsonl"]
    done = subprocess.run(job, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do" in subprocess.run([*job, "--resume"], capture_output=True, text=True).stderr
    path = tmp_path / "base" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = subprocess.run([*job, "--resume"], capture_output=True, text=True)
    assert done.returncode == 2 and "another" in done.stderr


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_base_in_half_precision_stays_so(base, tmp_path, dtype):
    bertx.load(base[1], backend="torch", dtype=dtype).save(tmp_path / "base")
    merged = trained(base[1], tmp_path / "adapter", task_type="SEQ_CLS")
    edited(tmp_path / "adapter", base_model_name_or_path=str(tmp_path / "base"))
    model = bertx.load(tmp_path / "adapter", backend="torch", dtype="auto")
    assert model.module.dtype == getattr(torch, dtype)
    for name, tensor in model.module.state_dict().items():
        assert (tensor.float() - merged.state_dict()[name]).abs().max() < (2e-3 if dtype == "float16" else 1e-2), name


REFUSED = {
    "dora": ({"use_dora": True}, "use_dora True"),
    "ia3": ({"peft_type": "IA3"}, "peft_type 'IA3'"),
    "prefix": ({"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 20}, "peft_type 'PREFIX_TUNING'"),
    "adalora": ({"peft_type": "ADALORA"}, "peft_type 'ADALORA'"),
    "another library": ({"peft_type": None}, "peft_type None"),
    "qalora": ({"use_qalora": True}, "use_qalora True"),
    "tokens": ({"trainable_token_indices": [1, 2]}, r"trainable_token_indices \[1, 2\]"),
    "replication": ({"layer_replication": [[0, 1], [0, 2]]}, "layer_replication"),
    "parameters": ({"target_parameters": ["query.weight"]}, "target_parameters"),
    "pissa": ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa', which changes the base's weights"),
    "loftq": ({"init_lora_weights": "loftq"}, "init_lora_weights 'loftq'"),
    "of tomorrow": ({"use_tomorrow": {"x": 1}}, "use_tomorrow {'x': 1}"),
    "bias": ({"bias": "some"}, "bias 'some'"),
    "rank": ({"r": 0}, "r 0, expected a number above 0"),
    "alpha": ({"lora_alpha": "8"}, "lora_alpha '8'"),
    "patterns": ({"alpha_pattern": ["query"]}, "alpha_pattern"),
    "a pattern without end": ({"alpha_pattern": {"(a+)+b": 1}}, "alpha_pattern"),
    "no pattern": ({"alpha_pattern": {"(": 1}}, "alpha_pattern"),
    "targets": ({"target_modules": 5}, "target_modules 5"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_the_merge_does_not_know_is_refused_by_name(tmp_path, changes, message):
    shutil.copytree(CASE / "both", tmp_path / "folder")
    edited(tmp_path / "folder", **changes)
    for read in (bertx.load, bertx.inspect):
        with pytest.raises(bertx.CheckpointError, match=f"adapter_config.json: bertx merges PEFT's LoRA, .*{message}"):
            read(tmp_path / "folder")
    with pytest.raises(bertx.CheckpointError, match="merge_and_unload"):
        bertx.convert(tmp_path / "folder", tmp_path / "target")


def test_tensors_that_do_not_fit_are_all_told(tmp_path):
    import safetensors.torch

    shutil.copytree(CASE / "both", tmp_path / "folder")
    path = tmp_path / "folder" / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(path)
    name = "base_model.model.bert.encoder.layer.{}.attention.self.{}.lora_{}.weight".format
    del tensors[name(0, "query", "A")], tensors[name(1, "value", "A")], tensors[name(1, "value", "B")]
    tensors[name(1, "query", "B")] = torch.zeros(24, 3)
    tensors |= {name(0, "output", part): torch.zeros(24, 2) for part in "AB"}
    tensors["base_model.model.bert.encoder.layer.0.attention.self.query.lora_magnitude_vector"] = torch.zeros(24)
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(bertx.CheckpointError) as error:
        bertx.load(tmp_path / "folder", backend="numpy")
    for message in (
        "layer.0.attention.self.query has lora_B.weight, expected both",
        "layer.1.attention.self.value is a target module without a tensor",
        "layer.1.attention.self.query has A [2, 24] and B [24, 3], expected rank 2 for a weight [24, 24]",
        "layer.0.attention.self.output is adapted, and the base has no",
        "lora_magnitude_vector is no tensor of a LoRA that bertx knows",
    ):
        assert message in str(error.value), message


def test_a_folder_without_the_adapters_file_is_refused(tmp_path):
    shutil.copytree(CASE / "both", tmp_path / "folder")
    (tmp_path / "folder" / "adapter_model.safetensors").unlink()
    with pytest.raises(bertx.CheckpointError, match=r"neither adapter_model\.safetensors nor adapter_model\.bin"):
        bertx.load(tmp_path / "folder", backend="numpy")
    (tmp_path / "folder" / "adapter_config.json").write_text("[]")
    with pytest.raises(bertx.CheckpointError, match=r"adapter_config\.json: expected a JSON object"):
        bertx.load(tmp_path / "folder", backend="numpy")


@pytest.mark.parametrize("head", ["BertForMaskedLM", "RobertaForMaskedLM"])
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["word_embeddings", "query"]},
        {"target_modules": ["word_embeddings", "query"], "ensure_weight_tying": True},
        {"modules_to_save": ["word_embeddings"]},
    ],
    ids=["target", "ensure_weight_tying", "modules_to_save"],
)
def test_word_embeddings_under_a_tied_decoder_are_refused_with_a_way_out_that_works(tmp_path, settings, head):
    model = peer(head)
    folder = save_peer(model, tmp_path / "base")
    trained(folder, tmp_path / "adapter", head=head, **settings)
    with pytest.raises(CheckpointError, match=f"decoder of {head} shares its table") as error:
        bertx.load(tmp_path / "adapter", backend="numpy")
    base = getattr(transformers, head).from_pretrained(folder, attn_implementation="eager")
    model = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        expected = model(input_ids=torch.from_numpy(IDS)).logits.numpy()
    exec(str(error.value).partition("before merge_and_unload: ")[2].partition("; save the result")[0])
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    logits = bertx.load(tmp_path / "merged", backend="numpy").forward(IDS)["logits"]
    assert np.abs(logits - expected).max() < 1e-5


def test_word_embeddings_beside_a_decoder_that_is_trained_too(tmp_path):
    folder = save_peer(peer("BertForMaskedLM"), tmp_path / "base")
    settings = {"target_modules": ["query"], "modules_to_save": ["word_embeddings", "cls"]}
    merged = trained(folder, tmp_path / "adapter", head="BertForMaskedLM", **settings)
    with torch.no_grad():
        expected = merged(input_ids=torch.from_numpy(IDS)).logits.numpy()
    logits = bertx.load(tmp_path / "adapter", backend="numpy").forward(IDS)["logits"]
    assert np.abs(logits - expected).max() < 1e-5
