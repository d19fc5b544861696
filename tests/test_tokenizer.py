from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import transformers

import bertx
from bertx.hub.sources import resolve
from bertx.tokenizers.bert import BertTokenizer, BertTokenizerFast
from bertx_weights import CheckpointError
from conftest import MINILM

REAL = resolve(MINILM)
TEXTS = [
    "Hello there, my friend!",
    "Unaffable café naïveté — ÀÉÎ; it's 3.14%",
    "",
    "東京 is [MASK] 東 😀 \t\n zero\u200bwidth \u0000 [SEP] supercalifragilisticexpialidocious",
    "word " * 200,
]
SECOND = ["General Kenobi", "", "a second [UNK] text", "b " * 150, "c " * 90]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LINES = [
    "The quick brown fox jumps over the lazy dog.",
    "A quick fox is a happy fox, isn't it?",
    "Ångström café 東京 dogs",
]


@pytest.fixture(scope="module")
def ours():
    return BertTokenizer.from_pretrained(REAL)


@pytest.fixture
def corpus(tmp_path):
    """Two text files."""
    files = [tmp_path / "one.txt", tmp_path / "two.txt"]
    files[0].write_text("\n".join(LINES * 20), encoding="utf-8")
    files[1].write_text("\n".join(LINES[:2] * 5), encoding="utf-8")
    return files


