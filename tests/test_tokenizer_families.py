"""RoBERTa's and XLM-R's tokenizers give what transformers' classes of the same names give, option for option."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path

import pytest
import sentencepiece
import transformers
from tokenizers import AddedToken, ByteLevelBPETokenizer

import bertx
from bertx.tokenizers.auto import read_tokenizer
from bertx.tokenizers.files import copy_tokenizer
from bertx_weights import CheckpointError
from test_tokenizer_peers import CORPUS

FIXTURES = Path(__file__).parent / "fixtures"
MORE = {
    "mask beside spaces": "the <mask> fox  <mask>  ran<mask>on <mask>",
    "mask in words": "a<mask>b <mask><mask> <MASK> < mask > <mask>\n<mask>\u00a0x",
    "other special tokens": "<s> a </s></s>b <pad><unk> <s></s>",
    "spaces around": "  leading and trailing   ",
    "one space": " x ",
    "new lines": "\n\nline one\nline two\r\n\r\n  three\n",
    "the character of spaces": "\u2581the \u2581\u2581fox \u0120the",
    "cases": "The QUICK bRoWn fOx THE the ǅ ß ẞ ſ",
    "added": "say<NEW>it new_word anew_word NEW_WORD <NEW> <NEW>",
    "private and unassigned": "\ue000 \U0010fffd \u0378 \U000e0001 \ufdd0",
    "one letter": "x",
    "a mark alone": "\u0301",
}
TEXTS = [*CORPUS.values(), *MORE.values()]
SECOND = [*TEXTS[5:], *TEXTS[:5]]
LEARNT = [text for text in TEXTS if "<" not in text and len(text) < 300] * 4 + [
    "the quick brown fox ran over the dog"
] * 9
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
# transformers 5 gives <mask> no lstrip in a folder without tokenizer.json; 4.57 and the published files do.
MASK = AddedToken("<mask>", lstrip=True, normalized=False, special=True)
NEW = [AddedToken("<NEW>", lstrip=True, rstrip=True), AddedToken("new_word", single_word=True), "fox r"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Family → a folder with its vocabulary and no other file."""
    roberta, xlm_roberta = tmp_path_factory.mktemp("roberta"), tmp_path_factory.mktemp("xlm_roberta")
    rules = ByteLevelBPETokenizer()
    rules.train_from_iterator(LEARNT, vocab_size=600, special_tokens=SPECIAL, show_progress=False)
    rules.save_model(str(roberta))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LEARNT),
        model_prefix=str(xlm_roberta / "sentencepiece.bpe"),
        vocab_size=300,
        character_coverage=0.98,
        hard_vocab_limit=False,
        user_defined_symbols=["<X>"],
        minloglevel=2,
    )
    (xlm_roberta / "sentencepiece.bpe.vocab").unlink()
    return {"Roberta": roberta, "XLMRoberta": xlm_roberta}


CASES = {
    "roberta": ("Roberta", {}),
    "roberta, spaces before": ("Roberta", {"add_prefix_space": True}),
    "roberta, offsets with spaces": ("Roberta", {"trim_offsets": False, "padding_side": "left"}),
    "roberta, added": ("Roberta", {"added": True, "truncation_side": "left"}),
    "xlm-roberta": ("XLMRoberta", {}),
    "xlm-roberta, added": ("XLMRoberta", {"added": True, "padding_side": "left", "truncation_side": "left"}),
}


def peers(folder, family, added=False, **changes):
    """Ours and transformers' of a folder."""
    both = [
        getattr(module, f"{family}Tokenizer").from_pretrained(folder, mask_token=MASK, **changes)
        for module in (bertx, transformers)
    ]
    if added:
        for tokenizer in both:
            tokenizer.add_tokens(NEW)
            tokenizer.add_special_tokens({"extra_special_tokens": ["<NEW SPECIAL>", "fox"]})
    return both


@pytest.fixture(scope="module", params=CASES, ids=list(CASES))
def both(request, folders):
    family, changes = CASES[request.param]
    return peers(folders[family], family, **changes)


