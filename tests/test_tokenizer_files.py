"""The files beside a vocabulary: added and special tokens of every writer, other tokenizers, broken files."""

from __future__ import annotations

import functools
import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import transformers

import bertx
from bertx.tokenizers.bert import BertTokenizer
from bertx.tokenizers.files import copy_tokenizer
from bertx_weights import CheckpointError
from fixture_files import CASES, FIXTURES

SLOW = CASES / "01_added_tokens_slow" / "folder"
OLD = CASES / "02_added_tokens_before_4_34" / "folder"
JAPANESE = CASES / "03_japanese" / "folder_wordpiece"
FURTHER = CASES / "24_additional_special_tokens" / "folder"
TEXT = "the [E1] dog [/E1] newtoken on ACME"
IDS = [2, 5, 51, 8, 52, 54, 10, 53, 3]
MARKED = "[E1] newtoken [/E1] the [MASK] dog"


def copied(source: Path, target: Path, **files) -> Path:
    """A copy of a folder with JSON files changed: None removes one, a mapping is merged, else it is the content."""
    shutil.copytree(source, target)
    for name, content in files.items():
        path = target / name.replace("__", ".")
        if content is None:
            path.unlink()
            continue
        old = json.loads(path.read_text()) if path.exists() and isinstance(content, dict) else {}
        merged = (
            {key: value for key, value in (old | content).items() if value is not ...}
            if isinstance(content, dict)
            else content
        )
        path.write_text(json.dumps(merged))
    return target


def seen(tokenizer, texts):
    """What a reader sees of a tokenizer."""
    ids = tokenizer(texts)["input_ids"]
    return {
        "input_ids": ids,
        "all_special_tokens": sorted(tokenizer.all_special_tokens),
        "length": len(tokenizer),
        # The library's 0.23 gives a normalised token in lower case, 0.22 as it was added.
        "skipped": [[t.lower() for t in tokenizer.convert_ids_to_tokens(row, skip_special_tokens=True)] for row in ids],
        "masks": [tokenizer.get_special_tokens_mask(row, already_has_special_tokens=True) for row in ids],
        "pad": tokenizer.pad_token_id,
        "mask": tokenizer.mask_token_id,
    }


# --- added and special tokens ---------------------------------------------------------------------


def test_tokens_that_a_slow_tokenizer_added_are_whole(tmp_path):
    """Case 01: ids, tokens and logits; and after save, from the NumPy backend."""
    expected = json.loads((SLOW.parent / "expected.json").read_text())
    model = bertx.load(SLOW, backend="numpy")
    for tokenizer in (model.tokenizer, bertx.BertTokenizer.from_pretrained(SLOW)):
        encoded = tokenizer(expected["text"])
        assert encoded["input_ids"] == expected["ids"] == IDS and encoded.tokens() == expected["tokens"]
    logits = model.forward(**model.tokenizer([expected["text"]], return_tensors="np"))["logits"]
    np.testing.assert_allclose(logits[0], expected["logits"], atol=1e-5)
    model.save(tmp_path / "saved")
    assert BertTokenizer.from_pretrained(tmp_path / "saved")(expected["text"])["input_ids"] == IDS
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")(expected["text"])["input_ids"] == IDS


@pytest.mark.parametrize("source", [SLOW, OLD], ids=["of 4.57", "before 4.34"])
@pytest.mark.parametrize("target", ["safetensors", "pytorch", "npz", "tf1", "flax"])
def test_a_conversion_keeps_added_tokens(tmp_path, source, target):
    folder = copied(SLOW, tmp_path / "source")
    for name in ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / name)
    bertx.convert(folder, tmp_path / "target", format=target)
    assert BertTokenizer.from_pretrained(tmp_path / "target")(TEXT)["input_ids"] == IDS


@pytest.mark.parametrize(
    "without", [(), ("tokenizer.json",), ("tokenizer.json", "tokenizer_config.json"), ("vocab.txt",)]
)
def test_added_tokens_json_alone_names_tokens_and_any_file_that_is_saved_keeps_them(tmp_path, without):
    """Case 02; what is saved is read by what reads the older files only."""
    tokenizer = BertTokenizer.from_pretrained(OLD)
    assert tokenizer(TEXT)["input_ids"] == IDS
    assert tokenizer.additional_special_tokens == ["[E1]", "[/E1]"]
    tokenizer.save_pretrained(tmp_path)
    for name in without:
        (tmp_path / name).unlink()
    again = BertTokenizer.from_pretrained(tmp_path)
    assert again(TEXT)["input_ids"] == IDS
    assert again.additional_special_tokens == ["[E1]", "[/E1]"]


