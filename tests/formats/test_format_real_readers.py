"""What bertx writes is read by the real readers: transformers 4.57 and 5, TensorFlow, Flax, KerasHub, Orbax, NumPy."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import flax.serialization
import flax.traverse_util
import h5py
import jax
import keras_hub
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorflow as tf
import torch
import transformers
from format_support import (
    FIXTURES,
    HEADS,
    POOLED,
    VARIANTS,
    assert_bit_equal,
    batch,
    bits,
    copy_with_config,
    original,
)

import bertx
from bertx_weights.containers import msgpack

pytestmark = pytest.mark.slow  # transformers 4.57 reads everything in a process of its own: a minute and a half
ROOT = Path(__file__).parents[2]
PEER = ROOT / ".venv-transformers4" / "bin" / "python"
READER = ROOT / "tests" / "peers" / "read_transformers4.py"
# What bertx writes → the framework of transformers 4.57 that reads it.
HUB_FORMATS = {"safetensors": "pytorch", "pytorch": "pytorch", "tensorflow": "tensorflow", "flax": "flax"}
# Beside the heads: a name → the source, the format and the dtype that it is converted to.
OTHERS = {
    "untied-safetensors": (VARIANTS / "untied" / "flax", "safetensors", None),
    "untied-pytorch": (VARIANTS / "untied" / "safetensors", "pytorch", None),
    "untied-flax": (VARIANTS / "untied" / "pytorch", "flax", None),
    "bfloat16-safetensors": (FIXTURES / "BertForMaskedLM" / "tensorflow", "safetensors", "bfloat16"),
    "bfloat16-pytorch": (FIXTURES / "BertForMaskedLM" / "safetensors", "pytorch", "bfloat16"),
    "bfloat16-flax": (FIXTURES / "BertForMaskedLM" / "safetensors", "flax", "bfloat16"),
    "float16-pytorch": (FIXTURES / "BertForMaskedLM" / "flax", "pytorch", "float16"),
    "float16-tensorflow": (FIXTURES / "BertForMaskedLM" / "safetensors", "tensorflow", "float16"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(head or one of OTHERS, format) → what bertx wrote of the original."""
    root, made = tmp_path_factory.mktemp("written"), {}

    def get(name, form):
        if (name, form) not in made:
            source, to, dtype = OTHERS.get(name, (FIXTURES / name / "safetensors", form, None))
            bertx.convert(source, root / name / form, to, dtype=dtype)
            made[name, form] = root / name / form
        return made[name, form]

    return get


# --- transformers 4.57 ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer_reads(written, tmp_path_factory):
    """(head or one of OTHERS, format, "ours" or "theirs") → the peer's report and the arrays that it saved.

    All of it is one process of the peer's, whose imports cost many seconds.
    """
    if not PEER.exists():
        pytest.skip(f"{PEER} is not there: `make test` builds it")
    out = tmp_path_factory.mktemp("peer")
    jobs = {}
    for head in HEADS:
        for form, framework in HUB_FORMATS.items():
            jobs[head, form, "ours"] = written(head, form), head, framework
            jobs[head, form, "theirs"] = FIXTURES / head / form, head, framework
    for name, (_, form, _) in OTHERS.items():
        jobs[name, form, "ours"] = written(name, form), "BertForMaskedLM", HUB_FORMATS[form]
    jobs["untied", "pytorch", "theirs"] = VARIANTS / "untied" / "pytorch", "BertForMaskedLM", "pytorch"
    jobs["broken", "pytorch", "ours"] = broken(written("BertForMaskedLM", "pytorch"), out), "BertForMaskedLM", "pytorch"
    files = {key: str(out / f"{'-'.join(key)}.npz") for key in jobs}
    asked = [[str(folder), head, framework, files[key]] for key, (folder, head, framework) in jobs.items()]
    result = subprocess.run([PEER, READER], input=json.dumps(asked), capture_output=True, text=True, timeout=540)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(reports) == len(jobs), result.stderr[-2000:]
    found = dict(zip(jobs, reports, strict=True))

    def get(*key):
        assert found[key]["error"] is None, found[key]["error"]
        with np.load(files[key]) as arrays:
            return found[key], dict(arrays)

    return get