def compare(both, *texts, **options):
    """All that a call gives, and the words behind the tokens."""
    asked = {
        "return_offsets_mapping": True,
        "return_special_tokens_mask": True,
        "return_token_type_ids": True,
        "return_attention_mask": True,
    }
    ours, theirs = (tokenizer(*texts, **asked, **options) for tokenizer in both)
    assert dict(ours).keys() == dict(theirs).keys()
    for key in theirs:
        assert ours[key] == theirs[key], key
    for i in range(len(theirs["input_ids"])):
        assert ours.word_ids(i) == theirs.word_ids(i)
        assert ours.sequence_ids(i) == theirs.sequence_ids(i)
        assert ours.tokens(i) == theirs.tokens(i)
    return theirs


@pytest.mark.parametrize("special", [True, False])
def test_texts_and_pairs(both, special):
    encoded = compare(both, TEXTS, add_special_tokens=special)
    assert sum(map(len, encoded["input_ids"])) > 1000
    compare(both, TEXTS, SECOND, add_special_tokens=special)
    for text in TEXTS:  # one by one, where an empty text is a row too
        assert both[0](text)["input_ids"] == both[1](text)["input_ids"]
        assert both[0].tokenize(text) == both[1].tokenize(text)


@pytest.mark.filterwarnings("ignore:Be aware, overflowing tokens")
@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
def test_truncation_and_windows(both, strategy):
    for length, stride in ((9, 0), (17, 3)):
        if strategy != "only_second":
            compare(both, TEXTS, truncation=strategy, max_length=length)
            compare(both, TEXTS, truncation=strategy, max_length=length, stride=stride, return_overflowing_tokens=True)
    long = [text for text in TEXTS if len(both[1].tokenize(text)) > 60]
    short = ["the fox"] * len(long)
    pair = (short, long) if strategy == "only_second" else (long, short)
    assert long
    compare(both, *pair, truncation=strategy, max_length=25)
    if strategy != "longest_first":
        compare(both, *pair, truncation=strategy, max_length=25, stride=3, return_overflowing_tokens=True)


def test_padding(both):
    for side, padding in itertools.product(("right", "left", None), ("longest", "max_length")):
        options = {"padding": padding, "padding_side": side, "truncation": True, "max_length": 32}
        compare(both, TEXTS, SECOND, pad_to_multiple_of=8, **options)
    rows = [tokenizer(TEXTS) for tokenizer in both]
    padded = [tokenizer.pad(row, padding="longest") for tokenizer, row in zip(both, rows, strict=True)]
    assert dict(padded[0]) == dict(padded[1])


def test_words(both):
    words = [text.split() for text in TEXTS]
    words = [row for row in words if row]
    if not both[1].init_kwargs.get("add_prefix_space"):
        with pytest.raises(ValueError, match="add_prefix_space=True"):
            both[0](words, is_split_into_words=True)
        return
    compare(both, words, is_split_into_words=True)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("clean", [True, False, None])
def test_decoding(both, skip, clean):
    rows = both[1](TEXTS)["input_ids"] + [list(range(n, len(both[1]), 7)) for n in range(7)]
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
    # By default transformers 5 ignores the argument for BPE; 4.57 did not.
    both[1].clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output = True
    own = both[1].convert_tokens_to_ids("<X>")  # a symbol of the file that is not special: 5 skips it here only
    for row in rows:
        assert both[0].decode(row, **options) == both[1].decode(row, **options)
        row = [i for i in row if i != own]
        assert both[0].convert_ids_to_tokens(row, skip) == both[1].convert_ids_to_tokens(row, skip)
    tokens = both[1].convert_ids_to_tokens(rows[0])
    assert both[0].convert_tokens_to_string(tokens) == both[1].convert_tokens_to_string(tokens)


def test_names_and_numbers(both):
    ours, theirs = both
    assert len(ours) == len(theirs) and ours.get_vocab() == theirs.get_vocab()
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert ours.model_input_names == theirs.model_input_names
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{name}_token") == getattr(theirs, f"{name}_token")
        assert getattr(ours, f"{name}_token_id") == getattr(theirs, f"{name}_token_id")
    assert ours.num_special_tokens_to_add(True) == theirs.num_special_tokens_to_add(True) == 4


