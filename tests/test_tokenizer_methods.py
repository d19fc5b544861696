"""The methods of transformers' tokenizers that people's scripts, its Trainer, collators and pipelines call."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest
import transformers
from tokenizers import AddedToken

from bertx.tokenizers.bert import BertTokenizer
from bertx.tokenizers.encoding import BatchEncoding, CharSpan, TokenSpan

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "<blank>", "un", "##want", "##ed", "a", "dog"]
VOCABULARY += ["runs", "b", "##s", ",", "!"]
TEXT, SECOND = "a dog, unwanted!", "b runs <e1>dog</e1> [MASK]"


@pytest.fixture
def both(tmp_path):
    """Ours and theirs of one small vocabulary; each test has its own."""
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))
    return BertTokenizer.from_pretrained(tmp_path), transformers.BertTokenizer.from_pretrained(tmp_path)


def test_special_tokens_are_added_by_name_and_as_a_list(both):
    for replace in (True, False):
        found = []
        for tokenizer in copy.deepcopy(both):
            named = {"pad_token": "<pad>", "additional_special_tokens": ["<e1>", AddedToken("</e1>", lstrip=True)]}
            tokenizer.add_special_tokens(named)
            tokenizer.add_special_tokens({"extra_special_tokens": ["<e2>"]}, replace_extra_special_tokens=replace)
            tokenizer.add_tokens(["NewWord"])
            found.append(
                [
                    len(tokenizer),
                    tokenizer.pad_token_id,
                    tokenizer.extra_special_tokens,
                    tokenizer.extra_special_tokens_ids,
                    tokenizer.all_special_tokens,
                    tokenizer.all_special_ids,
                    tokenizer.special_tokens_map,
                    tokenizer.get_added_vocab(),
                    tokenizer.added_tokens_encoder,
                    {i: str(token) for i, token in tokenizer.added_tokens_decoder.items()},
                    tokenizer.vocab,
                    tokenizer.is_fast,
                    dict(tokenizer([TEXT, SECOND + " NEWWORD"], padding=True)),
                    tokenizer.get_special_tokens_mask(tokenizer(SECOND)["input_ids"], already_has_special_tokens=True),
                    tokenizer.convert_ids_to_tokens(tokenizer(SECOND)["input_ids"], skip_special_tokens=True),
                    tokenizer.decode(tokenizer(SECOND)["input_ids"], skip_special_tokens=True),
                ]
            )
        assert found[0] == found[1]
        assert ("<e1>" in found[0][-2]) == replace and len(found[0][2]) == (1 if replace else 3)


def test_additional_special_tokens_are_the_extra_ones(both):
    ours, _ = both
    ours.add_special_tokens({"additional_special_tokens": ["<e1>"]})
    assert ours.additional_special_tokens == ours.extra_special_tokens == ["<e1>"]
    assert ours.additional_special_tokens_ids == [len(VOCABULARY)]
    ours.add_special_tokens({"additional_special_tokens": ["<e2>"]}, replace_additional_special_tokens=False)
    assert ours.additional_special_tokens == ["<e1>", "<e2>"]
    ours.additional_special_tokens = ["[unused0]"]
    assert ours.all_special_tokens[-1] == "[unused0]"


@pytest.mark.parametrize("name", ["pad_token", "mask_token", "unk_token", "cls_token", "sep_token", "eos_token"])
def test_a_special_token_that_is_assigned_takes_effect(both, name):
    ours, theirs = both
    for tokenizer in both:
        setattr(tokenizer, name, "[unused0]")
    assert getattr(ours, name) == "[unused0]" and getattr(ours, f"{name}_id") == 5
    assert ours.all_special_ids == theirs.all_special_ids and ours.special_tokens_map == theirs.special_tokens_map
    ids = ours(["a zzz", "a dog runs !"], padding=True)["input_ids"]
    assert ids[0] == {
        "pad_token": [2, 10, 1, 3, 5, 5],
        "unk_token": [2, 10, 5, 3, 0, 0],
        "cls_token": [5, 10, 1, 3, 0, 0],
        "sep_token": [2, 10, 1, 5, 0, 0],
    }.get(name, [2, 10, 1, 3, 0, 0])
    # By id, in a copy, and saved.
    setattr(ours, f"{name}_id", 6)
    for again in (ours, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert getattr(again, name) == "<blank>"


def test_an_assigned_token_is_saved(both, tmp_path):
    ours, _ = both
    ours.pad_token = "[unused0]"
    ours.save_pretrained(tmp_path / "saved")
    for reader in (BertTokenizer, transformers.AutoTokenizer):
        again = reader.from_pretrained(tmp_path / "saved")
        assert again(["a", "a a"], padding=True)["input_ids"] == [[2, 10, 3, 5], [2, 10, 10, 3]]


def test_what_is_no_special_token_is_an_error(both):
    ours, _ = both
    with pytest.raises(ValueError, match=r"pad_token is '<p>', which the vocabulary lacks: add_special_tokens"):
        ours.pad_token = "<p>"
    with pytest.raises(ValueError, match=r"mask_token_id is 99, and the vocabulary has no such id"):
        ours.mask_token_id = 99
    with pytest.raises(ValueError, match=r"cls_token is None, and every text needs one"):
        ours.cls_token = None
    with pytest.raises(ValueError, match=r"no special tokens are called paddle_token, expected among bos_token"):
        ours.add_special_tokens({"paddle_token": "x"})
    with pytest.raises(ValueError, match=r"additional_special_tokens is '<e>', expected a list"):
        ours.add_special_tokens({"additional_special_tokens": "<e>"})
    with pytest.raises(ValueError, match=r"pad_token is 3, expected a string or an AddedToken"):
        ours.add_special_tokens({"pad_token": 3})
    assert len(ours) == len(VOCABULARY) and ours.pad_token == "[PAD]"


def test_words_tokens_and_characters_lead_to_each_other(both):
    ours, theirs = (tokenizer([TEXT, "dog"], [SECOND, "a"]) for tokenizer in both)
    assert ours.is_fast and ours.n_sequences == theirs.n_sequences == 2
    for row in (0, 1):
        assert ours[row].ids == theirs[row].ids
        for token in range(len(ours[row])):
            assert ours.token_to_word(row, token) == theirs.token_to_word(row, token)
            assert ours.token_to_sequence(row, token) == theirs.token_to_sequence(row, token)
            assert ours.token_to_chars(row, token) == theirs.token_to_chars(row, token)
    for sequence in (0, 1):
        for word in range(4):
            assert ours.word_to_tokens(0, word, sequence) == theirs.word_to_tokens(0, word, sequence)
            assert ours.word_to_chars(0, word, sequence) == theirs.word_to_chars(0, word, sequence)
        for char in range(len(TEXT)):
            assert ours.char_to_word(0, char, sequence) == theirs.char_to_word(0, char, sequence)
            assert ours.char_to_token(0, char, sequence) == theirs.char_to_token(0, char, sequence)
    assert ours.words(0) == theirs.word_ids(0)
    assert (ours.word_to_tokens(3).start, ours.word_to_tokens(3).end) == (4, 7)
    assert isinstance(ours.word_to_tokens(3), TokenSpan) and isinstance(ours.token_to_chars(5), CharSpan)
    assert ours.token_to_chars(5).start == 9 and ours.token_to_word(5) == 3 == ours.char_to_word(9)
    assert ours[0:2] == ours.encodings


def test_a_batch_of_values_alone(both):
    batch = BatchEncoding({"input_ids": [[1, 2], [3, 4]]})
    assert batch[0:1] == {"input_ids": [[1, 2]]} and not batch.is_fast
    with pytest.raises(KeyError, match="expected a key"):
        batch[0]
    with pytest.raises(ValueError, match="not made by a call of a tokenizer"):
        batch.word_ids()
    assert BatchEncoding({"input_ids": [1, 2]}, tensor_type="np", prepend_batch_axis=True)["input_ids"].shape == (1, 2)
    moved = BatchEncoding({"input_ids": [[1]]}, tensor_type="pt")
    assert moved.to("cpu", non_blocking=True) is moved and moved.input_ids.tolist() == [[1]]
    ours = both[0](["a"])
    for again in (ours.copy(), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert isinstance(again, BatchEncoding) and again == ours and again[0].tokens == ours[0].tokens


def test_pairs_may_come_as_lists(both):
    """As transformers' zero-shot pipeline gives them."""
    ours, theirs = both
    for rows in ([["a", "b"], ["dog", ""]], [("a", "b")], (("a", "b"), ("dog", "a"))):
        expected = dict(theirs(rows, padding=True))
        assert dict(ours(rows, padding=True)) == dict(ours.batch_encode_plus(rows, padding=True)) == expected
    assert dict(ours.encode_plus("a", "b", max_length=4)) == dict(ours("a", "b", max_length=4))


