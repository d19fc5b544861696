"""The native classes beside those of transformers 4.57 on the same weights: what a call takes and gives, and its loss.

The answers of 4.57 are tests/fixtures/transformers4, made by tests/fixtures/make_transformers4_outputs.py.
"""

from __future__ import annotations

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import torch

import bertx_jax
import bertx_tensorflow
import bertx_torch
from bertx.compat import transformers4 as places
from fixture_files import FIXTURES
from support import HEADS

FOLDER = FIXTURES / "transformers4"
FIXTURE = json.loads((FOLDER / "calls.json").read_text())
CALLS, CLASSES = FIXTURE["calls"], FIXTURE["classes"]
VALUES = dict(np.load(FOLDER / "values.npz"))
TOLERANCE = 5e-6  # of the largest value, where that is above 1; measured: torch 2.9e-7, tensorflow 3.1e-7, jax 4.3e-7

PACKAGES = {"torch": bertx_torch, "tensorflow": bertx_tensorflow, "jax": bertx_jax}
TENSORS = {
    "torch": torch.from_numpy,
    "tensorflow": lambda array: tf.constant(array, tf.int32 if array.dtype.kind == "i" else tf.float32),
    "jax": jnp.asarray,
}

# Where a place sees nothing, which is never read, TensorFlow's mask of −10000 left the scores; in bertx, as in PyTorch,
# such a place attends to all alike. In this call it is left out: the mask in which a place sees nothing before it.
UNSEEN = {"tensorflow/BertLMHeadModel/left": "causal.left_mask"}
CACHE = {"past_key_values": (), "use_cache": False}
# Two output classes have a shorter name: without cross-attention it would say what is not so.
RENAMED = {
    "BaseModelOutputWithPoolingAndCrossAttentions": "BaseModelOutputWithPooling",
    "CausalLMOutputWithCrossAttentions": "CausalLMOutput",
}


def cases(keys):
    """The keys as parameters."""
    return [pytest.param(*key.split("/"), id=key) for key in keys]


def each(*names):
    return [f"{framework}/{head}" for framework in PACKAGES for head in (names or HEADS)]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory):
    """(framework, head, checkpoint, **options) → a model of bertx from the checkpoint that 4.57 wrote."""
    weights = safetensors.numpy.load_file(FOLDER / "weights.safetensors")
    folders, models = {}, {}

    def folder_of(checkpoint):
        if checkpoint not in folders:
            folder = folders[checkpoint] = tmp_path_factory.mktemp(checkpoint)
            entry = FIXTURE["checkpoints"][checkpoint]
            tensors = {}
            for name, shape in entry["tensors"].items():
                tensors[name] = weights[name if name in weights else f"bert.{name}"][: shape[0]]
                assert list(tensors[name].shape) == shape
            safetensors.numpy.save_file(tensors, folder / "model.safetensors")
            (folder / "config.json").write_text(json.dumps(entry["config"]))
        return folders[checkpoint]

    def get(framework, head, checkpoint=None, **options):
        key = (framework, head, checkpoint or head, *options.items())
        if key not in models:
            cls = getattr(PACKAGES[framework], CLASSES[f"{framework}/{head}"]["name"])
            models[key] = cls.from_pretrained(folder_of(checkpoint or head), **options)
        return models[key]

    get.folder = folder_of
    return get


def filled(arguments, framework, tensor=None):
    """The arguments of a call, tensors of the framework where arrays are named."""
    if isinstance(arguments, dict):
        given = {name: filled(value, framework, tensor) for name, value in arguments.items()}
        if "past_key_values" in given:
            given["past_key_values"] = tuple(map(tuple, given["past_key_values"]))
        return given
    if isinstance(arguments, list):
        return [filled(value, framework, tensor) for value in arguments]
    return (tensor or TENSORS[framework])(VALUES[arguments]) if isinstance(arguments, str) else arguments


@pytest.fixture(scope="module")
def ran(model_of):
    """(framework, head, call) → what bertx gives for a call of the fixture; a call is made once."""
    given = {}

    def get(framework, head, call, tensor=None):
        key = json.dumps([framework, head, tensor is None, call])
        if key not in given:
            model = model_of(framework, head, call["checkpoint"], **call["options"])
            arguments, named = (filled(call[part], framework, tensor) for part in ("arguments", "named"))
            given[key] = model(*arguments, **named)
        return given[key]

    return get


def array(tensor):
    return tensor.detach().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)