def test_rows_of_ids(both):
    """What is put around ids is what is put around texts."""
    ours, theirs = both
    first, second = (theirs(text, add_special_tokens=False)["input_ids"] for text in ("the quick fox", "ran over"))
    for row in ((first,), (first, second)):
        expected = theirs(*(["the quick fox", "ran over"][: len(row)]), return_special_tokens_mask=True)
        made = ours.prepare_for_model(*row, return_special_tokens_mask=True, return_token_type_ids=True)
        assert made["input_ids"] == expected["input_ids"] == ours.build_inputs_with_special_tokens(*row)
        assert made["special_tokens_mask"] == expected["special_tokens_mask"]
        assert made["token_type_ids"] == [0] * len(made["input_ids"])


@pytest.mark.parametrize("case", CASES)
def test_saved_folders_are_read_by_both(folders, tmp_path, case):
    """With tokenizer.json, and without it from the vocabulary that is beside it."""
    family, changes = CASES[case]
    ours, _ = peers(folders[family], family, **changes)
    written = ours.save_pretrained(tmp_path)
    assert {str(path) for path in tmp_path.iterdir()} == set(written)
    expected = ours(TEXTS, SECOND)["input_ids"]
    for reader in (getattr(bertx, f"{family}Tokenizer").from_pretrained, read_tokenizer):
        assert reader(tmp_path)(TEXTS, SECOND)["input_ids"] == expected
    read = getattr(transformers, f"{family}Tokenizer").from_pretrained(tmp_path)
    assert read(TEXTS, SECOND)["input_ids"] == expected
    (tmp_path / "tokenizer.json").unlink()
    for path in (folders[family]).iterdir():
        if path.name != "vocab.json":  # whose order differs
            assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert read_tokenizer(tmp_path)(TEXTS, SECOND)["input_ids"] == expected
    read = getattr(transformers, f"{family}Tokenizer").from_pretrained(tmp_path)
    assert read(TEXTS, SECOND)["input_ids"] == expected


@pytest.mark.parametrize("case", CASES)
def test_folders_of_transformers_are_read(folders, tmp_path, case):
    family, changes = CASES[case]
    _, theirs = peers(folders[family], family, **changes)
    theirs.save_pretrained(tmp_path)
    read = read_tokenizer(tmp_path)
    assert type(read).__name__ == f"{family}Tokenizer"
    compare([read, theirs], TEXTS, SECOND)
    assert pickle.loads(pickle.dumps(read))(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]


def test_a_folder_of_a_vocabulary_reads_as_in_transformers_4(tmp_path):
    """Its <mask> takes the space before it, as the word does that it stands for."""
    stored = json.loads((FIXTURES / "tokenizers" / "roberta.json").read_text())
    (tmp_path / "vocab.json").write_text(json.dumps(stored["vocab"]))
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *stored["merges"], ""]))
    for case in stored["expected"]:
        read = bertx.RobertaTokenizer.from_pretrained(tmp_path, **case["settings"])
        found = read(stored["texts"], stored["texts"][::-1], return_offsets_mapping=True)
        assert json.loads(json.dumps(dict(found))) == case["encoded"], case["settings"]
    made = bertx.RobertaTokenizer(stored["vocab"], [tuple(merge.split(" ")) for merge in stored["merges"]])
    again = bertx.RobertaTokenizer(vocab_file=tmp_path / "vocab.json", merges_file=tmp_path / "merges.txt")
    expected = stored["expected"][0]["encoded"]["input_ids"]
    for tokenizer in (made, again):
        assert tokenizer(stored["texts"], stored["texts"][::-1])["input_ids"] == expected


def test_an_added_pad_leaves_the_ids_of_the_pretrained_model(folders, tmp_path):
    tokenizer = bertx.XLMRobertaTokenizer.from_pretrained(folders["XLMRoberta"])
    expected, size = tokenizer(TEXTS)["input_ids"], len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<NEW PAD>"})
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    read = read_tokenizer(tmp_path)
    assert read(TEXTS)["input_ids"] == expected
    assert read.pad_token_id == size and read.convert_tokens_to_ids("<pad>") == 1