def broken(folder: Path, out: Path) -> Path:
    """A copy in which a tensor has another name."""
    shutil.copytree(folder, out / "broken")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    state["bert.stray"] = state.pop("bert.embeddings.LayerNorm.bias")
    torch.save(state, out / "broken" / "pytorch_model.bin")
    return out / "broken"


def part(arrays: dict, prefix: str) -> dict:
    return {name.removeprefix(f"{prefix}/"): value for name, value in arrays.items() if name.startswith(f"{prefix}/")}


def assert_nothing_amiss(report: dict) -> None:
    assert {kind: report[kind] for kind in ("missing", "unexpected", "mismatched")} == {
        "missing": [],
        "unexpected": [],
        "mismatched": [],
    }


def test_the_peer_says_what_is_amiss(peer_reads):
    report, _ = peer_reads("broken", "pytorch", "ours")
    assert (report["missing"], report["unexpected"]) == (["bert.embeddings.LayerNorm.bias"], ["bert.stray"])


@pytest.mark.parametrize("form", HUB_FORMATS)
@pytest.mark.parametrize("head", HEADS)
def test_transformers4_reads_it_as_its_own(peer_reads, head, form):
    report, ours = peer_reads(head, form, "ours")
    assert_nothing_amiss(report)
    _, theirs = peer_reads(head, form, "theirs")  # what the class itself wrote, from the same values
    assert_bit_equal(part(ours, "weights"), part(theirs, "weights"))
    assert part(ours, "weights")
    assert_bit_equal(part(ours, "outputs"), part(theirs, "outputs"))


@pytest.mark.parametrize("form", HUB_FORMATS)
@pytest.mark.parametrize("head", HEADS)
def test_its_outputs_there_are_the_originals(peer_reads, head, form):
    _, ours = peer_reads(head, form, "ours")
    _, theirs = peer_reads(head, "safetensors", "theirs")
    found, wanted = part(ours, "outputs"), part(theirs, "outputs")
    assert set(found) == set(wanted)
    assert_bit_equal(part(ours, "inputs"), part(theirs, "inputs"))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=5e-6, err_msg=name)  # measured: 9e-7


@pytest.mark.parametrize("form", ["safetensors", "pytorch", "flax"])
def test_transformers4_reads_an_untied_decoder(peer_reads, form):
    report, ours = peer_reads(f"untied-{form}", form, "ours")
    assert_nothing_amiss(report)
    _, theirs = peer_reads("untied", "pytorch", "theirs")
    np.testing.assert_allclose(ours["outputs/logits"], theirs["outputs/logits"], rtol=0, atol=5e-6)
    decoder = "cls/predictions/decoder/kernel" if form == "flax" else "cls.predictions.decoder.weight"
    found = ours[f"weights/{decoder}"].T if form == "flax" else ours[f"weights/{decoder}"]
    np.testing.assert_array_equal(found, theirs["weights/cls.predictions.decoder.weight"])


@pytest.mark.parametrize("name", [name for name in OTHERS if "float16" in name])
def test_transformers4_reads_halves(peer_reads, name):
    form, dtype = OTHERS[name][1:]
    report, ours = peer_reads(name, form, "ours")
    assert_nothing_amiss(report)
    _, theirs = peer_reads("BertForMaskedLM", form, "theirs")
    rounded = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    for key, value in part(theirs, "weights").items():
        np.testing.assert_array_equal(
            ours[f"weights/{key}"].astype(np.float32), value.astype(rounded).astype(np.float32), err_msg=key
        )


@pytest.mark.parametrize("head", HEADS)
def test_the_h5_is_laid_out_as_tensorflows_own(written, head):
    """Every dataset in its place, the shared embeddings once more beside the masked-LM head, and Keras's attributes."""

    def layout(path):
        with h5py.File(path) as file:
            datasets = {name: (node.shape, node[()].tobytes()) for name, node in datasets_of(file)}
            layers = [as_text(name) for name in file.attrs["layer_names"]]
            weights = {layer: sorted(map(as_text, file[layer].attrs["weight_names"])) for layer in layers}
            return datasets, {layer: names for layer, names in weights.items() if names}, set(file.attrs)

    ours, theirs = (
        layout(folder / "tf_model.h5") for folder in (written(head, "tensorflow"), FIXTURES / head / "tensorflow")
    )
    assert set(ours[0]) == set(theirs[0])
    assert ours == theirs