def test_special_tokens_without_a_name_are_special(tmp_path):
    """Case 24, as transformers; and as 4.57 calls them."""
    theirs = transformers.AutoTokenizer.from_pretrained(FURTHER)
    other = copied(
        FURTHER,
        tmp_path / "a",
        tokenizer_config__json={"extra_special_tokens": ..., "additional_special_tokens": ["[E1]", "[/E1]"]},
    )
    only_there = copied(
        FURTHER,
        tmp_path / "b",
        tokenizer_config__json={"extra_special_tokens": ...},
        special_tokens_map__json={"additional_special_tokens": ["[E1]", {"content": "[/E1]", "lstrip": False}]},
    )
    for folder in (FURTHER, other, only_there):
        ours = BertTokenizer.from_pretrained(folder)
        assert seen(ours, [MARKED]) == seen(theirs, [MARKED])
        assert ours.all_special_ids[-2:] == [51, 52]
        ids = ours(MARKED)["input_ids"]
        assert ours.convert_ids_to_tokens(ids, skip_special_tokens=True) == ["newtoken", "the", "dog"]
        assert ours.get_special_tokens_mask(ids, already_has_special_tokens=True) == [1, 1, 0, 1, 0, 1, 0, 1]


@functools.cache
def written_by_4():
    return json.loads(gzip.decompress((FIXTURES / "tokenizers" / "transformers4.json.gz").read_bytes()))


def test_folders_of_every_kind_are_read_as_transformers_4_reads_them(tmp_path):
    """Slow and fast writers × settings × added × special tokens × the files before 4.34: see make_transformers4.py."""
    data = written_by_4()
    different = 0
    for number, entry in enumerate(data["entries"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in data["vocabulary"]), encoding="utf-8")
        for name, content in entry["files"].items():
            if name == "tokenizer.json":
                vocabulary = {token: i for i, token in enumerate(data["vocabulary"])}
                content = content | {"model": content["model"] | {"vocab": vocabulary}}
            (folder / name).write_text(json.dumps(content))
        ours = BertTokenizer.from_pretrained(folder)
        expected = {key: entry[key] for key in seen(ours, data["texts"])}
        expected["skipped"] = [[token.lower() for token in row] for row in expected["skipped"]]
        assert seen(ours, data["texts"]) == expected, (number, entry["files"])
        different += expected["length"] != len(data["vocabulary"])
        if number % 7 == 0:  # what bertx saves is read the same by transformers 5
            ours.save_pretrained(folder / "again")
            theirs = transformers.AutoTokenizer.from_pretrained(folder / "again")
            assert theirs(data["texts"])["input_ids"] == expected["input_ids"]
            assert BertTokenizer.from_pretrained(folder / "again")(data["texts"])["input_ids"] == expected["input_ids"]
    assert different > len(data["entries"]) // 2


def test_what_is_saved_over_an_earlier_save_leaves_none_of_its_tokens(tmp_path):
    BertTokenizer.from_pretrained(OLD).save_pretrained(tmp_path)
    assert (tmp_path / "added_tokens.json").exists()
    plain = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "a": 5}
    BertTokenizer(plain).save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert BertTokenizer.from_pretrained(tmp_path).get_vocab() == plain


def test_a_preset_keeps_added_tokens_for_bertx_and_says_that_keras_hub_has_none(tmp_path):
    notes = copy_tokenizer(OLD, tmp_path, keras=True)
    assert len(notes) == 1 and "KerasHub splits these into pieces: [/E1], [E1], acme, newtoken" in notes[0]
    (tmp_path / "config.json").write_text("{}")
    assert BertTokenizer.from_pretrained(tmp_path)(TEXT)["input_ids"] == IDS
    (tmp_path / "back").mkdir()
    copy_tokenizer(tmp_path, tmp_path / "back", keras=False)
    assert BertTokenizer.from_pretrained(tmp_path / "back")(TEXT)["input_ids"] == IDS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars is False, KerasHub has True"),
        ({"mask_token": "dog", "cls_token": "the"}, r"cls_token is the, KerasHub has \[CLS\]\n.*mask_token is dog"),
    ],
    ids=str,
)
def test_what_keras_hub_cannot_say_is_refused(tmp_path, changes, message):
    folder = copied(OLD, tmp_path / "source", tokenizer_config__json=changes, special_tokens_map__json=None)
    (tmp_path / "target").mkdir()
    with pytest.raises(CheckpointError, match=message):
        copy_tokenizer(folder, tmp_path / "target", keras=True)