OPTIONS = [
    {},
    {"max_length": 5},
    {"max_length": 5, "truncation": "only_first", "return_overflowing_tokens": True, "stride": 1},
    {"padding": "max_length", "max_length": 9, "truncation": True, "return_length": True},
    {"add_special_tokens": False, "return_special_tokens_mask": True},
    {"return_tensors": "np", "prepend_batch_axis": True, "return_special_tokens_mask": True},
]
# Of transformers 4.57.6 on the vocabulary above, ids 7 8 9 10 11, with and without the pair 12 13 14 15.
PREPARED = [
    [
        {"input_ids": [2, 7, 8, 9, 10, 11, 3], "token_type_ids": [0] * 7, "attention_mask": [1] * 7},
        {"input_ids": [2, 7, 8, 9, 3], "token_type_ids": [0] * 5, "attention_mask": [1] * 5},
        {
            "overflowing_tokens": [9, 10, 11],
            "num_truncated_tokens": 2,
            "input_ids": [2, 7, 8, 9, 3],
            "token_type_ids": [0] * 5,
            "attention_mask": [1] * 5,
        },
        {
            "input_ids": [2, 7, 8, 9, 10, 11, 3, 0, 0],
            "token_type_ids": [0] * 9,
            "attention_mask": [1] * 7 + [0, 0],
            "length": 9,
        },
        {
            "input_ids": [7, 8, 9, 10, 11],
            "token_type_ids": [0] * 5,
            "special_tokens_mask": [0] * 5,
            "attention_mask": [1] * 5,
        },
        {
            "input_ids": [[2, 7, 8, 9, 10, 11, 3]],
            "token_type_ids": [[0] * 7],
            "special_tokens_mask": [[1, 0, 0, 0, 0, 0, 1]],
            "attention_mask": [[1] * 7],
        },
    ],
]


