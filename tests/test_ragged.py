"""Ragged batches: the ids, token types, masks, characters and words of `tokenizers` as flat arrays."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
from tokenizers import processors

import bertx.tokenizers.truncation as truncation
from bertx.hub.sources import resolve
from bertx.tokenizers.bert import BertTokenizer
from bertx.tokenizers.ragged import RaggedBatch
from conftest import MINILM
from test_tokenizer_peers import SECOND, TEXTS, words

COLUMNS = ("token_type_ids", "special_tokens_mask", "offset_mapping", "word_ids", "sequence_ids")


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer.from_pretrained(resolve(MINILM))


@pytest.fixture
def own(tokenizer):
    """A copy that a test may change."""
    return copy.deepcopy(tokenizer)


def lists_of(rows):
    return {name: rows.lists(name) for name in rows.tokens()}


def expected_of(encodings):
    """What the library says of each row."""
    attributes = dict(
        zip(COLUMNS, ("type_ids", "special_tokens_mask", "offsets", "word_ids", "sequence_ids"), strict=True)
    )
    found = {"input_ids": [encoding.ids for encoding in encodings]}
    for name, attribute in attributes.items():
        rows = [getattr(encoding, attribute) for encoding in encodings]
        found[name] = [[-1 if value is None else value for value in row] for row in rows]
    return found


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("cut", [None, "longest_first", "only_first"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("windows", [False, True])
def test_every_array_is_that_of_the_library(tokenizer, monkeypatch, pairs, split, special, cut, side, windows):
    """The reference truncates by `Tokenizer.enable_truncation`."""
    texts = [words([text])[0] if split else text for text in TEXTS]
    seconds = [words([text])[0] if split else text for text in SECOND]
    if cut == "only_first":  # it needs room for the second text
        seconds = [["a", "b"] if split else "a b"] * len(texts)
    monkeypatch.setattr(tokenizer, "truncation_side", side)
    library = tokenizer.backend_tokenizer
    stride = 2 if windows else 0
    options = {"add_special_tokens": special, "truncation": cut or False, "max_length": 14 if cut else None}
    options |= {"stride": stride, "is_split_into_words": split, "verbose": False}
    if cut:
        library.enable_truncation(14, stride=stride, strategy=cut, direction=side)
    inputs = list(zip(texts, seconds, strict=True)) if pairs else texts
    encodings = library.encode_batch(inputs, is_pretokenized=split, add_special_tokens=special)
    library.no_truncation()
    samples = None
    if windows:
        samples = [i for i, encoding in enumerate(encodings) for _ in range(1 + len(encoding.overflowing))]
        encodings = [row for encoding in encodings for row in (encoding, *encoding.overflowing)]
    expected = expected_of(encodings)
    for columns in ((), COLUMNS[:2], COLUMNS):  # without characters and words the library takes another way
        flags = {f"return_{name.replace('offset_', 'offsets_')}": name in columns for name in COLUMNS}
        rows = tokenizer.ragged(
            texts, seconds if pairs else None, return_overflowing_tokens=windows, **options, **flags
        )
        assert lists_of(rows) == {name: expected[name] for name in ("input_ids", *columns)}
        assert (rows.samples is None) if samples is None else (rows.samples.tolist() == samples)
        assert rows.lengths.tolist() == list(map(len, expected["input_ids"])) and len(rows) == len(encodings)
        assert all(array.dtype == np.int64 for array in (rows.row_offsets, *rows.tokens().values()))


def test_token_types_of_pairs_without_a_template(own):
    """The fast way of the library forgets that a second text is one, which only a template says again."""
    own.backend_tokenizer.post_processor = None
    assert own.ragged(["a b", "c"], ["d", ""]).lists("token_type_ids") == [[0, 0, 1], [0]]
    own.backend_tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    rows = own.ragged(["a b", "c"], ["d", ""])
    assert rows.lists("token_type_ids") == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 1]]
    assert own(["a b"], ["d"], return_tensors="np")["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:3 $A:2 [SEP]:1",
        pair="[SEP]:5 $B:4 [CLS]:3 $A:2",
        special_tokens=[("[CLS]", 101), ("[SEP]", 102)],
    )
    assert own.ragged(["a b", ""]).lists("token_type_ids") == [[3, 2, 2, 1], [3, 1]]
    assert own.ragged(["a b"], ["d e f"]).lists("token_type_ids") == [[5, 4, 4, 4, 3, 2, 2]]
    cut = own.ragged(["a b"], ["d e f"], truncation="only_second", max_length=5)
    assert cut.lists("token_type_ids") == [[5, 4, 3, 2, 2]]


def test_texts_are_tokenised_in_portions(tokenizer, monkeypatch):
    whole = {}
    for windows in (False, True):
        options = {"max_length": 12, "truncation": True, "return_overflowing_tokens": windows}
        whole[windows] = tokenizer.ragged(TEXTS, SECOND, **options, return_special_tokens_mask=True)
    monkeypatch.setattr(truncation, "_CHARACTERS", 60)
    assert len(list(truncation._portions(TEXTS, SECOND))) > 5
    for windows, expected in whole.items():
        options = {"max_length": 12, "truncation": True, "return_overflowing_tokens": windows}
        found = tokenizer.ragged(TEXTS, SECOND, **options, return_special_tokens_mask=True)
        assert lists_of(found) == lists_of(expected)
        assert not windows or found.samples.tolist() == expected.samples.tolist()
        with pytest.raises(ValueError, match=r"text\[8\] holds a lone surrogate"):
            tokenizer.ragged([*TEXTS[:8], "\ud800"], return_overflowing_tokens=windows, max_length=12)
        with pytest.raises(ValueError, match=r"text\[8\] has a sequence too short"):
            tokenizer.ragged(
                [*"abcdefgh", "i"], [*"abcdefgh", "j " * 40], truncation="only_first", max_length=12,
                return_overflowing_tokens=windows,
            )  # fmt: skip


def test_errors_are_those_of_a_call(tokenizer):
    for arguments, options, message in (
        (([],), {}, "an empty batch"),
        ((["a"], ["b", "c"]), {}, "1 texts but 2 second texts"),
        ((["a"],), {"truncation": "all"}, "truncation is 'all'"),
        ((["a"],), {"max_length": 1}, "max_length is 1, expected 2 or more"),
        ((["a b c d"],), {"max_length": 4, "stride": 2}, "stride is 2, expected 0 or more and less than 2"),
    ):
        for method in (tokenizer, tokenizer.ragged):
            with pytest.raises(ValueError, match=message):
                method(*arguments, **options)
    for method in (tokenizer, tokenizer.ragged):
        with pytest.raises(TypeError, match=r"text\[1\] is a int, expected a string"):
            method(["a", 3])


# --- operations -----------------------------------------------------------------------------------

ROWS = [[5, 6, 7], [], [8], [9, 10]]


def ragged(rows, **further):
    flat = np.array([i for row in rows for i in row], np.int64)
    offsets = np.cumsum([0, *map(len, rows)])
    return RaggedBatch(flat, offsets, **{name: scale * flat for name, scale in further.items()})


def test_select_keep_and_join():
    rows = ragged(ROWS, token_type_ids=10)
    for chosen in itertools.product(range(4), repeat=3):
        found = rows.select(chosen)
        assert found.lists("input_ids") == [ROWS[i] for i in chosen]
        assert found.lists("token_type_ids") == [[10 * i for i in ROWS[row]] for row in chosen]
    assert len(rows.select([])) == 0 and rows.rows.tolist() == [0, 0, 0, 2, 3, 3]
    odd = rows.keep(rows.input_ids % 2 == 1)
    assert odd.lists("input_ids") == [[5, 7], [], [], [9]] and odd.lists("token_type_ids") == [[50, 70], [], [], [90]]
    joined = RaggedBatch.joined([rows, odd, rows.select([])])
    assert joined.lists("input_ids") == [*ROWS, [5, 7], [], [], [9]] and len(joined.token_type_ids) == 9
    windows = RaggedBatch(rows.input_ids, rows.row_offsets, samples=np.array([0, 0, 1, 2]))
    assert windows.select([2, 0]).samples.tolist() == [1, 0]


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding(side):
    rows = ragged(ROWS, token_type_ids=10, special_tokens_mask=0, word_ids=1)
    found = rows.padded(4, 99, side)

    def padded(row, fill):
        blank = [fill] * (4 - len(row))
        return [*row, *blank] if side == "right" else [*blank, *row]

    assert found["input_ids"].tolist() == [padded(row, 99) for row in ROWS]
    assert found["attention_mask"].tolist() == [padded([1] * len(row), 0) for row in ROWS]
    assert found["token_type_ids"].tolist() == [padded([10 * i for i in row], 0) for row in ROWS]
    assert found["special_tokens_mask"].tolist() == [padded([0] * len(row), 1) for row in ROWS]
    assert found["word_ids"].tolist() == [padded(row, -1) for row in ROWS]
    long = rows.at_least(2, 99)
    assert long.lists("input_ids") == [[5, 6, 7], [99, 99], [8, 99], [9, 10]]
    assert long.lists("attention_mask") == [[1, 1, 1], [0, 0], [1, 0], [1, 1]]
    assert long.padded(4, 98, side)["attention_mask"].tolist() == [
        padded(row, 0) for row in long.lists("attention_mask")
    ]


# --- a call ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["np", "pt", None])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_call_gives_rows_that_know_their_words(tokenizer, kind, side):
    """They are made when they are first asked for; they are padded and cut as the arrays are."""
    options = {"padding": True, "truncation": True, "max_length": 12, "padding_side": side, "return_tensors": kind}
    batch = tokenizer(TEXTS, SECOND, **options)
    assert batch.is_fast and batch.n_sequences == 2
    assert [row.ids for row in batch.encodings] == np.asarray(batch["input_ids"]).tolist()
    assert [row.attention_mask for row in batch[:]] == np.asarray(batch["attention_mask"]).tolist()
    assert [row.type_ids for row in batch.encodings] == np.asarray(batch["token_type_ids"]).tolist()
    eager = tokenizer(TEXTS, SECOND, **options, return_offsets_mapping=True)
    for again in (batch.copy(), copy.deepcopy(batch), pickle.loads(pickle.dumps(tokenizer(TEXTS, SECOND, **options)))):
        assert again.tokens(3) == eager.tokens(3) and again.word_ids(5) == eager.word_ids(5)


def test_words_that_are_asked_for_after_the_tokenizer_has_changed(own):
    before, after = own(["unbelievable dogs"]), own(["unbelievable dogs"])
    assert before.tokens() == ["[CLS]", "unbelievable", "dogs", "[SEP]"]
    own.add_tokens(["dogs"])
    assert before.tokens() == ["[CLS]", "unbelievable", "dogs", "[SEP]"]
    own.add_tokens(["unbeliev"])
    with pytest.raises(ValueError, match="the tokenizer has changed since it made this batch"):
        after.tokens()
    assert after["input_ids"] == before["input_ids"]


def test_rows_of_different_length_make_no_tensor(tokenizer):
    with pytest.raises(ValueError, match="input_ids: rows of 3 to 4 tokens make no tensor"):
        tokenizer(["a", "a b"], return_tensors="np")
    found = tokenizer(["a b", "c d"], return_tensors="np")
    assert found["input_ids"].shape == (2, 4) and found["input_ids"].dtype == np.int64


def test_threads_may_tokenise_at_the_same_time(tokenizer):
    expected = {length: lists_of(tokenizer.ragged(TEXTS, max_length=length)) for length in range(3, 11)}
    found = {}

    def tokenise(length):
        found[length] = [lists_of(tokenizer.ragged(TEXTS, max_length=length)) for _ in range(5)]

    threads = [threading.Thread(target=tokenise, args=(length,)) for length in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(lists == [expected[length]] * 5 for length, lists in found.items())