# --- other tokenizers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "tokenizer_class is 'BertJapaneseTokenizer', and bertx runs BERT's WordPiece, .* only: tokenise with"),
        (
            {"tokenizer_config__json": {"tokenizer_class": ...}},
            "word_tokenizer_type is 'mecab', which bertx does not run",
        ),
        # As cl-tohoku/bert-base-japanese has it.
        (
            {"tokenizer_config__json": ["do_lower_case"], "config__json": {"tokenizer_class": "BertJapaneseTokenizer"}},
            r"config\.json: tokenizer_class is 'BertJapaneseTokenizer'",
        ),
        (
            {"tokenizer_config__json": {"tokenizer_class": "BertweetTokenizer"}},
            "tokenizer_class is 'BertweetTokenizer'",
        ),
        (
            {"tokenizer_config__json": {"tokenizer_class": "XLMRobertaTokenizerFast"}},
            "whose rules are in a tokenizer.json",
        ),
        (
            {"tokenizer_config__json": {"tokenizer_class": "PreTrainedTokenizerFast"}},
            "save_pretrained.folder. writes it",
        ),
        (
            {"tokenizer_config__json": {"auto_map": {"AutoTokenizer": ["tok.Mine", None]}}},
            "auto_map names a tokenizer of its own code, tok.Mine",
        ),
        ({"config__json": {"auto_map": {"AutoTokenizer": "tok.Mine"}}}, r"config\.json: auto_map names"),
    ],
    ids=["class", "keys", "config", "bertweet", "XLM-R", "no rules", "auto_map", "auto_map of config"],
)
def test_another_tokenizer_is_refused_by_name(tmp_path, files, message):
    """Case 03, and its kin."""
    if isinstance(files.get("tokenizer_config__json"), list):
        folder = copied(JAPANESE, tmp_path / "a", config__json=files["config__json"])
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    else:
        folder = copied(JAPANESE, tmp_path / "a", **files)
    with pytest.raises(CheckpointError, match=message):
        BertTokenizer.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=message):
        copy_tokenizer(folder, tmp_path, keras=False)


def test_the_class_of_another_tokenizer_is_refused_beside_a_tokenizer_json_too(tmp_path):
    folder = copied(FURTHER, tmp_path / "a", tokenizer_config__json={"tokenizer_class": "BertJapaneseTokenizer"})
    with pytest.raises(CheckpointError, match="BertJapaneseTokenizer"):
        BertTokenizer.from_pretrained(folder)
    folder = copied(FURTHER, tmp_path / "b", tokenizer_config__json={"tokenizer_class": "XLMRobertaTokenizer"})
    with pytest.raises(
        CheckpointError, match="its model is WordPiece, and that of tokenizer_class XLMRobertaTokenizer is Unigram"
    ):
        BertTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "name", ["BertTokenizerFast", "DistilBertTokenizer", "ElectraTokenizerFast", "PreTrainedTokenizerFast"]
)
def test_classes_with_the_rules_of_bert_are_run(tmp_path, name):
    folder = copied(FURTHER, tmp_path / "a", tokenizer_config__json={"tokenizer_class": name})
    ours, theirs = BertTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    types = {"return_token_type_ids": True}  # transformers 5 leaves them out of generic classes, 4 does not
    assert dict(ours(TEXT, **types)) == dict(theirs(TEXT, **types))


