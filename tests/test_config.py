from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import shutil
import warnings

import jax
import numpy as np
import pytest
import torch
import transformers
from flax import nnx

import bertx
import bertx_jax
import bertx_torch
from bertx import CheckpointError
from bertx.configs.bert import BertConfig
from bertx.registry import schema
from bertx_weights import write_safetensors
from fixture_files import CASES
from support import peer, save_peer

BASE_UNCASED = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
}
VERY_OLD = {
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "type_vocab_size": 2,
    "vocab_size": 21128,
}
NAMED_ENTITIES = BASE_UNCASED | {
    "_num_labels": 9,
    "architectures": ["BertForTokenClassification"],
    "id2label": {"0": "O", "1": "B-MISC", "2": "I-MISC", "3": "B-PER", "4": "I-PER", "5": "B-ORG", "6": "I-ORG"},
    "label2id": {"B-MISC": 1, "B-ORG": 5, "B-PER": 3, "I-MISC": 2, "I-ORG": 6, "I-PER": 4, "O": 0},
    "output_past": True,
    "vocab_size": 28996,
}
HALF = BASE_UNCASED | {"torch_dtype": "float16", "classifier_dropout": None, "hidden_act": "gelu_new"}
PUBLISHED = {"base": BASE_UNCASED, "old": VERY_OLD, "labels": NAMED_ENTITIES, "half": HALF}
# Every field at a value that is not its default.
ALL_CHANGED = {
    "output_attentions": True,
    "output_hidden_states": True,
    "return_dict": False,
    "vocab_size": 131,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 100,
    "hidden_act": "relu",
    "hidden_dropout_prob": 0.2,
    "attention_probs_dropout_prob": 0.3,
    "max_position_embeddings": 37,
    "type_vocab_size": 3,
    "initializer_range": 0.05,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 4,
    "position_embedding_type": "relative_key",
    "use_cache": False,
    "classifier_dropout": 0.4,
    "is_decoder": True,
    "add_cross_attention": True,
    "bos_token_id": 5,
    "eos_token_id": [6, 7],
    "tie_word_embeddings": False,
    "architectures": ("BertLMHeadModel",),
    "problem_type": "regression",
    "num_labels": 3,
    "id2label": {0: "a", 1: "b", 2: "c"},
    "label2id": {"a": 0, "b": 1, "c": 2},
    "dtype": "bfloat16",
    "extra": {"custom": {"x": [1, None]}},
}


def test_the_defaults_are_those_of_transformers():
    ours, theirs = BertConfig(), transformers.BertConfig()
    names = {field.name for field in dataclasses.fields(BertConfig)} - {"position_embedding_type", "extra"}
    assert {name: getattr(ours, name) for name in names} == {name: getattr(theirs, name) for name in names}


def test_transformers_has_no_shape_or_behaviour_of_bert_that_is_no_field():
    generic = {"transformers_version", "return_dict", "output_hidden_states", "output_attentions", "_name_or_path"}
    generic |= {"chunk_size_feed_forward", "is_encoder_decoder"}
    names = {field.name for field in dataclasses.fields(BertConfig)}
    assert set(transformers.BertConfig().to_dict()) - names <= generic


@pytest.mark.parametrize("values", PUBLISHED.values(), ids=PUBLISHED)
def test_published_configs_are_read_and_written_with_every_key(values, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = BertConfig.from_pretrained(tmp_path)
    assert config == BertConfig.from_json_file(tmp_path / "config.json") == BertConfig.from_dict(values)
    assert config == BertConfig.from_pretrained(tmp_path / "config.json")
    written = json.loads(config.to_json_string())
    assert {key: written.get(key) for key in values} == values
    for key in values.keys() & {field.name for field in dataclasses.fields(config)} - {"id2label", "architectures"}:
        assert getattr(config, key) == values[key], key


@pytest.mark.parametrize("values", PUBLISHED.values(), ids=PUBLISHED)
def test_published_configs_mean_what_transformers_reads_in_them(values):
    ours, theirs = BertConfig.from_dict(values), transformers.BertConfig.from_dict(values)
    for field in dataclasses.fields(BertConfig):
        if field.name not in ("extra", "dtype", "position_embedding_type", "architectures"):
            assert getattr(ours, field.name) == getattr(theirs, field.name), field.name


def test_a_very_old_config_gets_the_defaults_of_what_it_lacks():
    config = BertConfig.from_dict(VERY_OLD)
    assert (config.layer_norm_eps, config.model_type, config.pad_token_id) == (1e-12, "bert", 0)
    assert config.extra["pooler_num_fc_layers"] == 3 and config.architectures is None


def test_id2label_counts_the_labels():
    config = BertConfig.from_dict(NAMED_ENTITIES)
    assert (config.num_labels, config.id2label[3], config.label2id["I-ORG"]) == (7, "B-PER", 6)


@pytest.mark.parametrize("read", [BertConfig.from_dict, lambda values: BertConfig(**values)], ids=["dict", "arguments"])
def test_num_labels_that_contradicts_id2label_is_refused(tmp_path, read):
    values = NAMED_ENTITIES | {"num_labels": 9}
    with pytest.raises(ValueError, match="num_labels is 9 and id2label names 7 labels"):
        read(values)
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"config\.json: .*num_labels is 9 and id2label names 7 labels"):
        BertConfig.from_pretrained(tmp_path)
    assert read(values | {"num_labels": 7}).num_labels == 7


