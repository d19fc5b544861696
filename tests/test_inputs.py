from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bertx
from bertx.configs.bert import BertConfig
from bertx.inputs import check_inputs
from support import BACKENDS, BATCH, HEADS, LENGTH, SIZES, batch, labels, peer, save_peer

VOCAB, TYPES, POSITIONS = SIZES["vocab_size"], SIZES["type_vocab_size"], SIZES["max_position_embeddings"]
HIDDEN, LABELS = SIZES["hidden_size"], SIZES["num_labels"]
OK = np.ones((2, 4), np.int64)
EMBEDS = np.zeros((2, 4, HIDDEN), np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folders, loaded = {}, {}

    def get(head: str, backend: str):
        if head not in folders:
            folders[head] = save_peer(peer(head), tmp_path_factory.mktemp(head))
        if (head, backend) not in loaded:
            loaded[head, backend] = bertx.load(folders[head], backend=backend)
        return loaded[head, backend]

    return get


def with_value(value, place=(1, 2), shape=(2, 4), dtype=np.int64):
    array = np.ones(shape, dtype)
    array[place] = value
    return array


# What is given, and all that the one error says of it.
TOKEN_PROBLEMS = {
    "id too large": (
        {"input_ids": with_value(VOCAB)},
        ["input_ids[1, 2] is 131, expected 0 to 130 (vocab_size is 131)"],
    ),
    "id negative": ({"input_ids": with_value(-1)}, ["input_ids[1, 2] is -1, expected 0 to 130 (vocab_size is 131)"]),
    "id negative of a small dtype": (
        {"input_ids": with_value(-1, dtype=np.int8)},
        ["input_ids[1, 2] is -1, expected 0 to 130 (vocab_size is 131)"],
    ),
    "id past 32 bits": (
        {"input_ids": with_value(2**32 + 1)},
        ["input_ids[1, 2] is 4294967297, expected 0 to 130 (vocab_size is 131)"],
    ),
    "id past 63 bits": (
        {"input_ids": with_value(2**64 - 1, dtype=np.uint64)},
        ["input_ids[1, 2] is 18446744073709551615, expected 0 to 130 (vocab_size is 131)"],
    ),
    "many ids": (
        {"input_ids": np.full((2, 4), 500)},
        ["input_ids[0, 0] is 500, expected 0 to 130 (vocab_size is 131); 8 such in all"],
    ),
    "type too large": (
        {"input_ids": OK, "token_type_ids": with_value(TYPES)},
        ["token_type_ids[1, 2] is 3, expected 0 to 2 (type_vocab_size is 3)"],
    ),
    "type negative": (
        {"input_ids": OK, "token_type_ids": with_value(-1)},
        ["token_type_ids[1, 2] is -1, expected 0 to 2 (type_vocab_size is 3)"],
    ),
    "position too large": (
        {"input_ids": OK, "position_ids": with_value(POSITIONS)},
        ["position_ids[1, 2] is 37, expected 0 to 36 (max_position_embeddings is 37)"],
    ),
    "position negative": (
        {"input_ids": OK, "position_ids": with_value(-1, (0, 3), (1, 4))},
        ["position_ids[0, 3] is -1, expected 0 to 36 (max_position_embeddings is 37)"],
    ),
    "too long": (
        {"input_ids": np.ones((2, 38), np.int64)},
        ["a sequence of 38 tokens is longer than max_position_embeddings 37: truncate it or split it into windows"],
    ),
    "embeddings too long": (
        {"inputs_embeds": np.zeros((1, 38, HIDDEN))},
        ["a sequence of 38 tokens is longer than max_position_embeddings 37: truncate it or split it into windows"],
    ),
    "mask of another length": (
        {"input_ids": OK, "attention_mask": np.ones((2, 5))},
        ["attention_mask is float64 [2, 5], expected [2, 4]"],
    ),
    "mask of another batch": (
        {"input_ids": OK, "attention_mask": np.ones((1, 4), np.int32)},
        ["attention_mask is int32 [1, 4], expected [2, 4]"],
    ),
    "mask of rank 4": (
        {"input_ids": OK, "attention_mask": np.ones((2, 1, 1, 4), bool)},
        ["attention_mask is bool [2, 1, 1, 4], expected [2, 4]"],
    ),
    "types of another shape": (
        {"input_ids": OK, "token_type_ids": np.ones((4, 2), np.int64)},
        ["token_type_ids is int64 [4, 2], expected [2, 4]"],
    ),
    "positions of another shape": (
        {"input_ids": OK, "position_ids": np.arange(4)},
        ["position_ids is int64 [4], expected [2, 4]"],
    ),
    "rank 1": ({"input_ids": np.ones(4, np.int64)}, ["input_ids is int64 [4], expected [B, T]"]),
    "rank 3": ({"input_ids": np.ones((2, 3, 4), np.int64)}, ["input_ids is int64 [2, 3, 4], expected [B, T]"]),
    "rank 0": ({"input_ids": 3}, ["input_ids is int64 [], expected [B, T]"]),
    "no rows": ({"input_ids": np.ones((0, 4), np.int64)}, ["the batch is empty: [0, 4] for [B, T]"]),
    "no tokens": ({"input_ids": np.ones((2, 0), np.int64)}, ["the batch is empty: [2, 0] for [B, T]"]),
    "no embeddings": ({"inputs_embeds": np.ones((0, 4, HIDDEN))}, ["the batch is empty: [0, 4] for [B, T]"]),
    "float ids": ({"input_ids": OK.astype(np.float32)}, ["input_ids is float32, expected integers"]),
    "float types": (
        {"input_ids": OK, "token_type_ids": OK.astype(float)},
        ["token_type_ids is float64, expected integers"],
    ),
    "words for ids": ({"input_ids": [["hello"]]}, ["input_ids is <U5, expected integers"]),
    "both": ({"input_ids": OK, "inputs_embeds": EMBEDS}, ["give exactly one of input_ids and inputs_embeds"]),
    "neither": ({"attention_mask": OK}, ["give exactly one of input_ids and inputs_embeds"]),
    "nothing": ({}, ["give exactly one of input_ids and inputs_embeds"]),
    "embeddings of another width": (
        {"inputs_embeds": np.zeros((2, 4, 47))},
        ["inputs_embeds is float64 [2, 4, 47], expected [B, T, 48]"],
    ),
    "embeddings of rank 2": (
        {"inputs_embeds": np.zeros((2, HIDDEN))},
        ["inputs_embeds is float64 [2, 48], expected [B, T, 48]"],
    ),
    "integer embeddings": (
        {"inputs_embeds": np.zeros((2, 4, HIDDEN), int)},
        ["inputs_embeds is int64, expected a floating dtype"],
    ),
    "several": (
        {
            "input_ids": with_value(VOCAB),
            "attention_mask": np.ones((2, 5), np.int64),
            "token_type_ids": with_value(-1, (0, 0)),
            "position_ids": OK.astype(np.float64),
        },
        [
            "input_ids[1, 2] is 131, expected 0 to 130 (vocab_size is 131)",
            "attention_mask is int64 [2, 5], expected [2, 4]",
            "token_type_ids[0, 0] is -1, expected 0 to 2 (type_vocab_size is 3)",
            "position_ids is float64, expected integers",
        ],
    ),
}
LABEL_PROBLEMS = {
    ("BertForMaskedLM", "too large"): (
        {"labels": with_value(VOCAB)},
        "labels[1, 2] is 131, expected 0 to 130 (vocab_size",
    ),
    ("BertForMaskedLM", "negative"): ({"labels": with_value(-1)}, "labels[1, 2] is -1, expected 0 to 130 (vocab_size"),
    ("BertForMaskedLM", "shape"): ({"labels": np.ones(2, int)}, "labels is int64 [2], expected [2, 4]"),
    ("BertLMHeadModel", "too large"): (
        {"labels": with_value(VOCAB)},
        "labels[1, 2] is 131, expected 0 to 130 (vocab_size",
    ),
    ("BertForTokenClassification", "too large"): (
        {"labels": with_value(LABELS)},
        "labels[1, 2] is 5, expected 0 to 4 (num_labels is 5)",
    ),
    ("BertForTokenClassification", "float"): ({"labels": OK * 1.0}, "labels is float64, expected integers"),
    ("BertForSequenceClassification", "too large"): (
        {"labels": [0, LABELS]},
        "labels[1] is 5, expected 0 to 4 (num_labels is 5)",
    ),
    ("BertForSequenceClassification", "shape"): ({"labels": [0, 1, 2]}, "labels is int64 [3], expected [2]"),
    ("BertForSequenceClassification", "float shape"): (
        {"labels": [0.5, 1.0]},
        "labels is float64 [2], expected [2, 5]",
    ),
    ("BertForNextSentencePrediction", "too large"): ({"labels": [0, 2]}, "labels[1] is 2, expected 0 to 1"),
    ("BertForPreTraining", "next sentence"): (
        {"labels": OK, "next_sentence_label": [0, 2]},
        "next_sentence_label[1] is 2, expected 0 to 1",
    ),
    ("BertForQuestionAnswering", "shape"): (
        {"start_positions": [1, 1], "end_positions": [1, 1, 1]},
        "end_positions is int64 [3], expected [2]",
    ),
    ("BertForQuestionAnswering", "float"): (
        {"start_positions": [1.5, 2.0], "end_positions": [1, 1]},
        "start_positions is float64, expected integers",
    ),
}
CHOICE_PROBLEMS = {
    "rank 2": ({"input_ids": OK}, "input_ids is int64 [2, 4], expected [B, C, T]"),
    "no choices": ({"input_ids": np.ones((2, 0, 4), int)}, "the batch is empty: [2, 0, 4] for [B, C, T]"),
    "mask of a matrix": (
        {"input_ids": np.ones((2, 3, 4), int), "attention_mask": np.ones((2, 3, 4, 4), int)},
        "attention_mask is int64 [2, 3, 4, 4], expected [2, 3, 4]",
    ),
    "label": (
        {"input_ids": np.ones((2, 3, 4), int), "labels": [0, 3]},
        "labels[1] is 3, expected 0 to 2",
    ),
}


PAIR = (np.zeros((2, 6, 3, 8), np.float32),) * 2
PAST_PROBLEMS = {
    "another batch": (
        {"past_key_values": ((PAIR[0][:1],) * 2,) * 3},
        "past_key_values is 3 of [[1, 6, 3, 8], [1, 6, 3, 8]], expected 3 pairs of [2, 6, 3, 8]",
    ),
    "too few layers": (
        {"past_key_values": (PAIR,) * 2},
        "past_key_values is 2 of [[2, 6, 3, 8], [2, 6, 3, 8]], expected 3 pairs of [2, 6, 3, 8]",
    ),
    "another length of the values": (
        {"past_key_values": ((PAIR[0], PAIR[0][:, :, 1:]),) * 3},
        "past_key_values is 3 of [[2, 6, 3, 8], [2, 6, 2, 8]], expected 3 pairs of [2, 6, 3, 8]",
    ),
    "no pairs": (
        {"past_key_values": PAIR},
        "past_key_values is 2 of [[6, 3, 8], [6, 3, 8]], expected 3 pairs of [2, 6, P, 8]",
    ),
    "a mask of what is new alone": (
        {"past_key_values": (PAIR,) * 3, "attention_mask": OK},
        "attention_mask is int64 [2, 4], expected [2, 7]",
    ),
    "too long": (
        {"past_key_values": ((np.zeros((2, 6, 34, 8), np.float32),) * 2,) * 3},
        "a sequence of 38 tokens is longer than max_position_embeddings 37",
    ),
}


def refused(model, inputs) -> str:
    with pytest.raises(ValueError) as error:
        model.forward(**inputs)
    return str(error.value)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("inputs", "problems"), TOKEN_PROBLEMS.values(), ids=TOKEN_PROBLEMS)