def test_rules_of_another_model_are_run_as_they_stand(tmp_path):
    """As those of multilingual MiniLM, a BERT with XLM-R's tokenizer."""
    rules = tokenizers.Tokenizer(
        tokenizers.models.Unigram(
            [("<s>", 0), ("<pad>", 0), ("</s>", 0), ("<unk>", 0), ("▁the", -1), ("▁dog", -2), ("s", -3)], 3
        )
    )
    rules.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    rules.decoder = tokenizers.decoders.Metaspace()
    rules.post_processor = tokenizers.processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)]
    )
    rules.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    rules.save(str(tmp_path / "tokenizer.json"))
    names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    ours, theirs = BertTokenizer.from_pretrained(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    for options in ({}, {"padding": True, "truncation": True, "max_length": 7}):
        options = options | {"return_token_type_ids": True}
        expected = theirs(["the dogs the dog", "the x"], ["dogs", "the"], **options)
        assert dict(ours(["the dogs the dog", "the x"], ["dogs", "the"], **options)) == dict(expected)
    assert ours.all_special_tokens == theirs.all_special_tokens and ours.mask_token_id is None
    ours.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved" / "vocab.txt").exists()
    assert BertTokenizer.from_pretrained(tmp_path / "saved")("the dogs")["input_ids"] == ours("the dogs")["input_ids"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(names | {"tokenizer_class": "XLMRobertaTokenizer"}))
    assert BertTokenizer.from_pretrained(tmp_path).model_input_names == ["input_ids", "attention_mask"]


# --- files that contradict each other, or are broken ----------------------------------------------


def fast(path: Path) -> Path:
    BertTokenizer.from_pretrained(OLD).save_pretrained(path)
    return path


SETTINGS = "tokenizer_config__json"
SPECIAL = "special_tokens_map__json"
ADDED = "added_tokens__json"
WRONG = [
    (ADDED, {"acme": 7}, r"vocab\.txt: added tokens have other ids .*'acme' 7"),
    (ADDED, {"newtoken": 60}, r"'newtoken' 60 \(it is 54\); ids must follow the vocabulary's"),
    (ADDED, {"the": 9}, r"'the' 9 \(it is 5\)"),
    (ADDED, {"acme": "53"}, r"added_tokens\.json: 'acme' has '53', expected a token and its id"),
    (ADDED, {"": 53}, r"added_tokens\.json: '' has 53, expected a token and its id"),
    (ADDED, ["acme"], r"added_tokens\.json: expected a JSON object, found list"),
    (SPECIAL, {"mask_token": 5}, r"special_tokens_map\.json: mask_token is 5, expected a token"),
    (
        SPECIAL,
        {"additional_special_tokens": [["x"]]},
        r"special_tokens_map\.json: additional_special_tokens is \[\['x'\]\], expected a list of tokens",
    ),
    (SPECIAL, {"cls_token": {"content": 3}}, "cls_token is {'content': 3}, expected a token"),
    (SPECIAL, {"cls_token": {"content": "x", "lstrip": "no"}}, "cls_token is .*expected a token"),
    (SPECIAL, {"cls_token": None}, "lacks the special tokens null"),
    (SETTINGS, {"do_lower_case": "false"}, "do_lower_case is 'false', expected true or false"),
    (SETTINGS, {"strip_accents": 1}, "strip_accents is 1, expected true, false or null"),
    (SETTINGS, {"never_split": "x"}, "never_split is 'x', expected a list of strings"),
    (SETTINGS, {"model_max_length": "512"}, "model_max_length is '512', expected a number above 0"),
    (SETTINGS, {"model_max_length": -1}, "model_max_length is -1, expected a number above 0"),
    (SETTINGS, {"padding_side": "up"}, "padding_side is 'up', expected one of 'right', 'left'"),
    (SETTINGS, {"model_input_names": "ids"}, "model_input_names is 'ids', expected a list of strings"),
    (SETTINGS, {"tokenizer_class": ["x"]}, r"tokenizer_class is \['x'\], expected a string"),
    (SETTINGS, {"added_tokens_decoder": {"x": {"content": "a"}}}, "added_tokens_decoder is .*expected ids"),
    (SETTINGS, {"added_tokens_decoder": {"51": "a"}}, "added_tokens_decoder is .*expected ids"),
    (SETTINGS, {"extra_special_tokens": 4}, "extra_special_tokens is 4, expected a list of tokens"),
    (SETTINGS, {"do_basic_tokenize": False}, "do_basic_tokenize is False, which bertx does not run"),
    (SETTINGS, {"split_special_tokens": True}, "split_special_tokens is True, which bertx does not run"),
    (SETTINGS, {"wordpieces_prefix": "_"}, "wordpieces_prefix is '_', which bertx does not run"),
]


@pytest.mark.parametrize(("file", "content", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_files_that_are_wrong_are_named_with_their_keys(tmp_path, file, content, message):
    with pytest.raises(CheckpointError, match=message) as error:
        BertTokenizer.from_pretrained(copied(OLD, tmp_path / "a", **{file: content}))
    assert str(tmp_path) in str(error.value)


def test_all_faults_come_in_one_error(tmp_path):
    changes = {"do_lower_case": 3, "padding_side": "up", "tokenizer_class": "Other"}
    folder = copied(OLD, tmp_path / "a", tokenizer_config__json=changes, added_tokens__json={"x": None})
    with pytest.raises(
        CheckpointError, match=r"(?s)do_lower_case.*padding_side.*tokenizer_class.*added_tokens.json: 'x'"
    ):
        BertTokenizer.from_pretrained(folder)


def test_files_that_contradict_a_tokenizer_json_are_refused(tmp_path):
    folder = fast(tmp_path / "a")
    decoder = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    decoder["53"]["content"], decoder["54"]["content"] = decoder["54"]["content"], decoder["53"]["content"]
    changes = {"tokenizer_config__json": {"added_tokens_decoder": decoder}, "added_tokens__json": None}
    changed = copied(folder, tmp_path / "b", **changes)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: added tokens have other ids"):
        BertTokenizer.from_pretrained(changed)
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["normalizer"] = {"type": "NFC"}
    changed = copied(folder, tmp_path / "c")
    (changed / "tokenizer.json").write_text(json.dumps(rules))
    with pytest.raises(
        CheckpointError, match=r"do_lower_case is True, and the normalizer of tokenizer\.json, NFC, does not do so"
    ):
        BertTokenizer.from_pretrained(changed)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (ADDED, {"acme": 54}, r"added_tokens\.json: 'acme' is 54, in added_tokens_decoder of .* 53"),
        (ADDED, {"more": 55}, r"added_tokens\.json: 'more' is 55, in added_tokens_decoder of .* missing"),
        (SPECIAL, {"mask_token": "dog"}, r"special_tokens_map\.json: mask_token is 'dog', in .* '\[MASK\]'"),
    ],
)
def test_older_files_that_contradict_tokenizer_config_json_are_refused(tmp_path, file, content, message):
    """transformers passes over them where that has an added_tokens_decoder."""
    with pytest.raises(CheckpointError, match=message):
        BertTokenizer.from_pretrained(copied(SLOW, tmp_path / "a", **{file: content}))


def test_two_tokens_of_one_id_are_refused(tmp_path):
    """Found by the fuzzer: what was saved had other ids."""
    folder = copied(OLD, tmp_path / "a")
    lines = (folder / "vocab.txt").read_text().splitlines()
    (folder / "vocab.txt").write_text("".join(f"{line}\n" for line in [*lines[:20], *lines[10:20], *lines[20:-9], "x"]))
    (folder / "added_tokens.json").unlink()
    with pytest.raises(CheckpointError, match=r"the added token '\[E1\]' has the id \d+, which the vocabulary gives"):
        BertTokenizer.from_pretrained(folder)
    folder = copied(FURTHER, tmp_path / "b")
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["model"]["vocab"]["dog"] = rules["model"]["vocab"]["the"]
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    with pytest.raises(CheckpointError, match="two tokens of the vocabulary have one id, such as"):
        BertTokenizer.from_pretrained(folder)


def test_a_tokenizer_json_without_its_unknown_token_is_refused(tmp_path):
    """Found by the fuzzer: it broke at the first unknown word."""
    folder = copied(FURTHER, tmp_path / "a")
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["model"]["unk_token"] = "[NONE]"
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    with pytest.raises(CheckpointError, match=r"the vocabulary lacks the token \[NONE\]"):
        BertTokenizer.from_pretrained(folder)


def test_padding_without_a_pad_token_is_an_error(tmp_path):
    tokenizer = BertTokenizer.from_pretrained(
        copied(FURTHER, tmp_path / "a", tokenizer_config__json={"pad_token": None})
    )
    assert tokenizer(["the"])["input_ids"] == [[2, 5, 3]]
    for pad in (
        lambda: tokenizer(["the", "the dog"], padding=True),
        lambda: tokenizer.pad({"input_ids": [[1], [1, 2]]}),
    ):
        with pytest.raises(ValueError, match="padding needs a pad_token, and this tokenizer's is null"):
            pad()


def test_keys_that_change_nothing_are_kept(tmp_path):
    folder = copied(
        OLD, tmp_path / "a", tokenizer_config__json={"my_note": {"x": 1}, "name_or_path": "here", "use_fast": True}
    )
    tokenizer = BertTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(tmp_path / "b")
    saved = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    assert saved["my_note"] == {"x": 1} and saved["name_or_path"] == "here"


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "tokenizer.json"]
)
def test_links_out_and_pipes_are_refused(tmp_path, name):
    folder = copied(OLD, tmp_path / "a")
    (tmp_path / "secret").write_text("{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match=r"a link to .*secret outside the folder"):
        BertTokenizer.from_pretrained(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CheckpointError, match="no regular file"):
        BertTokenizer.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="no regular file"):
        copy_tokenizer(folder, tmp_path, keras=False)