def folder_with(path: Path, files=("tokenizer.json", "vocab.txt"), **settings) -> Path:
    path.mkdir(exist_ok=True)
    for file in files:
        shutil.copy(REAL / file, path)
    known = json.loads((REAL / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps(known | settings))
    return path


def vocabulary(path: Path, *tokens: str) -> Path:
    (path / "vocab.txt").write_text("".join(f"{token}\n" for token in (*SPECIAL, *tokens)), encoding="utf-8")
    return path


def test_the_names_of_the_package():
    assert BertTokenizerFast is BertTokenizer
    assert bertx.BertTokenizer is BertTokenizer and bertx.BertTokenizerFast is BertTokenizer


def test_the_defaults_are_those_of_transformers():
    theirs = inspect.signature(transformers.BertTokenizer.__call__).parameters
    for name, parameter in inspect.signature(BertTokenizer.__call__).parameters.items():
        if name not in ("self", "text"):
            assert parameter.default == theirs[name].default, name
    theirs = inspect.signature(transformers.BertTokenizer.pad).parameters
    for name, parameter in inspect.signature(BertTokenizer.pad).parameters.items():
        assert parameter.default == theirs[name].default, name


# --- a call ---------------------------------------------------------------------------------------


def test_one_text_is_a_row_and_a_batch_is_rows(ours):
    assert dict(ours("hello")) == {
        "input_ids": [101, 7592, 102],
        "token_type_ids": [0, 0, 0],
        "attention_mask": [1, 1, 1],
    }
    assert ours(["hello"])["input_ids"] == [[101, 7592, 102]]
    assert ours("hello", return_tensors="np")["input_ids"].shape == (1, 3)
    found = ours(["hello", "hello there"])
    assert found.input_ids == found["input_ids"] == [[101, 7592, 102], [101, 7592, 2045, 102]]
    with pytest.raises(AttributeError, match="no 'logits'; it has input_ids, token_type_ids, attention_mask"):
        _ = found.logits


def test_the_padding_and_truncation_that_the_file_bakes_in_do_not_show(ours):
    baked = json.loads((REAL / "tokenizer.json").read_text())
    assert baked["padding"]["strategy"] == {"Fixed": 128} and baked["truncation"]["max_length"] == 128
    assert len(ours("hello")["input_ids"]) == 3
    assert [len(row) for row in ours(["hello", "hello there"])["input_ids"]] == [3, 4]
    assert len(ours(TEXTS[4])["input_ids"]) == 202
    assert len(ours("word " * 600)["input_ids"]) == 602
    assert len(ours("word " * 600, truncation=True)["input_ids"]) == 512


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_sides_that_the_file_bakes_in_count_as_in_transformers(tmp_path, side):
    baked = json.loads((REAL / "tokenizer.json").read_text())
    baked["padding"]["direction"] = baked["truncation"]["direction"] = side.title()
    (tmp_path / "tokenizer.json").write_text(json.dumps(baked))
    options = {"padding": True, "truncation": True, "max_length": 9}
    expected = dict(transformers.BertTokenizer.from_pretrained(tmp_path)(TEXTS, **options))
    assert dict(BertTokenizer.from_pretrained(tmp_path)(TEXTS, **options)) == expected


def test_one_call_leaves_nothing_behind_for_the_next(ours):
    before = dict(ours(TEXTS[4]))
    ours(TEXTS, truncation=True, max_length=5, padding="max_length", padding_side="left")
    assert dict(ours(TEXTS[4])) == before
    ours(TEXTS, truncation=True, max_length=5)
    assert len(ours.tokenize(TEXTS[4])) == 200
    with pytest.raises(ValueError):
        ours("a", SECOND[3], truncation="only_first", max_length=10)
    assert dict(ours(TEXTS[4])) == before


def test_a_max_length_alone_truncates(ours):
    assert len(ours(TEXTS[4], max_length=5)["input_ids"]) == 5
    assert len(ours(TEXTS[4], max_length=5, truncation=False)["input_ids"]) == 202
    assert len(ours(TEXTS[4], max_length=5, padding=True)["input_ids"]) == 202


# --- folders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [None, SECOND], ids=["single", "pairs"])
def test_a_folder_with_only_a_vocab_gives_the_ids_of_tokenizer_json(tmp_path, ours, pairs):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    found = BertTokenizer.from_pretrained(tmp_path)
    for options in ({}, {"truncation": True, "max_length": 9}, {"padding": True, "truncation": "longest_first"}):
        assert dict(found(TEXTS, pairs, **options)) == dict(ours(TEXTS, pairs, **options))
    assert found.vocab_size == len(found) == ours.vocab_size == 30522
    assert found.get_vocab() == ours.get_vocab()
    assert found.model_max_length == int(1e30) and ours.model_max_length == 512
    assert (found.pad_token_id, found.cls_token_id, found.sep_token_id, found.mask_token_id) == (0, 101, 102, 103)


def test_a_model_max_length_that_transformers_writes_for_not_known(tmp_path):
    assert BertTokenizer.from_pretrained(folder_with(tmp_path, model_max_length=10**30)).model_max_length == int(1e30)


@pytest.mark.parametrize(
    "settings",
    [{}, {"do_lower_case": False}, {"strip_accents": False}, {"do_lower_case": False, "strip_accents": True}],
    ids=str,
)
@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json", "vocab.txt")], ids=["vocab", "json"])
def test_case_and_accents_are_those_of_the_settings(tmp_path, files, settings):
    folder = folder_with(tmp_path, files, **settings)
    expected = dict(transformers.BertTokenizerFast.from_pretrained(folder)(TEXTS, SECOND, padding=True))
    assert dict(BertTokenizer.from_pretrained(folder)(TEXTS, SECOND, padding=True)) == expected
    changed = BertTokenizer.from_pretrained(folder_with(tmp_path, files), **settings)
    assert dict(changed(TEXTS, SECOND, padding=True)) == expected


def test_the_file_has_its_case_where_no_setting_names_one(tmp_path):
    baked = json.loads((REAL / "tokenizer.json").read_text())
    baked["normalizer"]["lowercase"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(baked))
    assert BertTokenizer.from_pretrained(tmp_path).tokenize("hello Hello") == ["hello", "[UNK]"]


def test_do_lower_case_false_keeps_the_case(tmp_path):
    vocabulary(tmp_path, "hello", "Hello", "É", "E")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert BertTokenizer.from_pretrained(tmp_path)("Hello hello É E")["input_ids"] == [2, 6, 5, 7, 8, 3]
    (tmp_path / "tokenizer_config.json").unlink()
    assert BertTokenizer.from_pretrained(tmp_path)("Hello hello É E")["input_ids"] == [2, 5, 5, 1, 1, 3]


def test_chinese_characters_stand_alone_unless_told_otherwise(tmp_path):
    vocabulary(tmp_path, "東", "##京", "京")
    assert BertTokenizer.from_pretrained(tmp_path).tokenize("東京") == ["東", "京"]
    assert BertTokenizer.from_pretrained(tmp_path, tokenize_chinese_chars=False).tokenize("東京") == ["東", "##京"]


@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json",)], ids=["vocab", "json"])
def test_never_split_stays_whole_where_the_vocabulary_has_it(tmp_path, ours, files):
    words = ["[unused1]", "don"]
    tokenizer = BertTokenizer.from_pretrained(folder_with(tmp_path / "a", files, never_split=words))
    assert ours.tokenize("a [unused1] b") == ["a", "[", "unused", "##1", "]", "b"]
    assert tokenizer.tokenize("a [unused1] b") == ["a", "[unused1]", "b"]
    # As words only, and no special tokens.
    assert tokenizer.tokenize("don donkey") == ours.tokenize("don donkey")
    assert tokenizer("[unused1]", return_special_tokens_mask=True)["special_tokens_mask"] == [1, 0, 1]
    assert (len(tokenizer), tokenizer.vocab_size) == (30522, 30522)
    tokenizer.save_pretrained(tmp_path / "b")
    assert BertTokenizer.from_pretrained(tmp_path / "b").tokenize("a [unused1] b") == ["a", "[unused1]", "b"]


@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json",)], ids=["vocab", "json"])
def test_never_split_without_an_id_is_refused(tmp_path, files):
    """The slow class of transformers 4 makes [UNK] of such a word, all others cut it into pieces."""
    folder = folder_with(tmp_path, files, never_split=["[unused1]", "nowhere-to-be-found", "so.on"])
    with pytest.raises(
        CheckpointError, match=r"never_split has 'nowhere-to-be-found', 'so.on', which the vocab"
    ) as error:
        BertTokenizer.from_pretrained(folder)
    assert str(folder) in str(error.value) and "add_tokens" in str(error.value)
    with pytest.raises(ValueError, match=r"never_split has 'so.on', which"):
        BertTokenizer(REAL / "vocab.txt", never_split=["[unused1]", "so.on"])


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
    found = tokenizer(["hello", "hello <mask> strange"], padding=True)
    assert found["input_ids"] == [[3, 2, 1, 4, 4], [3, 2, 5, 0, 1]]
    assert found["attention_mask"] == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert (tokenizer.sep_token, tokenizer.pad_token_id) == ("</s>", 4)


@pytest.mark.parametrize("body", ["hello \nworld\n\nx\n\n", "hello\r\nworld", "hello\nworld\nhello\n"])
def test_a_vocab_is_read_as_transformers_reads_it(tmp_path, body):
    (tmp_path / "vocab.txt").write_bytes("\n".join([*SPECIAL, body]).encode())
    ours, theirs = (cls.from_pretrained(tmp_path) for cls in (BertTokenizer, transformers.BertTokenizer))
    assert ours.get_vocab() == theirs.get_vocab() and len(ours) == len(theirs)
    assert ours("hello world x")["input_ids"] == theirs("hello world x")["input_ids"]


# --- saving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [("vocab.txt",), ("tokenizer.json", "vocab.txt")], ids=["vocab", "json"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"do_lower_case": False, "model_max_length": 33}, {"padding_side": "left", "truncation_side": "left"}],
    ids=str,
)
def test_what_is_saved_is_read_the_same_by_both(tmp_path, files, settings):
    options = {"padding": True, "truncation": True, "max_length": 60}
    original = BertTokenizer.from_pretrained(folder_with(tmp_path / "original", files, **settings))
    expected = dict(original(TEXTS, SECOND, **options))
    original.save_pretrained(tmp_path / "saved")
    again = BertTokenizer.from_pretrained(tmp_path / "saved")
    assert dict(again(TEXTS, SECOND, **options)) == expected
    assert (again.settings | original.settings, again.model_max_length) == (again.settings, original.model_max_length)
    for file in ("tokenizer.json", "vocab.txt"):
        other = folder_with(tmp_path / file, (), **settings)
        shutil.copy(tmp_path / "saved" / file, other)
        assert dict(BertTokenizer.from_pretrained(other)(TEXTS, SECOND, **options)) == expected
    for reader in (transformers.BertTokenizerFast, transformers.AutoTokenizer):
        theirs = reader.from_pretrained(tmp_path / "saved")
        assert dict(theirs(TEXTS, SECOND, **options)) == expected
        assert theirs.model_max_length == original.model_max_length
    assert (tmp_path / "saved/vocab.txt").read_bytes().splitlines() == (REAL / "vocab.txt").read_bytes().splitlines()