def test_inputs_that_cannot_be_are_refused_with_the_same_words(models, backend, inputs, problems):
    expected = "BertForMaskedLM cannot run on these inputs: " + "; ".join(problems)
    assert refused(models("BertForMaskedLM", backend), inputs) == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_lists_of_different_length_are_refused_by_name(models, backend):
    message = refused(models("BertForMaskedLM", backend), {"input_ids": [[1, 2], [3]]})
    assert message.startswith("BertForMaskedLM cannot run on these inputs: ") and "input_ids" in message


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mask_of_words_is_refused_by_name(models, backend):
    message = refused(models("BertForMaskedLM", backend), {"input_ids": OK, "attention_mask": np.full((2, 4), "yes")})
    assert message.startswith("BertForMaskedLM cannot run on these inputs: attention_mask is <U3, expected ")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("key", "case"), LABEL_PROBLEMS.items(), ids=[" ".join(key) for key in LABEL_PROBLEMS])
def test_labels_that_cannot_be_are_refused_with_the_same_words(models, backend, key, case):
    given_labels, problem = case
    message = refused(models(key[0], backend), {"input_ids": OK, **given_labels})
    assert message.startswith(f"{key[0]} cannot run on these inputs: {problem}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("inputs", "problem"), CHOICE_PROBLEMS.values(), ids=CHOICE_PROBLEMS)
def test_multiple_choice_takes_three_dimensions(models, backend, inputs, problem):
    assert refused(models("BertForMultipleChoice", backend), inputs).partition("inputs: ")[2].startswith(problem)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("inputs", "problem"), PAST_PROBLEMS.values(), ids=PAST_PROBLEMS)