@pytest.mark.parametrize("family", ["Roberta", "XLMRoberta"])
@pytest.mark.parametrize("named", ["tokenizer_config.json", "config.json", "model_type"])
def test_the_class_is_that_which_the_files_name(folders, tmp_path, family, named):
    for path in folders[family].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    values = {"tokenizer_class": f"{family}TokenizerFast"}
    if named == "model_type":
        values = {"model_type": {"Roberta": "roberta", "XLMRoberta": "xlm-roberta"}[family]}
    (tmp_path / ("config.json" if named == "model_type" else named)).write_text(json.dumps(values))
    read = read_tokenizer(tmp_path)
    assert type(read).__name__ == f"{family}Tokenizer" and read.name_or_path == str(tmp_path)
    target = tmp_path / "target"
    target.mkdir()
    assert copy_tokenizer(tmp_path, target, keras=False) == []
    assert {path.name for path in folders[family].iterdir()} <= {path.name for path in target.iterdir()}
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: tokenizer_class is 'LlamaTokenizer'"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("rules", [True, False])
def test_a_class_that_contradicts_the_files_is_refused(folders, tmp_path, rules):
    if rules:
        bertx.XLMRobertaTokenizer.from_pretrained(folders["XLMRoberta"]).save_pretrained(tmp_path)
    else:
        (tmp_path / "sentencepiece.bpe.model").write_bytes(
            (folders["XLMRoberta"] / "sentencepiece.bpe.model").read_bytes()
        )
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    message = (
        "model is Unigram, and that of tokenizer_class RobertaTokenizer is BPE"
        if rules
        else (r"RobertaTokenizer, whose .* vocab\.json with merges\.txt, .* has sentencepiece\.bpe\.model")
    )
    for read in (bertx.RobertaTokenizer.from_pretrained, read_tokenizer):
        with pytest.raises(CheckpointError, match=message):
            read(tmp_path)
    with pytest.raises(CheckpointError, match="XLMRobertaTokenizer does not run it"):
        bertx.XLMRobertaTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("merges.txt", None, r"has no merges\.txt: a byte-level BPE tokenizer is"),
        ("merges.txt", b"#version: 0.2\na b c\n", r"merges\.txt, line 2: 'a b c', expected two tokens"),
        ("merges.txt", "q \u2603\n".encode(), r"merges\.txt is not of this vocabulary"),
        ("vocab.json", b"[]", r"vocab\.json: expected a JSON object"),
        ("vocab.json", b'{"a": "b"}', r"vocab\.json: 'a' has 'b', expected a token and its id"),
        ("vocab.json", b"{}", r"vocab\.json has no tokens"),
        ("vocab.json", b'{"<s>": 4294967295, "</s>": 1}', "'<s>' has the id 4294967295, expected less than"),
        ("vocab.json", b'{"<s>": 0, "a": 1}', r"vocab\.json: the vocabulary lacks the special tokens </s>"),
        ("sentencepiece.bpe.model", b"", r"\.model: not a model of SentencePiece: it has no pieces"),
        ("sentencepiece.bpe.model", b"\x0a\xff", r"\.model: not a model of SentencePiece"),
        (
            "sentencepiece.bpe.model",
            b"\x0a\x08\x0a\x01a\x15\x00\x00\xc0\x7f",
            r"\.model: not a model of SentencePiece: the piece 'a' has the score nan",
        ),
        ("sentencepiece.bpe.model", b"\x12\x02\x18\x02", r"\.model: not a model of SentencePiece"),
    ],
)
def test_broken_files_are_refused_by_name(folders, tmp_path, name, content, message):
    family = "XLMRoberta" if name.endswith("model") else "Roberta"
    for path in folders[family].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
        if name == "vocab.json":
            (tmp_path / "merges.txt").write_bytes(b"#version: 0.2\n")
    with pytest.raises(CheckpointError, match=message) as error:
        getattr(bertx, f"{family}Tokenizer").from_pretrained(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "bpe"}, "model_type is 2, expected 1"),
        ({"add_dummy_prefix": False}, "add_dummy_prefix is 0, expected 1"),
        ({"byte_fallback": True}, "byte_fallback is 1, expected 0"),
        ({"pad_id": 0, "unk_id": 1, "bos_id": 2, "eos_id": 3}, "first pieces are '<pad>', '<unk>', '<s>', expected"),
    ],
)
def test_models_of_sentencepiece_that_are_not_run(tmp_path, options, message):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LEARNT),
        model_prefix=str(tmp_path / "sentencepiece.bpe"),
        vocab_size=600,
        character_coverage=0.98,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    with pytest.raises(CheckpointError, match=rf"sentencepiece\.bpe\.model: .*{message}"):
        bertx.XLMRobertaTokenizer.from_pretrained(tmp_path)