def test_what_is_saved_bakes_in_no_padding_or_truncation(tmp_path, ours):
    ours("hello", truncation=True, max_length=4, padding="max_length")
    ours.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    assert saved["padding"] is None and saved["truncation"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]


def test_what_transformers_saved_is_read(tmp_path, ours):
    transformers.BertTokenizer.from_pretrained(REAL).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    again = BertTokenizer.from_pretrained(tmp_path)
    assert dict(again(TEXTS, SECOND)) == dict(ours(TEXTS, SECOND))
    assert again.model_max_length == 512


def test_the_vocabulary_is_saved_without_added_tokens(tmp_path):
    tokenizer = BertTokenizer.from_pretrained(REAL)
    tokenizer.add_tokens(["foobarx"])
    paths = [tokenizer.save_vocabulary(tmp_path), tokenizer.save_vocabulary(tmp_path, "small")]
    assert paths == [(str(tmp_path / "vocab.txt"),), (str(tmp_path / "small-vocab.txt"),)]
    for (path,) in paths:
        assert Path(path).read_text(encoding="utf-8") == (REAL / "vocab.txt").read_text(encoding="utf-8")


# --- training -------------------------------------------------------------------------------------


def test_a_trained_tokenizer_knows_its_own_text(tmp_path, corpus):
    tokenizer = BertTokenizer.train(corpus, vocab_size=200)
    assert tokenizer.convert_ids_to_tokens(range(5)) == SPECIAL
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (0, 4)
    assert len(tokenizer) == tokenizer.vocab_size <= 200
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    batch = tokenizer(LINES)["input_ids"]
    assert not any(tokenizer.unk_token_id in ids for ids in batch)
    assert tokenizer.decode(batch[0], skip_special_tokens=True) == "the quick brown fox jumps over the lazy dog."
    assert "quick" in tokenizer.get_vocab()
    for again in (BertTokenizer.train(corpus, vocab_size=200), BertTokenizer.train(map(str, corpus), vocab_size=200)):
        assert again.get_vocab() == tokenizer.get_vocab()
    tokenizer.save_pretrained(tmp_path / "saved")
    for reader in (BertTokenizer, transformers.BertTokenizer):
        again = reader.from_pretrained(tmp_path / "saved")
        assert again.get_vocab() == tokenizer.get_vocab()
        assert dict(again([*LINES, *TEXTS], padding=True)) == dict(tokenizer([*LINES, *TEXTS], padding=True))