def test_a_past_that_does_not_fit(models, backend, inputs, problem):
    message = refused(models("BertLMHeadModel", backend), {"input_ids": OK, **inputs})
    assert message.startswith(f"BertLMHeadModel cannot run on these inputs: {problem}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_past_needs_a_causal_model(models, backend):
    message = refused(models("BertModel", backend), {"input_ids": OK, "past_key_values": (PAIR,) * 3})
    assert message.endswith("past_key_values need a causal model, and is_decoder is false in the config")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("head", "name", "takes"),
    [
        ("BertForMaskedLM", "lables", "inputs_embeds, labels, mask_positions; it was given lables"),
        (
            "BertForMaskedLM",
            "next_sentence_label",
            "inputs_embeds, labels, mask_positions; it was given next_sentence_label",
        ),
        ("BertModel", "labels", "inputs_embeds, past_key_values; it was given labels"),
        ("BertForMaskedLM", "past_key_values", "labels, mask_positions; it was given past_key_values"),
        ("BertForQuestionAnswering", "labels", "start_positions, end_positions; it was given labels"),
    ],
)
def test_an_argument_that_the_head_does_not_take_is_an_error(models, backend, head, name, takes):
    with pytest.raises(TypeError, match=re.escape(takes) + "$") as error:
        models(head, backend).forward(OK, **{name: OK})
    assert str(error.value).startswith(f"{head} takes input_ids, attention_mask, token_type_ids, position_ids, ")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_largest_ids_and_the_longest_sequence_are_allowed(models, backend):
    ids = np.full((1, POSITIONS), VOCAB - 1)
    outputs = models("BertForMaskedLM", backend).forward(
        ids, token_type_ids=np.full_like(ids, TYPES - 1), position_ids=np.full_like(ids, POSITIONS - 1)
    )
    assert np.isfinite(outputs["logits"]).all() and outputs["logits"].shape == (1, POSITIONS, VOCAB)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_dtype_of_a_mask_or_an_id_changes_nothing(models, backend):
    model, ids = models("BertForMaskedLM", backend), np.arange(8).reshape(2, 4)
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]])
    expected = model.forward(ids, attention_mask=mask)["logits"]
    for dtype in (bool, np.uint8, np.int32, np.float16, np.float32, np.float64, np.int64):
        assert np.array_equal(model.forward(ids, attention_mask=mask.astype(dtype))["logits"], expected), dtype
    for dtype in (np.uint8, np.int16, np.uint64):
        assert np.array_equal(model.forward(ids.astype(dtype), attention_mask=mask)["logits"], expected), dtype
    assert np.array_equal(model.forward(ids.tolist(), attention_mask=mask.tolist())["logits"], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_labels_of_two_dtypes_can_follow_each_other(models, backend):
    model = models("BertForSequenceClassification", backend)
    classes, several = np.array([1, 4]), np.eye(LABELS, dtype=np.float32)[[1, 4]]
    first = model.forward(OK, labels=several)["loss"]
    assert np.isfinite(model.forward(OK, labels=classes)["loss"])
    assert np.array_equal(model.forward(OK, labels=several)["loss"], first)
    assert model.config.problem_type is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_row_of_positions_holds_for_the_whole_batch(models, backend):
    model, row = models("BertForMaskedLM", backend), np.array([[3, 0, 36, 7]])
    expected = model.forward(OK, position_ids=np.repeat(row, 2, 0))["logits"]
    assert np.allclose(model.forward(OK, position_ids=row)["logits"], expected, atol=1e-6)
    assert not np.allclose(model.forward(OK)["logits"], expected, atol=1e-2)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("padding", [None, "left", "right"])
def test_ordinary_batches_with_labels_pass_every_head(head, padding):
    inputs = {**batch(head, padding), **labels(head)}
    config = BertConfig(**SIZES)
    checked = check_inputs(head, config, inputs)
    assert set(checked) == set(inputs)
    assert all(np.array_equal(checked[name], value) for name, value in inputs.items())


def test_labels_that_are_not_counted_are_allowed():
    config = BertConfig(**SIZES)
    for head in ("BertForMaskedLM", "BertForTokenClassification"):
        check_inputs(head, config, {"input_ids": OK, "labels": np.full((2, 4), -100)})
    check_inputs("BertForSequenceClassification", config, {"input_ids": OK, "labels": [-100, 4]})
    check_inputs(
        "BertForQuestionAnswering", config, {"input_ids": OK, "start_positions": [99, 0], "end_positions": [4, -1]}
    )


@pytest.mark.parametrize(
    ("problem_type", "num_labels", "given_labels", "allowed"),
    [
        ("regression", 1, np.zeros(2), True),
        ("regression", 1, np.zeros((2, 1)), True),
        (None, 1, np.zeros(2), True),
        ("regression", 3, np.zeros((2, 3)), True),
        ("regression", 3, np.zeros(2), False),
        ("multi_label_classification", 3, np.zeros((2, 3)), True),
        ("multi_label_classification", 3, np.zeros(2), False),
        (None, 3, np.zeros((2, 3)), True),
        (None, 3, np.zeros((2, 3), int), False),
        ("single_label_classification", 3, np.array([0, 2]), True),
        ("single_label_classification", 3, np.array([0.0, 2.0]), False),
        ("single_label_classification", 3, np.array([0, 3]), False),
    ],
)
def test_the_problem_type_says_which_labels_are_taken(problem_type, num_labels, given_labels, allowed):
    config = BertConfig(**SIZES | {"num_labels": num_labels}, problem_type=problem_type)
    inputs = {"input_ids": OK, "labels": given_labels}
    if allowed:
        checked = check_inputs("BertForSequenceClassification", config, inputs)["labels"]
        assert np.array_equal(checked, given_labels)
    else:
        with pytest.raises(ValueError, match="labels"):
            check_inputs("BertForSequenceClassification", config, inputs)


def test_arguments_that_are_none_are_left_out():
    checked = check_inputs("BertModel", BertConfig(**SIZES), {"input_ids": OK, "attention_mask": None})
    assert set(checked) == {"input_ids"}


@st.composite
def valid_batches(draw):
    config = BertConfig(
        vocab_size=draw(st.integers(1, 200)),
        hidden_size=draw(st.integers(1, 5)) * 4,
        num_attention_heads=4,
        max_position_embeddings=draw(st.integers(1, 30)),
        type_vocab_size=draw(st.integers(1, 4)),
    )
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, config.max_position_embeddings)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    integers = draw(st.sampled_from([np.uint8, np.int16, np.int32, np.int64, np.uint64]))

    def ids(limit, size=shape):
        return generator.integers(0, limit, size).astype(integers)

    inputs = {}
    if draw(st.booleans()):
        inputs["input_ids"] = ids(config.vocab_size)
    else:
        inputs["inputs_embeds"] = generator.normal(size=(*shape, config.hidden_size)).astype(np.float32)
    if draw(st.booleans()):
        dtype = draw(st.sampled_from([bool, np.int64, np.float32]))
        square = draw(st.booleans())
        inputs["attention_mask"] = generator.integers(0, 2, (*shape, shape[1]) if square else shape).astype(dtype)
    if draw(st.booleans()):
        inputs["token_type_ids"] = ids(config.type_vocab_size)
    if draw(st.booleans()):
        inputs["position_ids"] = ids(config.max_position_embeddings, draw(st.sampled_from([shape, (1, shape[1])])))
    if draw(st.booleans()):
        inputs["labels"] = generator.integers(-1, config.vocab_size, shape)
        inputs["labels"][inputs["labels"] == -1] = -100
    return config, inputs


