"""The names of a format follow from the schema: a bijection over every head that it serves, and the real names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from format_support import HEADS, POOLED

from bertx import BertConfig
from bertx.registry import names_of, schema
from bertx_weights import FORMATS, schema_name
from bertx_weights.formats import flax, keras_hub, tensorflow, tf1, tf2
from bertx_weights.naming.layouts import LAYOUTS
from bertx_weights.naming.rules import naming_of, table_of
from bertx_weights.naming.tables import both_ways

MASKED_LM = {
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.dense.bias",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.transform.LayerNorm.bias",
    "cls.predictions.bias",
}
NEXT_SENTENCE = {"cls.seq_relationship.weight", "cls.seq_relationship.bias"}
CLASSIFIER = {"classifier.weight", "classifier.bias"}
QUESTION_ANSWERING = {"qa_outputs.weight", "qa_outputs.bias"}
EVERY_HEAD = MASKED_LM | NEXT_SENTENCE | CLASSIFIER | QUESTION_ANSWERING
RULES = {
    "tensorflow": tensorflow.RULE,
    "flax": flax.RULE,
    "keras-hub": keras_hub.RULE,
    "tf1": tf1.RULE,
    "tf2": tf2.RULE,
}
# model_type → format → stored name → [schema name, layout], as the real writers name them.
REAL = json.loads((Path(__file__).parents[1] / "fixtures" / "format_names.json").read_text())


def table(form, model_type="bert"):
    names = names_of({"model_type": model_type})
    return table_of(names, naming_of(form, names, Path("here")), RULES[form])


# format → (its table, what it has beside the encoder and the pooler)
TABLES = {
    "tensorflow": (table("tensorflow"), EVERY_HEAD),
    "flax": (table("flax"), EVERY_HEAD | {"cls.predictions.decoder.weight"}),
    "keras-hub": (table("keras-hub"), CLASSIFIER),
    "tf1": (table("tf1"), EVERY_HEAD),
    "tf2": (table("tf2"), set()),
}
SIZES = {"vocab_size": 41, "hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20, "num_labels": 5}
LAYERS = (1, 2, 12)


# What a layer has beside, in the formats that hold a decoder which attends to an encoder; 4.57's own files of such
# are in test_format_encoder_decoder.
CROSS = {"tensorflow", "flax", "tf1"}
OF_CROSS = 10


def rows_of(head, layers, tied=True, cross=False):
    """Schema name → shape, of the tensors that are stored once."""
    config = BertConfig(
        **SIZES | {"num_labels": 2 if head == "BertForQuestionAnswering" else 5},
        num_hidden_layers=layers,
        max_position_embeddings=19,
        type_vocab_size=3,
        tie_word_embeddings=tied,
        is_decoder=head == "BertLMHeadModel",
        add_cross_attention=cross,
    )
    return {schema_name(row.name): row.shape for row in schema(head, config) if row.tied_to is None}


def test_the_formats_without_a_table_keep_the_schemas_own_names():
    assert set(FORMATS) - set(TABLES) == {"safetensors", "pytorch", "npz", "orbax"}  # orbax has flax's


@pytest.mark.parametrize(("model_type", "form"), [(model, form) for model, forms in REAL.items() for form in forms])
def test_the_rule_gives_the_real_names(model_type, form):
    found = {stored: [name, layout] for stored, name, layout in table(form, model_type)}
    cross = [stored for stored in found if "crossattention" in stored]
    assert len(cross) == (OF_CROSS if form in CROSS else 0)
    assert {stored: found[stored] for stored in found.keys() - {*cross}} == REAL[model_type][form]


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("form", TABLES)
def test_a_table_is_a_bijection_over_the_schema(form, layers):
    names, of_heads = TABLES[form]
    reading, writing = both_ways(names, layers)
    rows = {}
    for head in HEADS:
        rows |= rows_of(head, layers)
    rows |= rows_of("BertForMaskedLM", layers, tied=False)
    if form in CROSS:
        rows |= rows_of("BertLMHeadModel", layers, cross=True)
    encoder = {name for name in rows if name.startswith("bert.")}
    assert set(writing) == encoder | of_heads
    assert len(reading) == len(writing) == 5 + (16 + OF_CROSS * (form in CROSS)) * layers + 2 + len(of_heads)
    for name, (stored, layout) in writing.items():
        assert reading[stored] == (name, layout)
    for stored, (name, layout) in reading.items():
        assert writing[name] == (stored, layout)


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("form", TABLES)
def test_a_table_serves_whole_heads(form, layers):
    names, _ = TABLES[form]
    _, writing = both_ways(names, layers)
    served = {head for head in HEADS if set(rows_of(head, layers)) <= set(writing)}
    expected = {
        "keras-hub": {head for head in POOLED if "Classification" in head or "Choice" in head or head == "BertModel"}
        | {"BertForTokenClassification"},  # refused for want of a pooler, not of names
        "tf2": {"BertModel"},
    }
    assert served == expected.get(form, set(HEADS))


@pytest.mark.parametrize("form", TABLES)
def test_a_layout_is_the_one_of_the_tensors_axes(form):
    _, writing = both_ways(TABLES[form][0], 2)
    rows = {name: shape for head in HEADS for name, shape in rows_of(head, 2).items()}
    rows |= rows_of("BertForMaskedLM", 2, tied=False) | rows_of("BertLMHeadModel", 2, cross=True)
    for name, (stored, layout) in writing.items():
        array = np.arange(np.prod(rows[name]), dtype=np.float32).reshape(rows[name])
        saved = LAYOUTS[layout].save(array, SIZES["num_attention_heads"])
        assert LAYOUTS[layout].axes in (None, saved.ndim), stored
        assert LAYOUTS[layout].shape(saved.shape) == rows[name], stored
        np.testing.assert_array_equal(LAYOUTS[layout].load(saved), array, err_msg=stored)
        # What multiplies from the right in the schema multiplies from the left there; embeddings, biases stay.
        if layout != "same":
            assert name.endswith((".weight", ".bias")) and "embeddings" not in name and "LayerNorm" not in name


# H hidden 6, N heads 3, D head size 2: every way of a weight [out, in] to be stored, worked out by hand.
WEIGHT = np.arange(36, dtype=np.float32).reshape(6, 6)


def test_the_layouts_by_hand():
    heads = LAYOUTS["to heads"].save(WEIGHT, 3)
    assert heads.shape == (6, 3, 2)
    assert heads[4, 2, 1] == WEIGHT[2 * 2 + 1, 4]  # [in, head, within it] is [out, in]
    out = LAYOUTS["from heads"].save(WEIGHT, 3)
    assert out.shape == (3, 2, 6)
    assert out[2, 1, 4] == WEIGHT[4, 2 * 2 + 1]
    assert LAYOUTS["heads"].save(WEIGHT[0], 3).tolist() == [[0, 1], [2, 3], [4, 5]]
    kernel = LAYOUTS["kernel"].save(np.arange(12).reshape(3, 4), 3)
    assert kernel.shape == (4, 3) and kernel[3, 2] == 11 and kernel[3, 0] == 3
    assert LAYOUTS["same"].save(WEIGHT, 3) is WEIGHT


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("heads", [1, 2, 3, 12])
def test_layouts_are_inverses(layout, heads):
    shape = {"heads": (12,), "kernel": (20, 12)}.get(layout, (12, 12))
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    saved = LAYOUTS[layout].save(array, heads)
    loaded = LAYOUTS[layout].load(saved)
    assert loaded.tobytes() == array.tobytes() and loaded.shape == LAYOUTS[layout].shape(saved.shape) == shape
    np.testing.assert_array_equal(LAYOUTS[layout].save(loaded, heads), saved)


def test_two_rows_of_one_name_are_no_table():
    with pytest.raises(AssertionError, match="the same name"):
        both_ways((("a/{i}", "x.{i}", "same"), ("b", "x.0", "same")), 2)


def test_the_numbers_in_a_name():
    names = (("{i}-{i4}-{end4}-layer{_i}", "x.{i}", "same"),)
    assert list(both_ways(names, 3)[0]) == ["0-4-7-layer", "1-5-7-layer_1", "2-6-7-layer_2"]