def test_training_follows_its_settings(corpus):
    small = BertTokenizer.train(corpus, vocab_size=85)
    assert len(small) == 85
    assert not any(token != token.lower() for token in set(small.get_vocab()) - set(SPECIAL))
    cased = BertTokenizer.train(corpus, vocab_size=300, do_lower_case=False)
    assert cased.unk_token_id not in cased("The Ångström café A")["input_ids"]
    assert cased.tokenize("The the") == ["The", "the"]
    rare = BertTokenizer.train(corpus, min_frequency=1000)
    assert rare.tokenize("fox") == ["f", "##o", "##x"]
    few = BertTokenizer.train(corpus, limit_alphabet=5)
    assert len(few) < len(small)
    named = BertTokenizer.train(corpus, unk_token="<unk>", pad_token="<pad>")
    assert named.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    assert named("☃")["input_ids"] == [2, 1, 3]


def test_text_files_that_are_not_there_are_named(tmp_path, corpus):
    with pytest.raises(FileNotFoundError, match="no such text files") as error:
        BertTokenizer.train([*corpus, tmp_path / "lost.txt", tmp_path / "gone.txt"])
    assert str(tmp_path / "lost.txt") in str(error.value) and str(tmp_path / "gone.txt") in str(error.value)
    assert str(corpus[0]) not in str(error.value)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [[], (), [""][:0]])
def test_an_empty_batch_is_an_error(ours, empty):
    with pytest.raises(ValueError, match="an empty batch"):
        ours(empty)
    assert ours.batch_decode(empty) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "text is a NoneType, expected a string"),
        ((3,), "text is a int, expected a string"),
        ((b"a",), "text is a bytes, expected a string"),
        ((["a", 3],), r"text\[1\] is a int, expected a string"),
        (([None],), r"text\[0\] is a NoneType, expected a string"),
        (([b"a"],), r"text\[0\] is a bytes, expected a string"),
        (([["a", "b", "c"]],), r"text\[0\] is a list, expected a string"),
        ((["a", "b", "c", "d", 5],), r"text\[4\] is a int, expected a string"),
        ((["a"], [None]), r"text_pair\[0\] is a NoneType, expected a string"),
        (("a", ["b"]), r"text_pair\[0\] is a list, expected a string"),
        ((["a"], "b"), "text_pair is a str, expected a list of strings"),
        ((["a"], 3), "text_pair is a int, expected a string"),
    ],
)
def test_something_that_is_no_string_is_an_error(ours, arguments, message):
    with pytest.raises(TypeError, match=message):
        ours(*arguments)