@given(valid_batches())
@settings(max_examples=200, deadline=None, database=None)
def test_any_valid_batch_passes_unchanged(case):
    config, inputs = case
    before = {name: value.copy() for name, value in inputs.items()}
    checked = check_inputs("BertForMaskedLM", config, inputs)
    assert set(checked) == set(inputs)
    for name, value in before.items():
        assert np.array_equal(inputs[name], value) and np.array_equal(checked[name], value), name
        counts = value.dtype.kind in "iub" or name == "attention_mask"
        assert checked[name].dtype == (np.int64 if counts else value.dtype), name


@given(valid_batches(), st.data())
@settings(max_examples=200, deadline=None, database=None)
def test_one_id_out_of_range_anywhere_is_found(case, data):
    config, inputs = case
    limits = {"input_ids": config.vocab_size, "token_type_ids": config.type_vocab_size}
    limits["position_ids"] = config.max_position_embeddings
    name = data.draw(st.sampled_from(sorted(limits.keys() & inputs.keys() | {"labels"})))
    limit = limits.get(name, config.vocab_size)
    spoiled = inputs.get(name, np.zeros(next(iter(inputs.values())).shape[:2])).astype(np.int64)
    place = tuple(data.draw(st.integers(0, size - 1)) for size in spoiled.shape)
    spoiled[place] = data.draw(st.sampled_from([-1, -(2**40), limit, 2**40]))
    with pytest.raises(
        ValueError, match=re.escape(f"{name}{list(place)} is {spoiled[place]}, expected 0 to {limit - 1}")
    ):
        check_inputs("BertForMaskedLM", config, inputs | {name: spoiled})