@pytest.mark.parametrize("i", range(len(OPTIONS)))
def test_ids_are_prepared_for_a_model(both, i):
    ours, _ = both
    found = ours.prepare_for_model([7, 8, 9, 10, 11], **OPTIONS[i])
    assert {key: getattr(value, "tolist", lambda value=value: value)() for key, value in found.items()} == PREPARED[0][
        i
    ]


def test_a_pair_of_ids_is_prepared_for_a_model(both):
    ours, _ = both
    found = ours.prepare_for_model(
        [7, 8, 9, 10, 11], [12, 13, 14, 15], max_length=8, padding="max_length", truncation=True
    )
    assert found["input_ids"] == [2, 7, 8, 9, 3, 12, 13, 3] and found["token_type_ids"] == [0] * 5 + [1] * 3
    found = ours.prepare_for_model([7, 8, 9, 10, 11], [12, 13, 14, 15], max_length=10, truncation="only_second")
    assert found["input_ids"] == [2, 7, 8, 9, 10, 11, 3, 12, 13, 3]
    ours.truncation_side = "left"
    found = ours.prepare_for_model([7, 8, 9, 10, 11], max_length=4, return_overflowing_tokens=True)
    assert (found["input_ids"], found["overflowing_tokens"]) == ([2, 10, 11, 3], [7, 8, 9])
    with pytest.raises(ValueError, match="longest_first gives no overflowing tokens of a pair"):
        ours.prepare_for_model([7, 8], [9, 10], max_length=5, truncation=True, return_overflowing_tokens=True)


def test_a_new_tokenizer_is_trained_from_texts(both):
    ours, theirs = both
    texts = ["low lower lowest\nlow", "newer wider", "Low new"] * 10
    trained = ours.train_new_from_iterator(
        [texts], 60, new_special_tokens=["<e1>"], special_tokens_map={"[MASK]": "<m>"}
    )
    expected = theirs.train_new_from_iterator(
        [texts], 60, new_special_tokens=["<e1>"], special_tokens_map={"[MASK]": "<m>"}, min_frequency=2
    )
    assert trained.mask_token == "<m>" == expected.mask_token
    assert trained.tokenize("low lower <e1> <m>") == expected.tokenize("low lower <e1> <m>")
    assert trained.additional_special_tokens == ["<e1>"] and "<e1>" in trained.all_special_tokens
    assert {token for token in trained.get_vocab() if len(token) < 4} == {
        token for token in expected.get_vocab() if len(token) < 4
    }
    assert (
        ours.train_new_from_iterator(texts, 60).get_vocab() == ours.train_new_from_iterator(iter(texts), 60).get_vocab()
    )


def test_a_row_beyond_the_models_length_is_logged_once(both, caplog):
    ours, _ = both
    ours.model_max_length = 4
    with caplog.at_level(logging.WARNING):
        ours("a dog", max_length=99)
        ours("a dog", truncation=True)
        ours("a dog a dog", verbose=False)
        assert not caplog.records
        ours(["a", "a dog runs"])
        ours("a dog runs !")
    message = (
        "Token indices sequence length is longer than the specified maximum sequence length for this model (5 > 4)."
    )
    assert [record.getMessage().partition(" Running")[0] for record in caplog.records] == [message]