@pytest.mark.parametrize("arguments", [("a b",), ([["a", 3]],), (["a"], "b"), ([["a"], "b"],)])
def test_something_that_is_no_list_of_words_is_an_error(ours, arguments):
    with pytest.raises(TypeError, match=r"text(_pair)?\[\d\] is .*, expected a list of words"):
        ours(*arguments, is_split_into_words=True)


@pytest.mark.parametrize("pairs", [[], ["x"], ["x", "y", "z"]])
def test_texts_and_pairs_of_different_number_are_an_error(ours, pairs):
    with pytest.raises(ValueError, match=f"2 texts but {len(pairs)} second texts"):
        ours(["a", "b"], pairs)


def test_padding_to_a_length_that_nobody_names_is_an_error(tmp_path):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    with pytest.raises(ValueError, match="padding='max_length' needs a max_length"):
        BertTokenizer.from_pretrained(tmp_path)("a", padding="max_length")


def test_a_length_is_rounded_up_to_the_multiple_before_a_text_is_too_long_for_it(ours):
    """As transformers does; found by the test of any options."""
    padded = ours("a b c d e", padding="max_length", max_length=6, truncation=False, pad_to_multiple_of=4)
    assert len(padded["input_ids"]) == 8 and sum(padded["attention_mask"]) == 7
    with pytest.raises(ValueError, match="a text has 9 tokens, more than max_length 6"):
        ours("a b c d e f g", padding="max_length", max_length=6, truncation=False, pad_to_multiple_of=4)


def test_padding_to_less_than_a_text_is_an_error(ours):
    message = "a text has 7 tokens, more than max_length 4"
    with pytest.raises(ValueError, match=message):
        ours(["a", "a b c d e"], padding="max_length", truncation=False, max_length=4)
    with pytest.raises(ValueError, match=message):
        ours.pad([{"input_ids": [1] * 7}], padding="max_length", max_length=4)


@pytest.mark.parametrize("kind", ["np", "pt", "tf", "jax"])
def test_a_batch_that_is_no_rectangle_is_an_error(ours, kind):
    with pytest.raises(ValueError, match=r"input_ids: rows of 3 to 4 tokens make no tensor.*pass padding=True"):
        ours(["a", "a b"], return_tensors=kind)
    with pytest.raises(ValueError, match="labels: rows of 1 to 2 tokens"):
        ours.pad([{"input_ids": [1], "labels": [1]}, {"input_ids": [1, 2], "labels": [1, 2]}], return_tensors=kind)
    assert tuple(ours(["a", "b"], return_tensors=kind)["input_ids"].shape) == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "widest"}, "padding is 'widest', expected one of True, False, 'longest', 'max_length'"),
        ({"padding": None}, "padding is None, expected one of"),
        ({"padding": 1}, "padding is 1, expected one of"),
        ({"truncation": "middle"}, "truncation is 'middle', expected one of True, False, 'longest_first'"),
        ({"padding": True, "padding_side": "up"}, "padding_side is 'up', expected one of 'right', 'left'"),
        ({"max_length": -1}, "max_length is -1, expected 2 or more"),
        ({"max_length": 0}, "max_length is 0, expected 2 or more"),
        ({"max_length": 1}, "max_length is 1, expected 2 or more"),
        ({"max_length": 5, "stride": 3}, "stride is 3, expected 0 or more and less than 3: max_length 5 has room"),
        ({"max_length": 5, "stride": -1}, "stride is -1, expected 0 or more"),
        (
            {"max_length": 9, "truncation": True, "padding": True, "pad_to_multiple_of": 4},
            "max_length is 9, expected a",
        ),
        ({"padding": True, "pad_to_multiple_of": 0}, "pad_to_multiple_of is 0, expected 1 or more"),
        ({"max_length": 2, "truncation": True, "return_overflowing_tokens": True}, "max_length is 2, expected more"),
        ({"return_tensors": "xx"}, "return_tensors is 'xx', expected one of np, pt, tf, jax"),
    ],
    ids=str,
)
def test_an_option_that_is_none_is_an_error(ours, options, message):
    with pytest.raises(ValueError, match=message):
        ours(["a", "b c d"], **options)