def test_the_sizes_of_the_cases_above_are_those_of_the_model():
    assert (VOCAB, TYPES, POSITIONS, HIDDEN, LABELS) == (131, 3, 37, 48, 5) and BATCH > 1 and LENGTH <= POSITIONS


# --- padding without a mask -----------------------------------------------------------------------


@pytest.mark.parametrize("pad", [0, 7, None, -1])
def test_padding_without_a_mask_is_logged_where_transformers_logs_it(caplog, tmp_path, pad):
    from bertx import inputs

    save_peer(peer("BertModel", num_hidden_layers=1, pad_token_id=pad), tmp_path)
    model = bertx.load(tmp_path, backend="numpy")
    other = 3 if pad is None or pad < 0 else pad
    for ids, warned in (
        ([[5, 6, other]], True),
        ([[5, 6, 8], [other, 6, 8]], True),
        ([[5, other, 8]], False),
    ):
        inputs._log_missing_mask.cache_clear()
        caplog.clear()
        model.forward(ids)
        model.forward(ids)
        messages = [record.getMessage() for record in caplog.records if record.name == "bertx"]
        assert len(messages) == (warned and pad is not None and pad >= 0)
        assert all("there is no attention_mask" in message for message in messages)
        caplog.clear()
        inputs._log_missing_mask.cache_clear()
        model.forward(ids, np.ones_like(ids))
        assert not caplog.records