def datasets_of(group, prefix=""):
    """Every path to a dataset; visititems would go to a shared one once."""
    for name, node in group.items():
        if isinstance(node, h5py.Group):
            yield from datasets_of(node, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", node


def as_text(name) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


# --- transformers 5 -------------------------------------------------------------------------------


def transformers5(folder: Path, head: str, **options):
    """The model, and its outputs of the batch."""
    model, info = getattr(transformers, head).from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager", **options
    )
    assert not any(info.values()), info
    for parameter in model.parameters():  # MKL rounds by where a matrix lies, and a mapped one lies anywhere
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        found = model.eval()(**{name: torch.from_numpy(value) for name, value in batch(head).items()})
    values = {name: value.numpy() for name, value in found.items() if name != "past_key_values"}
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}, values


@pytest.mark.parametrize("form", ["safetensors", "pytorch"])
@pytest.mark.parametrize("head", HEADS)
def test_transformers5_reads_it(written, head, form):
    weights, found = transformers5(written(head, form), head, use_safetensors=form == "safetensors")
    wanted_weights, wanted = transformers5(FIXTURES / head / "safetensors", head)
    assert_bit_equal(weights, wanted_weights)
    assert_bit_equal(found, wanted)
    ours = bertx.load(written(head, form), backend="numpy").forward(**batch(head))
    for name, value in wanted.items():
        np.testing.assert_allclose(ours[name], value, rtol=0, atol=5e-6, err_msg=name)


@pytest.mark.parametrize("form", ["safetensors", "pytorch"])
def test_transformers5_reads_an_untied_decoder(written, form):
    """It computes with the decoder's own bias, which is to lie in the file."""
    weights, found = transformers5(written(f"untied-{form}", form), "BertForMaskedLM", use_safetensors=form[0] == "s")
    wanted_weights, wanted = transformers5(VARIANTS / "untied" / "pytorch", "BertForMaskedLM", use_safetensors=False)
    assert_bit_equal(weights, wanted_weights)
    assert_bit_equal(found, wanted)


@pytest.mark.parametrize("form", ["safetensors", "pytorch"])
def test_transformers5_reads_bfloat16(written, form):
    model = transformers.BertForMaskedLM.from_pretrained(
        written(f"bfloat16-{form}", form), dtype="auto", use_safetensors=form[0] == "s"
    )
    assert model.dtype == torch.bfloat16  # the config says it
    for name, array in original("BertForMaskedLM").items():
        assert torch.equal(model.state_dict()[name], torch.from_numpy(array).bfloat16()), name


@pytest.mark.parametrize(("act", "own"), [("gelu", "tf1"), ("gelu_new", "keras-hub")])
def test_transformers5_reads_what_came_through_every_format(tmp_path, act, own):
    """The longest way round: no format loses a bit of the one before."""
    head, folder = "BertForSequenceClassification", FIXTURES / "BertForSequenceClassification" / "safetensors"
    folder = copy_with_config(folder, tmp_path / "source", hidden_act=act)
    wanted_weights, wanted = transformers5(folder, head)
    for form in ("tensorflow", "flax", "npz", own, "orbax", "pytorch"):
        bertx.convert(folder, tmp_path / form, form)
        folder = tmp_path / form
    weights, found = transformers5(folder, head, use_safetensors=False)
    assert_bit_equal(weights, wanted_weights)
    assert_bit_equal(found, wanted)


# --- TensorFlow -----------------------------------------------------------------------------------