@pytest.mark.parametrize("in_file", [{"num_labels": 9}, {"num_labels": 7}, {}, {"id2label": None, "num_labels": 9}])
@pytest.mark.parametrize("number", [7, 9, 4])
def test_num_labels_as_an_argument_replaces_what_the_file_says_as_in_transformers(tmp_path, in_file, number):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"} | NAMED_ENTITIES | in_file))
    ours, theirs = (c.from_pretrained(tmp_path, num_labels=number) for c in (BertConfig, transformers.BertConfig))
    assert (ours.num_labels, ours.id2label) == (theirs.num_labels, theirs.id2label)


def test_num_labels_and_id2label_as_arguments_must_agree(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(NAMED_ENTITIES))
    assert BertConfig.from_pretrained(tmp_path, num_labels=2, id2label={0: "a", 1: "b"}).num_labels == 2
    with pytest.raises(ValueError, match="num_labels is 5 and id2label names 2 labels"):
        BertConfig.from_pretrained(tmp_path, num_labels=5, id2label={0: "a", 1: "b"})


def test_num_labels_alone_names_the_labels():
    config = BertConfig.from_dict(BASE_UNCASED | {"num_labels": 3})
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    assert config.to_dict()["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}


def test_the_dtype_is_read_under_its_old_and_its_new_key():
    assert BertConfig.from_dict(HALF).dtype == "float16"
    assert BertConfig.from_dict({"dtype": "bfloat16", "torch_dtype": "float32"}).dtype == "bfloat16"
    assert BertConfig.from_dict({}).dtype is None


def test_a_changed_dtype_is_written_under_both_keys():
    written = BertConfig.from_dict(HALF).replace(dtype="float32").to_dict()
    assert (written["dtype"], written["torch_dtype"]) == ("float32", "float32")


def test_keys_that_bertx_does_not_know_are_kept_as_they_are():
    strange = {"custom": {"deep": [1, None, "ü"]}, "auto_map": {"AutoModel": "x.Y"}, "zzz": None}
    config = BertConfig.from_dict(BASE_UNCASED | strange)
    assert config.extra == strange | {"gradient_checkpointing": False, "transformers_version": "4.6.0.dev0"}
    written = json.loads(config.to_json_string())
    assert {key: written[key] for key in strange} == strange
    assert "ü" in config.to_json_string()


@pytest.mark.parametrize("values", [{}, ALL_CHANGED, *PUBLISHED.values()], ids=["empty", "changed", *PUBLISHED])
def test_to_dict_and_json_come_back_as_the_same_config(values):
    config = BertConfig(**values) if values is ALL_CHANGED else BertConfig.from_dict(values)
    assert BertConfig.from_dict(config.to_dict()) == config
    assert BertConfig.from_dict(json.loads(config.to_json_string())) == config
    assert list(config.to_dict()) == sorted(config.to_dict())


def test_the_round_trip_above_changes_every_field():
    fields = {field.name for field in dataclasses.fields(BertConfig)} - {"model_type"}
    assert set(ALL_CHANGED) == fields
    assert [name for name in fields if getattr(BertConfig(**ALL_CHANGED), name) == getattr(BertConfig(), name)] == []


def test_a_default_config_writes_no_empty_keys():
    written = BertConfig().to_dict()
    absent = {
        "architectures",
        "problem_type",
        "id2label",
        "label2id",
        "bos_token_id",
        "eos_token_id",
        "dtype",
        "num_labels",
    }
    assert not absent & set(written)
    assert written["classifier_dropout"] is None


@pytest.mark.parametrize("values", [{}, ALL_CHANGED, *PUBLISHED.values()], ids=["empty", "changed", *PUBLISHED])
def test_transformers_reads_what_is_written(values, tmp_path):
    config = BertConfig(**values) if values is ALL_CHANGED else BertConfig.from_dict(values)
    (tmp_path / "config.json").write_text(config.to_json_string())
    for theirs in (
        transformers.BertConfig.from_dict(config.to_dict()),
        transformers.BertConfig.from_pretrained(tmp_path),
    ):
        for field in dataclasses.fields(config):
            if field.name not in ("extra", "dtype", "architectures"):
                assert getattr(theirs, field.name) == getattr(config, field.name), field.name
        assert tuple(theirs.architectures or ()) == (config.architectures or ())
        assert str(theirs.dtype).removeprefix("torch.") == str(config.dtype)


def test_what_transformers_writes_is_read(tmp_path):
    theirs = transformers.BertConfig(
        vocab_size=131,
        hidden_size=48,
        num_attention_heads=6,
        num_labels=5,
        layer_norm_eps=1e-5,
        tie_word_embeddings=False,
    )
    theirs.save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path)
    assert (config.vocab_size, config.hidden_size, config.num_labels, config.layer_norm_eps) == (131, 48, 5, 1e-5)
    assert config.tie_word_embeddings is False


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, ALL_CHANGED[name]) for name in ALL_CHANGED if name not in ("extra", "add_cross_attention")],
)
def test_a_field_is_assigned_as_it_is_constructed(name, value):
    config, value = BertConfig(), 768 * 2 if name == "hidden_size" else value
    before = hash(config)
    setattr(config, name, value)
    assert config == BertConfig(**{name: value})
    assert hash(config) == hash(BertConfig(**{name: value}))
    assert hash(config) != before or name in ("id2label", "label2id", "eos_token_id")
    assert BertConfig.from_dict(config.to_dict()) == config and pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", 770),
        ("vocab_size", 0),
        ("use_cache", "yes"),
        ("num_labels", -1),
        ("mine", object()),
        ("extra", 3),
    ],
)
def test_an_assignment_that_cannot_be_leaves_the_config_as_it_was(name, value):
    config = BertConfig.from_dict(NAMED_ENTITIES)
    before = copy.deepcopy(config)
    with pytest.raises((ValueError, TypeError), match="mine|extra|int" if name in ("mine", "extra") else name):
        setattr(config, name, value)
    assert config == before and hash(config) == hash(before) and config.to_dict() == before.to_dict()