def test_settings_of_a_call_are_checked_too():
    with pytest.raises(ValueError, match="do_lower_case is 'yes', expected true or false"):
        BertTokenizer.from_pretrained(OLD, do_lower_case="yes")
    with pytest.raises(ValueError, match="pad_token is 3, expected a token"):
        BertTokenizer(OLD / "vocab.txt", pad_token=3)


# --- TensorFlow -----------------------------------------------------------------------------------


def test_the_layer_of_tensorflow_has_the_added_tokens(tmp_path):
    from bertx_tensorflow import TFBertTokenizer

    added = {"[E1]": 51, "[/E1]": 52}
    folder = copied(OLD, tmp_path / "a")
    (folder / "added_tokens.json").write_text(json.dumps(added))
    ours = BertTokenizer.from_pretrained(folder)
    layer = TFBertTokenizer.from_pretrained(folder)
    again = TFBertTokenizer.from_config(layer.get_config())
    expected = ours([TEXT, MARKED], padding=True)["input_ids"]
    assert {51, 52} <= {i for row in expected for i in row}
    for found in (layer, again):
        assert found([TEXT, MARKED])["input_ids"].numpy().tolist() == expected
    ours.pad_token = "dog"
    assert TFBertTokenizer.from_tokenizer(ours)([TEXT, "the"])["input_ids"].numpy()[1, -1] == ours.pad_token_id
    # Those that match normalised text are refused by name.
    with pytest.raises(ValueError, match="acme"):
        TFBertTokenizer.from_pretrained(OLD)
    with pytest.raises(CheckpointError, match="BertJapaneseTokenizer"):
        TFBertTokenizer.from_pretrained(JAPANESE)