def differs(found, expected, path, seen=...):
    """max |Δ| of a tensor or of a tuple of them, over the largest value where that is above 1."""
    if isinstance(expected, list):
        assert type(found) is tuple and len(found) == len(expected), path
        return max(differs(*pair, f"{path}[{i}]") for i, pair in enumerate(zip(found, expected, strict=True)))
    found, expected = array(found), VALUES[expected]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype), path
    return float(np.abs(found - expected)[seen].max() / max(1, np.abs(expected).max()))


def check(found, call, names, seen=...):
    """The outputs against those of 4.57: names in order, kinds, shapes, values; of tensors [B, T, …] what is `seen`."""
    if call["output"] == "tuple":
        assert type(found) is tuple
        values = found
    else:
        assert list(found) == list(found.keys()) == call["names"]
        values = found.to_tuple()
    assert len(values) == len(names) == len(call["values"])
    for name, value, expected in zip(names, values, call["values"], strict=True):
        assert (value is None) == (expected is None), name
        if expected is not None:
            assert differs(value, expected, name, seen) <= TOLERANCE, name


def names_of(framework, head, call):
    """The names of the outputs of a call; of a tuple those that the same call gave as a dict."""
    if call["output"] != "tuple":
        return call["names"]
    asked = {**call["options"], **call["named"]}
    labelled = any(name in asked for name in ("labels", "next_sentence_label", "start_positions"))
    fields = CLASSES[f"{framework}/{head}"]["fields"]
    given = {name: asked.get(f"output_{name}", False) for name in ("hidden_states", "attentions")}
    given["pooler_output"] = framework != "jax" or asked.get("add_pooling_layer", True)
    given["past_key_values"] = False
    return [name for name in fields if given.get(name, name != "cross_attentions") and (name != "loss" or labelled)]


# --- outputs and losses ---------------------------------------------------------------------------


@pytest.mark.parametrize(("framework", "head", "name"), cases(key for key in CALLS if "raises" not in CALLS[key]))
def test_a_call_gives_what_it_gave(ran, framework, head, name):
    call = CALLS[key := f"{framework}/{head}/{name}"]
    seen = np.cumsum(VALUES[UNSEEN[key]], -1) > 0 if key in UNSEEN else ...
    check(ran(framework, head, call), call, names_of(framework, head, call), seen)


# What TensorFlow or Flax had not, or refused, bertx does as 4.57's PyTorch.
BEYOND = [
    f"{framework}/{head}/{name}"
    for framework in ("tensorflow", "jax")
    for head, name in (key.split("/")[1:] for key in CALLS if key.startswith("torch/"))
    if "raises" in CALLS.get(f"{framework}/{head}/{name}", {"raises": "absent"})
    and name not in ("labels_old_name", "labels_items")
]


@pytest.mark.parametrize(("framework", "head", "name"), cases(BEYOND))
def test_a_call_gives_what_pytorch_gave_where_the_framework_had_none(ran, framework, head, name):
    call = CALLS[f"torch/{head}/{name}"]
    found = ran(framework, head, call)
    if framework == "tensorflow" and "loss" in found:
        found = type(found)(found, loss=tf.reduce_mean(found.loss))  # one for each row there
    check(found, call, names_of("torch", head, call))


def test_tensorflow_refused_or_had_none_of_these():
    refused = {key.partition("/")[2]: call["raises"] for key, call in CALLS.items() if "raises" in call}
    masks = {key: refused.pop(key) for key in list(refused) if key.endswith("/head_mask")}
    assert set(masks.values()) == {"NotImplementedError"}
    assert refused == {
        "BertForSequenceClassification/labels_multi": "ValueError",
        "BertForSequenceClassification/labels_numbers": "ValueError",
        "BertForQuestionAnswering/labels_late": "InvalidArgumentError",
        "BertForQuestionAnswering/labels_early": "InvalidArgumentError",
    }
    assert {key for key in BEYOND if key.startswith("tensorflow/")} == {
        "tensorflow/BertModel/queries_mask",
        *(f"tensorflow/{key}" for key in (*refused, *masks)),
    }


@pytest.mark.parametrize(
    ("framework", "head", "name"),
    cases(f"tensorflow/BertForNextSentencePrediction/{name}" for name in ("labels", "labels_tuple", "labels_ignored")),
)
def test_tensorflows_next_sentence_loss_by_the_name_labels(ran, framework, head, name):
    call = CALLS[f"{framework}/{head}/{name}"]
    named = {{"next_sentence_label": "labels"}.get(key, key): value for key, value in call["named"].items()}
    check(ran(framework, head, call | {"named": named}), call, names_of(framework, head, call))