def variables(folder: Path, prefix: str) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(folder / prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize("head", [head for head in HEADS if head != "BertLMHeadModel"])
def test_tensorflow_reads_the_original_release_under_googles_names(written, head):
    ours = variables(written(head, "tf1"), "bert_model.ckpt")
    googles = variables(FIXTURES / head / "tf1", "bert_model.ckpt")
    training = {name for name in googles if name.endswith(("/adam_m", "/adam_v")) or name == "global_step"}
    pooler = set() if head in POOLED else {"bert/pooler/dense/kernel", "bert/pooler/dense/bias"}
    assert_bit_equal(ours, {name: googles[name] for name in set(googles) - training - pooler})
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" not in ours
    config = json.loads((written(head, "tf1") / "bert_config.json").read_text())
    theirs = json.loads((FIXTURES / head / "tf1" / "bert_config.json").read_text())
    assert {key: config.get(key) for key in theirs} == theirs
    assert (written(head, "tf1") / "vocab.txt").read_bytes() == (FIXTURES / head / "tf1" / "vocab.txt").read_bytes()


def test_googles_graph_is_filled_from_the_original_release(written):
    """tf.compat.v1's init_from_checkpoint, as run_classifier.py has it, of every variable."""
    folder = written("BertForPreTraining", "tf1")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        made = {
            name: tf.compat.v1.get_variable(name, value.shape, tf.float32)
            for name, value in variables(folder, "bert_model.ckpt").items()
        }
        tf.compat.v1.train.init_from_checkpoint(str(folder / "bert_model.ckpt"), {name: name for name in made})
        session.run(tf.compat.v1.global_variables_initializer())
        found = session.run(made)
    assert_bit_equal(found, variables(folder, "bert_model.ckpt"))


def module_tree(names_and_shapes: dict[str, tuple[int, ...]]) -> tf.Module:
    """Objects with zeros, whose attributes are the names' parts: what Keras's encoder is to tf.train.Checkpoint."""
    root = tf.Module()
    for name, shape in names_and_shapes.items():
        *parents, leaf = name.split("/")
        node = root
        for parent in parents:
            if not hasattr(node, parent):
                setattr(node, parent, tf.Module())
            node = getattr(node, parent)
        setattr(node, leaf, tf.Variable(tf.zeros(shape), trainable=True))
    return root


def test_tensorflow_restores_the_encoder_of_model_garden(written):
    """The tree is that of the checkpoint which Model Garden's own converter wrote."""
    suffix = "/.ATTRIBUTES/VARIABLE_VALUE"
    gardens = {
        name.removeprefix("model/").removesuffix(suffix): value
        for name, value in variables(FIXTURES / "BertModel" / "tf2", "bert_model.ckpt-1").items()
        if name.startswith("model/")
    }
    assert len(gardens) == 39
    encoder = module_tree({name: value.shape for name, value in gardens.items()})
    folder = written("BertModel", "tf2")
    tf.train.Checkpoint(model=encoder).read(str(folder / "bert_model.ckpt")).assert_consumed()
    for name, value in gardens.items():
        node = encoder
        for attribute in name.split("/"):
            node = getattr(node, attribute)
        np.testing.assert_array_equal(node.numpy(), value, err_msg=name)
    ours = variables(folder, "bert_model.ckpt")
    assert set(ours) == {f"model/{name}{suffix}" for name in gardens} | {"_CHECKPOINTABLE_OBJECT_GRAPH"}


# --- Flax, Orbax, NumPy ---------------------------------------------------------------------------


def flat(tree) -> dict[str, np.ndarray]:
    return {"/".join(path): np.asarray(leaf) for path, leaf in flax.traverse_util.flatten_dict(tree).items()}


@pytest.mark.parametrize("head", HEADS)
def test_flax_and_orbax_restore_the_params_of_a_flax_bert(written, head):
    theirs = flat(flax.serialization.msgpack_restore((FIXTURES / head / "flax" / "flax_model.msgpack").read_bytes()))
    ours = flax.serialization.msgpack_restore((written(head, "flax") / "flax_model.msgpack").read_bytes())
    assert_bit_equal(flat(ours), theirs)
    with ocp.StandardCheckpointer() as checkpointer:
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), ours)
        restored = checkpointer.restore((written(head, "orbax") / "params").absolute(), like)
    assert_bit_equal(flat(restored), theirs)


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
def test_flax_joins_the_pieces_of_a_large_array(tmp_path, monkeypatch, dtype):
    """As Flax does, an array of more than 2³⁰ bytes is written in pieces; here of more than 512."""
    monkeypatch.setattr(msgpack, "_CHUNK", 512)
    source = FIXTURES / "BertForMaskedLM" / "safetensors"
    bertx.convert(source, tmp_path / "ours", "flax", dtype=dtype)
    content = (tmp_path / "ours" / "flax_model.msgpack").read_bytes()
    assert b"__msgpack_chunked_array__" in content
    found = flat(flax.serialization.msgpack_restore(content))
    theirs = (FIXTURES / "BertForMaskedLM" / "flax" / "flax_model.msgpack").read_bytes()
    wanted = flat(flax.serialization.msgpack_restore(theirs))
    wanted = {name: value.astype(dtype or value.dtype) for name, value in wanted.items()}
    assert_bit_equal(found, wanted)
    if dtype is None:  # Flax's own pieces, of its own limit of 512
        chunked = (VARIANTS / "flax_chunked" / "flax_model.msgpack").read_bytes()
        assert content.count(b"__msgpack_chunked_array__") == chunked.count(b"__msgpack_chunked_array__")