def test_a_side_of_the_settings_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="truncation_side is 'up', expected one of 'right', 'left'") as error:
        BertTokenizer.from_pretrained(REAL, truncation_side="up", padding_side="down")
    assert "padding_side is 'down', expected one of 'right', 'left'" in str(error.value)


def test_a_max_length_without_room_for_the_special_tokens_is_an_error(ours):
    with pytest.raises(ValueError, match="max_length is 1, expected 2 or more"):
        ours("a b c", max_length=1, truncation=True)
    with pytest.raises(ValueError, match="max_length is 2, expected 3 or more"):
        ours("a b c", "d", max_length=2, truncation=True)
    assert ours("a b c", max_length=2, truncation=True)["input_ids"] == [101, 102]
    assert ours("a b c", max_length=1, truncation=True, add_special_tokens=False)["input_ids"] == [1037]


def test_a_pair_that_cannot_be_cut_as_asked_is_a_value_error(ours):
    with pytest.raises(ValueError, match=r"max_length 10 with truncation 'only_first'.*too short"):
        ours("a", SECOND[3], truncation="only_first", max_length=10)
    with pytest.raises(ValueError, match=r"max_length 10 with truncation 'only_second'.*[Ss]econd sequence"):
        ours(SECOND[3], truncation="only_second", max_length=10)
    # The stride has room in the window, but not beside the other text: a panic of the library underneath.
    with pytest.raises(ValueError, match="max_length 12 with truncation 'only_second', stride 5"):
        ours(
            "a b c d e f", SECOND[3], truncation="only_second", max_length=12, stride=5, return_overflowing_tokens=True
        )
    assert ours("a")["input_ids"] == [101, 1037, 102]


@pytest.mark.parametrize(("inputs", "found"), [([], "no rows"), ([{"x": [1]}], "x"), ({"a": [1], "b": [2]}, "a, b")])
def test_rows_without_ids_are_not_padded(ours, inputs, found):
    with pytest.raises(ValueError, match=f"encoded_inputs has {found}, expected input_ids"):
        ours.pad(inputs)


def test_a_padding_side_that_is_none_is_an_error_of_pad(ours):
    with pytest.raises(ValueError, match="padding_side is 'up', expected one of 'right', 'left'"):
        ours.pad([{"input_ids": [1]}], padding_side="up")
    with pytest.raises(ValueError, match="padding is 'widest', expected one of"):
        ours.pad([{"input_ids": [1]}], padding="widest")


def test_rows_of_arrays_are_padded(ours):
    rows = [{"input_ids": np.array([5, 6, 7])}, {"input_ids": np.array([5])}]
    assert dict(ours.pad(rows)) == {"input_ids": [[5, 6, 7], [5, 0, 0]], "attention_mask": [[1, 1, 1], [1, 0, 0]]}
    batch = ours(["a b c", "d"], padding=True, return_tensors="pt")
    assert ours.pad(batch, return_tensors="np")["input_ids"].tolist() == batch["input_ids"].tolist()


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
    with pytest.raises(CheckpointError, match=r"not a tokenizer|not JSON|not UTF-8|expected a JSON object") as error:
        BertTokenizer.from_pretrained(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b"\xff\xfe"])
def test_broken_settings_are_named(tmp_path, content):
    shutil.copy(REAL / "vocab.txt", tmp_path)
    (tmp_path / "tokenizer_config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"JSON|UTF-8") as error:
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


def test_pairs_may_come_as_tuples(ours):
    together = ours([("a b", "c"), ("d", "")], padding=True)
    assert dict(together) == dict(ours(["a b", "d"], ["c", ""], padding=True))


def test_special_tokens_have_names(ours):
    assert ours.special_tokens_map["mask_token"] == ours.mask_token == "[MASK]"
    assert [ours.convert_tokens_to_ids(token) for token in ours.all_special_tokens] == ours.all_special_ids


def test_a_batch_moves_to_a_device(ours):
    batch = ours(["a"], return_tensors="pt").to("cpu")
    assert batch.input_ids.device.type == "cpu" and batch.tokens() == ours(["a"]).tokens()