def test_pairs_of_the_layer_may_come_as_two_columns():
    """As transformers' TFBertTokenizer takes them: a row each."""
    import tensorflow as tf

    from bertx_tensorflow import TFBertTokenizer

    layer = TFBertTokenizer(str(OLD / "vocab.txt"))
    pairs = [["the dog", "on the"], ["dog", "the"]]
    expected = layer([a for a, _ in pairs], [b for _, b in pairs])
    traced = tf.function(lambda texts: layer(texts), input_signature=[tf.TensorSpec([None, 2], tf.string)])
    for found in (layer(pairs), layer(tf.constant(pairs)), traced(tf.constant(pairs))):
        assert {key: value.numpy().tolist() for key, value in found.items()} == {
            key: value.numpy().tolist() for key, value in expected.items()
        }
    assert expected["input_ids"].shape[0] == 2
    with pytest.raises(ValueError, match=r"text has the shape \(1, 3\), expected strings \[B\]"):
        layer([["a", "b", "c"]])
    with pytest.raises(ValueError, match=r"text has the shape \(2, 2\)"):
        layer(pairs, ["a", "b"])


def test_an_added_token_after_a_gap_says_how_to_close_it_and_that_works(tmp_path):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog"]
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary))
    added = {"<new>": len(vocabulary) + 2}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    with pytest.raises(CheckpointError, match=r"a placeholder, such as '\[unused 1\]'"):
        BertTokenizer.from_pretrained(tmp_path)
    added |= {f"[unused {i}]": len(vocabulary) + i for i in range(2)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    assert BertTokenizer.from_pretrained(tmp_path)("dog <new>").input_ids[1:-1] == [5, 8]