# --- access ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_outputs_by_attribute_key_and_index(ran, framework, head):
    call = CALLS[f"{framework}/{head}/more"]
    found = ran(framework, head, call)
    for i, name in enumerate(call["names"]):
        assert getattr(found, name) is found[name] is found[i] is found.to_tuple()[i]
        assert name in found
    assert len(found) == len(call["names"])
    assert found[-1] is found.attentions[:] and type(found[:2]) is tuple and found[1:][0] is found[1]
    if "loss" in CLASSES[f"{framework}/{head}"]["fields"]:
        assert found.loss is None and "loss" not in found
    with pytest.raises(KeyError):
        found["loss"]
    with pytest.raises(IndexError):
        found[len(found)]


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_the_class_of_an_output(ran, framework, head):
    call = CALLS[f"{framework}/{head}/plain"]
    prefix = {"torch": "", "tensorflow": "TF", "jax": "Flax"}[framework]
    name = call["output"].removeprefix(prefix)
    cls = getattr(PACKAGES[framework], prefix + RENAMED.get(name, name))
    assert type(ran(framework, head, call)) is cls


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_a_field_that_was_not_computed_is_none(ran, framework, head):
    call = CALLS[f"{framework}/{head}/plain"]
    found = ran(framework, head, call)
    for name in CLASSES[f"{framework}/{head}"]["fields"]:
        assert (getattr(found, name) is None) == (name not in call["names"])


# --- signatures -----------------------------------------------------------------------------------


def parameters_of(framework, head):
    """[name, default] of each parameter of 4.57's call, without what takes any keyword."""
    return [row for row in CLASSES[f"{framework}/{head}"]["call"] if not row[0].startswith("**")]


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_parameters_that_bertx_does_not_have_are_refused_by_name(model_of, framework, head):
    model, call = model_of(framework, head), CALLS[f"{framework}/{head}/plain"]
    for name, _ in (row for row in parameters_of(framework, head)[1:] if row[0] in places.absent(model)):
        given = True if name == "use_cache" else TENSORS[framework](VALUES["attention_mask"])
        with pytest.raises(TypeError, match=rf"{type(model).__name__} has no {name}: bertx takes"):
            model(**filled(call["named"], framework), **{name: given})


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_every_other_parameter_is_taken_by_name(model_of, framework, head):
    model, ids = model_of(framework, head), filled(CALLS[f"{framework}/{head}/plain"]["named"], framework)
    expected = model(**ids).to_tuple()[0]
    others = [row for row in parameters_of(framework, head)[1:] if row[0] not in places.absent(model)]
    assert [name for name, _ in others][:3] == ["attention_mask", "token_type_ids", "position_ids"]
    # Given its default, none changes anything.
    found = model(**ids, **dict(others)).to_tuple()[0]
    assert np.array_equal(array(found), array(expected))
    # Given a value, each is in a call of the fixture that bertx answers alike, or in `params` below, or here.
    used = {"params", "encoder_hidden_states", "encoder_attention_mask"}  # see tests/parity/test_cross_attention.py
    for key, call in CALLS.items():
        if key.startswith(f"{framework}/{head}/"):
            used |= call["named"].keys() | {
                name for given in call["arguments"] if type(given) is dict for name in given
            }
    for name in {name for name, _ in others} - used:
        value = {"training": False, "train": False, "dropout_rng": jax.random.key(0), **CACHE}[name]
        assert np.array_equal(array(model(**ids, **{name: value}).to_tuple()[0]), array(expected))


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_the_first_four_parameters_have_the_same_places(framework, head):
    cls = getattr(PACKAGES[framework], CLASSES[f"{framework}/{head}"]["name"])
    call = cls.call if framework == "tensorflow" else cls.forward
    ours = list(inspect.signature(call).parameters)[1:5]
    assert ours == [name for name, *_ in parameters_of(framework, head)][:4]
    assert ours == ["input_ids", "attention_mask", "token_type_ids", "position_ids"]


def absent_of(framework, head):
    """The parameters of 4.57's call that bertx does not have."""
    cls = getattr(PACKAGES[framework], CLASSES[f"{framework}/{head}"]["name"])
    return [name for name, *_ in parameters_of(framework, head)[1:] if name in places.absent(cls)]