def test_assigned_labels_are_counted_and_a_new_number_renames_them():
    config, theirs = BertConfig.from_dict(NAMED_ENTITIES), transformers.BertConfig.from_dict(NAMED_ENTITIES)
    for each in (config, theirs):
        each.num_labels = 3
    assert (config.num_labels, config.id2label, config.label2id) == (3, theirs.id2label, theirs.label2id)
    config.id2label = {0: "no", 1: "yes"}
    assert (config.num_labels, config.label2id) == (2, {"no": 0, "yes": 1})
    config.label2id = {"n": 0, "y": 1}
    assert (config.id2label, config.label2id) == ({0: "no", 1: "yes"}, {"n": 0, "y": 1})


def test_the_schema_of_an_assigned_config_is_that_of_a_new_one():
    config = BertConfig(vocab_size=31, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=6)
    before = schema("BertForMaskedLM", config)
    for size in (33, 31, 35):
        config.vocab_size = size
        assert schema("BertForMaskedLM", config) == schema("BertForMaskedLM", config.replace(vocab_size=size))
        assert schema("BertForMaskedLM", config)[0].shape == (size, 8)
        assert schema("BertForMaskedLM", config.replace(vocab_size=31)) == before


def test_a_compiled_model_follows_its_config():
    """JAX traces again for a config that has changed since: its hash is that of its values."""
    sizes = {"vocab_size": 31, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = bertx_jax.FlaxBertModel(BertConfig(**sizes, intermediate_size=6))
    ids = np.array([[1, 2, 3]])
    for jit in (nnx.jit, jax.jit):
        run = jit(lambda model, ids: model(ids))
        for flag in (False, True, False, True):
            model.config.output_attentions = flag
            assert ("attentions" in run(model, ids)) is flag
            model.config.output_hidden_states = not flag
            assert ("hidden_states" in run(model, ids)) is not flag


def test_other_attributes_are_kept_as_transformers_keeps_them():
    ours, theirs = BertConfig(mine={"a": [1]}, torch_dtype="float16"), transformers.BertConfig(mine={"a": [1]})
    ours.other = theirs.other = "x"
    assert ours.mine == theirs.mine and ours.to_dict()["mine"] == theirs.to_dict()["mine"] == {"a": [1]}
    assert ours.to_dict()["other"] == theirs.to_dict()["other"] == "x"
    assert (ours.dtype, ours.torch_dtype) == ("float16", "float16")
    assert getattr(ours, "absent", 7) == getattr(theirs, "absent", 7) == 7
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = ours.absent
    ours._private = 3
    assert ours._private == 3 and "_private" not in ours.to_dict()
    assert copy.deepcopy(ours) == ours == pickle.loads(pickle.dumps(ours))


def test_what_other_libraries_read_is_what_transformers_has():
    ours, theirs = BertConfig(num_labels=3, hidden_act="relu"), transformers.BertConfig(num_labels=3, hidden_act="relu")
    for name in ("is_encoder_decoder", "chunk_size_feed_forward", "name_or_path", "_name_or_path", "return_dict"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.use_return_dict is True and ours.get_text_config(decoder=True) is ours
    assert set(ours.to_diff_dict()) == {"hidden_act", "id2label", "label2id", "model_type"}
    assert json.loads(ours.to_json_string(use_diff=True)) == ours.to_diff_dict()
    read = transformers.BertConfig.from_dict(ours.to_diff_dict())
    assert read.to_dict() == theirs.to_dict() | {"transformers_version": read.to_dict()["transformers_version"]}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_a_dtype_of_any_framework_is_its_name(dtype):
    import jax.numpy as jnp
    import tensorflow as tf

    for framework in (torch, tf, jnp):
        assert BertConfig(dtype=getattr(framework, dtype)).dtype == dtype
        assert BertConfig(torch_dtype=getattr(framework, dtype)).dtype == dtype
    assert BertConfig(dtype=np.dtype("float32")).dtype == BertConfig(dtype=np.float32).dtype == "float32"


def test_equal_configs_have_equal_hashes_and_unequal_ones_differ():
    one, same = BertConfig.from_dict(NAMED_ENTITIES), BertConfig.from_dict(dict(reversed(NAMED_ENTITIES.items())))
    assert one == same and hash(one) == hash(same) and len({one, same}) == 1
    for name, value in ALL_CHANGED.items():
        if name in ("add_cross_attention", "num_labels", "label2id"):  # follow from others
            continue
        if name == "hidden_size":
            value = 768 * 2
        if name in ("architectures", "problem_type", "dtype", "bos_token_id", "eos_token_id", "id2label", "extra"):
            assert BertConfig(**{name: value}) != BertConfig(), name
        else:
            assert hash(BertConfig(**{name: value})) != hash(BertConfig()), name
    assert hash(BertConfig(**ALL_CHANGED)) == hash(BertConfig(**ALL_CHANGED))


@pytest.mark.parametrize("values", [{}, NAMED_ENTITIES], ids=["default", "labels"])
def test_it_pickles(values):
    config = BertConfig.from_dict(values)
    back = pickle.loads(pickle.dumps(config))
    assert back == config and hash(back) == hash(config)


WRONG = {
    "vocab_size": (0, "vocab_size is 0, expected an integer of at least 1"),
    "hidden_size": (768.0, "hidden_size is 768.0, expected an integer of at least 1"),
    "num_hidden_layers": (-1, "num_hidden_layers is -1, expected an integer of at least 0"),
    "num_attention_heads": ("12", "num_attention_heads is '12', expected an integer of at least 1"),
    "intermediate_size": (None, "intermediate_size is None, expected an integer of at least 1"),
    "max_position_embeddings": (True, "max_position_embeddings is True, expected an integer of at least 1"),
    "type_vocab_size": (0, "type_vocab_size is 0, expected an integer of at least 1"),
    "hidden_dropout_prob": (1.5, "hidden_dropout_prob is 1.5, expected a probability from 0 to 1"),
    "attention_probs_dropout_prob": (-0.1, "attention_probs_dropout_prob is -0.1, expected a probability from 0 to 1"),
    "classifier_dropout": ("0.1", "classifier_dropout is '0.1', expected a probability from 0 to 1"),
    "layer_norm_eps": (0, "layer_norm_eps is 0, expected a number above 0"),
    "initializer_range": (-1, "initializer_range is -1, expected a number of at least 0"),
    "position_embedding_type": (
        "rotary",
        "position_embedding_type is 'rotary', expected one of absolute, relative_key, relative_key_query",
    ),
    "problem_type": ("ranking", "problem_type is 'ranking', expected null or one of regression, "),
    "pad_token_id": ("0", "pad_token_id '0' is not an id below vocab_size"),
    "add_cross_attention": (True, "add_cross_attention is true but is_decoder is false"),
    "num_labels": (0, "num_labels is 0, expected an integer from 1"),
    "model_type": ("roberta", "model_type is 'roberta', BertConfig is of 'bert'"),
}


@pytest.mark.parametrize(("name", "value", "message"), [(name, *rest) for name, rest in WRONG.items()])
def test_a_value_out_of_its_range_is_told_with_what_was_expected(name, value, message):
    with pytest.raises(ValueError) as error:
        BertConfig(**{"pad_token_id": None, name: value})
    assert str(error.value).startswith(f"this BertConfig cannot be: {message}")
    assert ";" not in str(error.value)


def test_all_problems_are_in_one_error():
    with pytest.raises(ValueError) as error:
        BertConfig(**{name: value for name, (value, _) in WRONG.items()})
    assert [message for _, message in WRONG.values() if message not in str(error.value)] == []


@pytest.mark.parametrize(("size", "heads"), [(10, 3), (12, 24)])
def test_heads_must_divide_the_hidden_size(size, heads):
    with pytest.raises(ValueError, match=f"hidden_size {size} is not divisible by num_attention_heads {heads}"):
        BertConfig(hidden_size=size, num_attention_heads=heads)


def test_heads_that_do_not_divide_are_told_beside_other_problems():
    with pytest.raises(ValueError, match=r"vocab_size is 0.*hidden_size 10 is not divisible by num_attention_heads 3"):
        BertConfig(vocab_size=0, hidden_size=10, num_attention_heads=3)


@pytest.mark.parametrize("pad", [30522, "0", 1.0])
def test_a_padding_token_is_an_id_of_the_vocabulary(pad):
    with pytest.raises(ValueError, match=f"pad_token_id {pad!r} is not an id below vocab_size 30522"):
        BertConfig(pad_token_id=pad)
    assert BertConfig(pad_token_id=30521).pad_token_id == 30521
    assert BertConfig(pad_token_id=None).pad_token_id is None


@pytest.mark.parametrize("name", ["layer_norm_eps", "initializer_range", "hidden_dropout_prob"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        BertConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_labels", "3"), ("num_labels", 2.0), ("id2label", ["a"]), ("id2label", {"a": "b"}), ("label2id", ["a"])],
)
def test_labels_of_a_wrong_kind_are_an_error_that_names_field_and_file(name, value, tmp_path):
    with pytest.raises(ValueError, match=name):
        BertConfig(**{name: value})
    (tmp_path / "config.json").write_text(json.dumps({name: value}))
    with pytest.raises(ValueError, match=name) as error:
        BertConfig.from_json_file(tmp_path / "config.json")
    assert str(tmp_path / "config.json") in str(error.value)


def test_the_edges_of_every_range_are_allowed():
    BertConfig(num_hidden_layers=0, hidden_dropout_prob=0, attention_probs_dropout_prob=1, initializer_range=0)
    BertConfig(num_labels=1, classifier_dropout=0.0, layer_norm_eps=1e-30, type_vocab_size=1, vocab_size=1)


@pytest.mark.parametrize("content", [b"", b"{", b"{'a': 1}", b"\xff\xfe\x00"])
def test_a_file_that_is_no_json_is_named(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"not JSON|not UTF-8") as error:
        BertConfig.from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)


@pytest.mark.parametrize(("text", "kind"), [("[]", "list"), ("3", "int"), ("null", "NoneType"), ('"bert"', "str")])
def test_json_that_is_no_object_is_named(tmp_path, text, kind):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=f"expected a JSON object, found {kind}") as error:
        BertConfig.from_pretrained(tmp_path)
    assert str(tmp_path / "config.json") in str(error.value)


def test_a_config_that_cannot_be_names_its_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BASE_UNCASED | {"hidden_size": 770}))
    write_safetensors(tmp_path, {})
    with pytest.raises(ValueError, match="hidden_size 770 is not divisible") as error:
        bertx.load(tmp_path, backend="numpy")
    assert str(error.value).startswith(f"{tmp_path / 'config.json'}: ")