@pytest.mark.parametrize("head", ["BertModel", "BertForPreTraining"])
def test_numpy_reads_the_npz(written, head):
    with np.load(written(head, "npz") / "model.npz", allow_pickle=False) as archive:
        found = dict(archive)
    stored = {name.removeprefix("bert.") if head == "BertModel" else name: v for name, v in original(head).items()}
    assert_bit_equal(found, stored)


def test_numpy_reads_the_bits_of_bfloat16(tmp_path):
    bertx.convert(FIXTURES / "BertModel" / "safetensors", tmp_path / "npz", "npz", dtype="bfloat16")
    with np.load(tmp_path / "npz" / "model.npz", allow_pickle=False) as archive:
        for name, array in original("BertModel").items():
            found = archive[name.removeprefix("bert.")]
            assert found.dtype.names == ("bfloat16",)
            np.testing.assert_array_equal(bits(found), bits(array.astype(ml_dtypes.bfloat16)), name)


# --- KerasHub -------------------------------------------------------------------------------------

# KerasHub's classifier comes with an optimizer, whose state a preset need not have.
NO_OPTIMIZER = pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
TEXTS = ["The cat sat.", "Dogs runs, ok? É à 猫", "zebras ##s", ""]


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """(head, dtype) → the preset of a checkpoint with the tanh GELU."""
    root, made = tmp_path_factory.mktemp("presets"), {}

    def get(head, dtype=None):
        if (head, dtype) not in made:
            name = f"{head}-{dtype}"
            source = copy_with_config(FIXTURES / head / "safetensors", root / f"{name}-source", hidden_act="gelu_new")
            bertx.convert(source, root / name, "keras-hub", dtype=dtype)
            made[head, dtype] = root / name
        return made[head, dtype]

    return get


def keras_inputs(head: str) -> dict[str, np.ndarray]:
    inputs = {name: value.reshape(-1, value.shape[-1]) for name, value in batch(head).items()}
    return {
        "token_ids": inputs["input_ids"],
        "padding_mask": inputs["attention_mask"],
        "segment_ids": inputs["token_type_ids"],
    }


@pytest.mark.parametrize("head", ["BertModel", "BertForSequenceClassification", "BertForMultipleChoice"])
def test_kerashub_reads_the_backbone(presets, head):
    backbone = keras_hub.models.Backbone.from_preset(str(presets(head)))
    assert type(backbone) is keras_hub.models.BertBackbone
    found = backbone(keras_inputs(head))
    inputs = {name: value.reshape(-1, value.shape[-1]) for name, value in batch(head).items()}
    ours = bertx.load(presets(head), task="feature-extraction", backend="numpy").forward(**inputs)
    shown = inputs["attention_mask"].astype(bool)
    np.testing.assert_allclose(
        found["sequence_output"].numpy()[shown], ours["last_hidden_state"][shown], rtol=0, atol=5e-6
    )
    np.testing.assert_allclose(found["pooled_output"].numpy(), ours["pooler_output"], rtol=0, atol=5e-6)
    # The exact GELU is another function here: the comparison would show it.
    exact = bertx.load(FIXTURES / head / "safetensors", task="feature-extraction", backend="numpy").forward(**inputs)
    assert np.abs(exact["last_hidden_state"] - ours["last_hidden_state"])[shown].max() > 2e-5