LACKING = [key for key in each() if absent_of(*key.split("/"))]


def test_the_classes_with_parameters_that_bertx_does_not_have():
    causal = ("BertModel", "BertLMHeadModel")  # FlaxBert's other classes have those of a decoder too
    torchs = [f"torch/{head}" for head in ("BertModel", "BertLMHeadModel", "BertForMaskedLM")]
    assert {*LACKING} == {*torchs, *(f"jax/{head}" for head in HEADS if head not in causal)}


@pytest.mark.parametrize(("framework", "head"), cases(LACKING))
def test_none_for_a_parameter_that_bertx_does_not_have(model_of, ran, framework, head):
    call, model = CALLS[f"{framework}/{head}/plain"], model_of(framework, head)
    absent = dict.fromkeys(absent_of(framework, head))
    assert absent
    found = model(**filled(call["named"], framework), **absent)
    check(found, call, call["names"])


@pytest.mark.parametrize(("framework", "head"), cases(each()))
def test_every_parameter_has_the_place_that_it_had(model_of, framework, head):
    """The arguments of 4.57's call in their order: each is the one of that name, or refused by that name."""
    theirs = [name for name, *_ in parameters_of(framework, head)]
    theirs = [{"next_sentence_label": "labels"}.get(name, name) if "Next" in head else name for name in theirs]
    model, value = model_of(framework, head), object()
    for place, name in enumerate(theirs[4:], 4):
        args = (*[None] * place, value)
        if name in places.absent(model):
            with pytest.raises(TypeError, match=f"has no {name}: bertx takes"):
                places.by_name(model, args, {})
        else:
            assert places.by_name(model, args, {}) == ((None,) * 4, {name: value})
    args = (None,) * (len(theirs) + 1)
    with pytest.raises(
        TypeError, match=f"takes at most {len(theirs)} arguments by position, and was given {len(args)}"
    ):
        places.by_name(model, args, {})
    with pytest.raises(TypeError, match="was given return_dict both by position and by name"):
        places.by_name(model, args[:-1], {"return_dict": True})


@pytest.mark.parametrize(
    ("framework", "head", "name"),
    cases(["torch/BertForSequenceClassification/classes", "tensorflow/BertForTokenClassification/tags"]),
)
def test_labels_by_their_place_are_not_lost(model_of, framework, head, name):
    """Here of one row, which is true or false like a flag."""
    ids, labels = (TENSORS[framework](np.maximum(VALUES[key][:1], 0)) for key in ("input_ids", name))
    place = [row[0] for row in parameters_of(framework, head)].index("labels")
    found = model_of(framework, head)(ids, *[None] * (place - 1), labels)
    assert list(found) == ["loss", "logits"]


@pytest.mark.parametrize(
    ("framework", "head"),
    cases(each("BertModel")),
)
def test_a_config_that_asks_for_outputs(model_of, tmp_path, framework, head):
    call = CALLS[f"{framework}/{head}/configured"]
    folder = model_of.folder(head)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps(FIXTURE["checkpoints"][head]["config"] | call["options"]))
    model = getattr(PACKAGES[framework], CLASSES[f"{framework}/{head}"]["name"]).from_pretrained(tmp_path)
    check(model(**filled(call["named"], framework)), call, call["names"])


# --- what else the users of a framework give --------------------------------------------------------


@pytest.mark.parametrize("call", ["plain", "padded", "more"])
@pytest.mark.parametrize("framework", ["tensorflow", "jax"])
def test_numpy_arrays_are_taken(ran, framework, call):
    """As a tokenizer gives them with return_tensors="np": int64."""
    call = CALLS[f"{framework}/BertForTokenClassification/{call}"]
    check(ran(framework, "BertForTokenClassification", call, np.asarray), call, call["names"])


@pytest.mark.parametrize("head", HEADS)
def test_params_are_the_tree_of_flax_bert(model_of, head):
    expected = CLASSES[f"jax/{head}"]["params"]
    model, call = model_of("jax", head), CALLS[f"jax/{head}/plain"]
    leaves = {"/".join(key.key for key in path): leaf for path, leaf in jax.tree.leaves_with_path(model.params)}
    assert {name: list(leaf.shape) for name, leaf in leaves.items()} == expected
    # A tree of 4.57, as its users have it, is one of bertx.
    tree = {}
    for path, leaf in leaves.items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    check(model(**filled(call["named"], "jax"), params=tree, train=False), call, call["names"])