def test_an_absent_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        BertConfig.from_json_file(tmp_path / "config.json")


def test_replace_validates_and_leaves_the_original():
    config = BertConfig.from_dict(VERY_OLD)
    assert config.replace(hidden_size=384).hidden_size == 384 and config.hidden_size == 768
    assert config.replace(hidden_size=384).extra == config.extra
    with pytest.raises(ValueError, match="hidden_size 770"):
        config.replace(hidden_size=770)
    with pytest.raises(TypeError, match="no_such_field"):
        config.replace(no_such_field=1)


def test_a_new_number_of_labels_renames_them_and_the_old_number_does_not():
    config = BertConfig.from_dict(NAMED_ENTITIES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert config.replace(num_labels=7) == config
        fewer = config.replace(num_labels=3)
        assert config.replace(hidden_size=384).id2label == config.id2label
    assert (fewer.num_labels, fewer.id2label) == (3, {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"})
    assert fewer.label2id == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}


def test_new_labels_are_counted_again():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = BertConfig.from_dict(NAMED_ENTITIES).replace(id2label={0: "no", 1: "yes", 2: "maybe"})
    assert (config.num_labels, config.label2id) == (3, {"no": 0, "yes": 1, "maybe": 2})


# --- what transformers takes beside the usual -----------------------------------------------------

ODD = {
    "null flags": {"output_attentions": None, "output_hidden_states": None},
    "numbers as flags": {"output_attentions": 0, "output_hidden_states": 1, "return_dict": 1},
    "null return_dict": {"return_dict": None},
    "padding of -1": {"pad_token_id": -1},
    "no padding": {"pad_token_id": None},
    "problem type": {"problem_type": ""},
    "architectures": {"architectures": "BertForSequenceClassification"},
    "no architectures": {"architectures": []},
    "token ids": {"bos_token_id": -1, "eos_token_id": [1, -2]},
    "model type": {"model_type": None},
    "empty model type": {"model_type": ""},
    "dropout": {"classifier_dropout": 0, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0},
    "labels that are numbers": {"id2label": {"0": 0, "1": 1}, "label2id": {"0": 0, "1": 1}},
    "labels that are null": {"id2label": {"0": None, "1": 1.5}, "label2id": None},
    "label2id of strings": {"label2id": {"a": "0", "b": "1"}},
    "label ids with gaps": {"id2label": {"3": "a", "7": "b"}},
    "label ids below 0": {"id2label": {"-1": "a", "0": "b"}},
    "empty label2id": {"label2id": {}},
    "other": {"pruned_heads": None, "torchscript": False, "is_encoder_decoder": None, "chunk_size_feed_forward": 0},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
@pytest.mark.filterwarnings("ignore:.*pad_token_id")
def test_odd_fields_that_transformers_takes(tmp_path, changes):
    """The logits, and how many outputs there are, are those of transformers."""
    model = peer("BertForSequenceClassification", num_labels=2, num_hidden_layers=1)
    folder = save_peer(model, tmp_path)
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    theirs = transformers.BertForSequenceClassification(transformers.BertConfig.from_dict(values)).eval()
    theirs.load_state_dict(model.float().state_dict())
    ours = bertx_torch.BertForSequenceClassification.from_pretrained(folder)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        found, expected = ours(ids), theirs(ids)
    assert len(found) == len(expected) and isinstance(found, dict) == isinstance(expected, dict)
    assert (found[0] - expected[0]).abs().max() < 5e-6
    written = BertConfig.from_pretrained(folder)
    assert {i: str(label) for i, label in theirs.config.id2label.items()} == written.id2label
    assert BertConfig.from_dict(json.loads(written.to_json_string())) == written
    if changes.get("architectures") != [] and "BertForSequenceClassification" in str(values["architectures"]):
        assert bertx.load(folder, backend="numpy").architecture == "BertForSequenceClassification"


def test_a_config_without_labels_is_read(tmp_path):
    theirs = transformers.BertConfig(id2label={})
    assert BertConfig(id2label={}).num_labels == theirs.num_labels == 0
    folder = save_peer(peer("BertModel", num_hidden_layers=1), tmp_path)
    values = json.loads((folder / "config.json").read_text()) | {"id2label": {}}
    (folder / "config.json").write_text(json.dumps(values))
    assert bertx.load(folder, backend="numpy").config.num_labels == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pad_token_id", -30523),
        ("problem_type", "ranking"),
        ("use_cache", "no"),
        ("return_dict", 2),
        ("architectures", 5),
        ("position_embedding_type", None),
        ("id2label", {"1.5": "a"}),
        ("id2label", {1.5: "a"}),
        ("id2label", {"0": "a", "b": "c"}),
    ],
)
def test_odd_fields_that_change_results_stay_refused(name, value):
    with pytest.raises(ValueError, match=name):
        BertConfig(**{name: value})


# --- labels ---------------------------------------------------------------------------------------


def test_labels_that_are_numbers_are_their_names():
    """Case 09: transformers' pipeline gives the number as it is; here labels are strings."""
    model = bertx.load(CASES / "09_int_labels" / "token", backend="numpy")
    assert model.config.id2label == {0: "0", 1: "1", 2: "2"} and model.config.labels == ("0", "1", "2")
    found = model("hello world", aggregation="none")
    assert found and {entity["entity"] for entity in found} <= {"0", "1", "2"}
    assert "labels     0, 1, 2" in str(bertx.inspect(CASES / "09_int_labels" / "token"))


@pytest.mark.parametrize("ids", [(1, 2, 3), (0, 1, 3), (-1, 0, 1), (2, 1, 3)])
def test_label_ids_that_are_no_outputs_are_refused_by_the_task_alone(tmp_path, ids):
    shutil.copytree(CASES / "09_int_labels" / "from_1", tmp_path / "folder")
    values = json.loads((tmp_path / "folder" / "config.json").read_text())
    values |= {"id2label": dict(zip(map(str, ids), "abc", strict=True)), "label2id": dict(zip("abc", ids, strict=True))}
    (tmp_path / "folder" / "config.json").write_text(json.dumps(values))
    model = bertx.load(tmp_path / "folder", backend="numpy")
    assert model.forward([[1, 2]])["logits"].shape == (1, 3)
    numbers = ", ".join(map(str, sorted(ids)))
    with pytest.raises(
        bertx.CheckpointError, match=f"id2label has the ids {numbers}, and .* numbered from 0 to 2"
    ) as error:
        model("a text")
    assert str(tmp_path / "folder") in str(error.value)


def test_label_ids_in_another_order_are_the_outputs(tmp_path):
    shutil.copytree(CASES / "09_int_labels" / "from_1", tmp_path / "folder")
    values = json.loads((tmp_path / "folder" / "config.json").read_text())
    values |= {"id2label": {"2": "c", "0": "a", "1": "b"}, "label2id": None}
    (tmp_path / "folder" / "config.json").write_text(json.dumps(values))
    model = bertx.load(tmp_path / "folder", backend="numpy")
    logits = model.forward(model.tokenizer(["a text"], return_tensors="np")["input_ids"])["logits"][0]
    assert model("a text")["label"] == "abc"[logits.argmax()]


# --- from_pretrained, save_pretrained, to_json_file -----------------------------------------------


def test_from_pretrained_takes_changes_as_transformers_does(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(NAMED_ENTITIES))
    changes = {"num_labels": 3, "output_attentions": True, "hidden_dropout_prob": 0.5, "problem_type": "regression"}
    ours = BertConfig.from_pretrained(tmp_path, **changes, cache_dir=None, force_download=False)
    theirs = transformers.BertConfig.from_pretrained(tmp_path, **changes)
    for name in (*changes, "id2label", "label2id", "vocab_size"):
        assert getattr(ours, name) == getattr(theirs, name), name
    same = BertConfig.from_pretrained(tmp_path, num_labels=7)
    assert same.id2label == BertConfig.from_pretrained(tmp_path).id2label
    assert BertConfig.from_pretrained(tmp_path, id2label={0: "x"}).label2id == {"x": 0}
    assert BertConfig.from_pretrained(tmp_path, finetuning_task="ner").finetuning_task == "ner"
    for kwargs in ({"output_past": False, "foo": 1}, {"hidden_size": 384, "foo": 1}):
        ours, left = BertConfig.from_pretrained(tmp_path, **kwargs, return_unused_kwargs=True)
        theirs, unused = transformers.BertConfig.from_pretrained(tmp_path, **kwargs, return_unused_kwargs=True)
        assert left == unused == {"foo": 1}
        assert all(getattr(ours, name) == getattr(theirs, name) for name in kwargs if name != "foo")


@pytest.mark.parametrize(
    "argument", [{"cache_dir": "x"}, {"token": "secret"}, {"trust_remote_code": True}, {"subfolder": "a"}]
)
def test_arguments_of_the_hubs_client_are_refused_by_name(tmp_path, argument):
    (tmp_path / "config.json").write_text(json.dumps(BASE_UNCASED))
    with pytest.raises(TypeError, match=f"takes no {next(iter(argument))}") as error:
        BertConfig.from_pretrained(tmp_path, **argument)
    assert "secret" not in str(error.value)


def test_a_change_that_cannot_be_names_the_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BASE_UNCASED))
    with pytest.raises(bertx.CheckpointError, match="hidden_size 770") as error:
        BertConfig.from_pretrained(tmp_path, hidden_size=770)
    assert str(tmp_path / "config.json") in str(error.value)
    (tmp_path / "config.json").write_text(json.dumps(BASE_UNCASED | {"position_embedding_type": None}))
    assert BertConfig.from_pretrained(tmp_path, position_embedding_type="absolute").vocab_size == 30522