@NO_OPTIMIZER
def test_kerashub_reads_the_classifier(presets):
    head = "BertForSequenceClassification"
    classifier = keras_hub.models.TextClassifier.from_preset(str(presets(head)))
    assert type(classifier) is keras_hub.models.BertTextClassifier and classifier.num_classes == 5
    ours = bertx.load(presets(head), backend="numpy").forward(**batch(head))["logits"]
    np.testing.assert_allclose(classifier(keras_inputs(head)).numpy(), ours, rtol=0, atol=5e-6)


def test_kerashub_holds_the_values_that_it_holds_of_its_own_preset(presets):
    found, wanted = (
        keras_hub.models.BertBackbone.from_preset(str(folder))
        for folder in (presets("BertModel"), FIXTURES / "BertModel" / "keras_hub")
    )
    assert len(found.weights) == len(wanted.weights) == 39
    for ours, theirs in zip(found.weights, wanted.weights, strict=True):
        assert ours.path.split("/")[1:] == theirs.path.split("/")[1:] or ours.path == theirs.path
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    configs = [
        json.loads((f / "config.json").read_text())
        for f in (presets("BertModel"), FIXTURES / "BertModel" / "keras_hub")
    ]
    for config in configs:
        config["config"].pop("name"), config["config"].pop("dtype")
    assert configs[0]["config"] == configs[1]["config"]
    assert configs[0]["registered_name"] == configs[1]["registered_name"]


def test_kerashub_reads_halves(presets):
    backbone = keras_hub.models.BertBackbone.from_preset(str(presets("BertModel", "float16")))
    word = backbone.token_embedding.weights[0].numpy()
    wanted = original("BertModel")["bert.embeddings.word_embeddings.weight"].astype(np.float16)
    np.testing.assert_array_equal(word.astype(np.float16), wanted)


@pytest.mark.parametrize("cased", [False, True])
def test_kerashub_reads_the_tokenizer(tmp_path, cased):
    source = copy_with_config(FIXTURES / "BertModel" / "safetensors", tmp_path / "source", hidden_act="gelu_new")
    if cased:
        (source / "tokenizer.json").unlink()
        words = (source / "vocab.txt").read_text()
        (source / "vocab.txt").write_text(words.replace("\nthe\n", "\nThe\n").replace("\nz\n", "\nD\n"))
        (source / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    bertx.convert(source, tmp_path / "preset", "keras-hub")
    theirs = keras_hub.models.Tokenizer.from_preset(str(tmp_path / "preset"))
    assert type(theirs) is keras_hub.models.BertTokenizer
    ours = bertx.BertTokenizer.from_pretrained(source)
    wanted = ours(TEXTS, add_special_tokens=False)["input_ids"]
    assert [np.asarray(row).tolist() for row in theirs(TEXTS)] == wanted
    # With its start and end, as the task's preprocessor packs it.
    preprocessor = keras_hub.models.BertTextClassifierPreprocessor.from_preset(
        str(tmp_path / "preset"), sequence_length=12
    )
    packed = preprocessor(TEXTS[:2])["token_ids"].numpy().tolist()
    assert packed == ours(TEXTS[:2], padding="max_length", truncation=True, max_length=12)["input_ids"]
    again = bertx.BertTokenizer.from_pretrained(tmp_path / "preset")
    assert again(TEXTS)["input_ids"] == ours(TEXTS)["input_ids"]


@NO_OPTIMIZER
def test_kerashubs_own_preset_comes_back_to_kerashub(tmp_path):
    """Its preset to the hub's files and back, read by KerasHub: the same logits."""
    head = "BertForSequenceClassification"
    theirs = FIXTURES / head / "keras_hub"
    bertx.convert(theirs, tmp_path / "hub")
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["hidden_act"] == "gelu_new"
    bertx.convert(tmp_path / "hub", tmp_path / "preset", "keras-hub")
    found, wanted = (
        keras_hub.models.BertTextClassifier.from_preset(str(folder))(keras_inputs(head)).numpy()
        for folder in (tmp_path / "preset", theirs)
    )
    np.testing.assert_array_equal(found, wanted)