def test_a_config_is_saved_as_transformers_saves_it(tmp_path):
    config = BertConfig.from_dict(NAMED_ENTITIES)
    config.save_pretrained(tmp_path / "new" / "folder")
    config.to_json_file(tmp_path / "all.json")
    config.to_json_file(tmp_path / "diff.json", use_diff=True)
    for path in (tmp_path / "new" / "folder", tmp_path / "all.json", tmp_path / "diff.json"):
        assert BertConfig.from_pretrained(path) == config
        assert transformers.BertConfig.from_pretrained(path).id2label == config.id2label
    assert len(json.loads((tmp_path / "diff.json").read_text())) < len(json.loads((tmp_path / "all.json").read_text()))
    with pytest.raises(ValueError, match="push_to_hub: bertx uploads nothing"):
        config.save_pretrained(tmp_path / "other", push_to_hub=True)
    assert not (tmp_path / "other").exists()


def test_update_assigns_several_at_once():
    config = BertConfig()
    config.update({"hidden_size": 770, "num_attention_heads": 10, "mine": 1})
    assert (config.hidden_size, config.num_attention_heads, config.mine) == (770, 10, 1)
    with pytest.raises(ValueError, match="hidden_size 771"):
        config.update({"hidden_size": 771, "mine": 2})
    assert (config.hidden_size, config.mine) == (770, 1)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hidden_szie", "hidden_size"),
        ("layer_norm_epsilon", "layer_norm_eps"),
        ("num_layers", "num_hidden_layers"),
        ("n_heads", "num_attention_heads"),
        ("num_label", "num_labels"),
    ],
)
def test_a_misspelt_field_is_refused(tmp_path, name, meant):
    message = f"{name} is no field: did you mean {meant}"
    with pytest.raises(ValueError, match=message):
        BertConfig(**{name: 2})
    with pytest.raises(ValueError, match=message):
        BertConfig().update({name: 2})
    (tmp_path / "config.json").write_text(json.dumps(BASE_UNCASED | {name: 2}))
    with pytest.raises(bertx.CheckpointError, match=message):
        BertConfig.from_pretrained(tmp_path)


def test_keys_that_transformers_writes_are_no_misspelt_fields():
    kinds = [getattr(transformers, f"{name}Config") for name in ("Bert", "Roberta", "XLMRoberta")]
    keys = {key: value for kind in kinds for key, value in kind().to_dict().items() if key != "model_type"}
    older = ("_num_labels", "pooler_num_attention_heads", "pooler_type", "output_past", "finetuning_task", "num_beams")
    BertConfig(**keys, **dict.fromkeys(older, 1))
