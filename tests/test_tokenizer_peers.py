"""Option for option, the tokenizer gives what transformers' BertTokenizer gives; key for key, in its order."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from bertx.hub.sources import resolve
from bertx.tokenizers.bert import BertTokenizer
from conftest import MASKED_LM, MINILM

MAX_LENGTH = 40
CORPUS = {
    "plain": "Hello there, my friend! It's 3.14% -- isn't it? #tag @you e-mail@x.org",
    "empty": "",
    "spaces": "     ",
    "white space": "\ta\n\nb\r\nc\x0bd\x0ce\x85f\u00a0g\u2003h\u2028i\u3000j",
    "control characters": "a\x00b\x01c\x1fd\x7fe\x9ff \x00 \ufffd\ufffe g",
    "zero width": "zero\u200bwidth \u200d \ufeffmark join\u2060er \u200e\u200f",
    "soft hyphen": "soft\u00adhyphen \u00ad",
    "composed": "Unaffable café naïveté ÀÉÎ Ångström ﬁne İstanbul ẞ ß ŉ",
    "decomposed": "cafe\u0301 nai\u0308vete\u0301 A\u030angstro\u0308m I\u0307",
    "stray marks": "\u0301a \u0301 e\u0301\u0302\u0303\u0304 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A͓̜",
    "full width": "Ｈｅｌｌｏ　ｗｏｒｌｄ！ １２３ ｶﾞ",
    "chinese": "東京 is 東, 中文字符测试。漢字𠀀𪜶 㐀",
    "japanese": "ひらがな カタカナ が ガ",
    "korean": "안녕하세요 한국어 \u1112\u1161\u11ab",
    "thai": "สวัสดีครับ น้ำ",
    "hindi": "हिन्दी क्षत्रिय",
    "right to left": "שלום עולם שָׁלוֹם مرحبا بالعالم \u202eabc\u202c",
    "emoji": "😀 👩\u200d👩\u200d👧\u200d👦 🇩🇪🇫🇷 👍🏽 ❤\ufe0f 1\ufe0f\u20e3",
    "long word": "x" * 150 + " " + "supercalifragilistic" * 5 + " " + "y" * 100 + " " + "é" * 101,
    "special tokens": "[MASK]a[SEP] [CLS] [PAD][UNK] [mask] [ MASK ] ##ing a[MASK]b [unused1]",
    "punctuation": "!?.,;:'\"()[]{}<>/\\|`~^$€£¥+=_«»“”‘’…—–¿¡§¶†‡•‰ a.b.c ...",
    "figures": "1,234.5e-6 ½ ² ₂ Ⅳ ① ٣ 0x1F",
    "surplus": "word piece tokens " * 30,
}
TEXTS = list(CORPUS.values())
SECOND = [*TEXTS[7:], *TEXTS[:7]]


def pair_of(source, **changes):
    folder = resolve(source)
    return BertTokenizer.from_pretrained(folder, **changes), transformers.BertTokenizer.from_pretrained(
        folder, **changes
    )


@pytest.fixture(scope="module", params=[MINILM, MASKED_LM], ids=["minilm", "cognition"])
def both(request):
    return pair_of(request.param)


@pytest.fixture(scope="module")
def short():
    """Ours and theirs of a model that takes few tokens."""
    return pair_of(MINILM, model_max_length=MAX_LENGTH)


def assert_same(found, expected):
    assert list(found) == list(expected)
    assert dict(found) == dict(expected)
    assert len(found.encodings) == len(expected.encodings)
    for i in range(len(found.encodings)):
        assert found.tokens(i) == expected.tokens(i)
        assert found.word_ids(i) == expected.word_ids(i)
        assert found.sequence_ids(i) == expected.sequence_ids(i)


def agree(ours, theirs, arguments, options):
    """Compares one call; says whether it gave something. Where theirs raises, ours raises ValueError."""
    try:
        expected = theirs(*arguments, **options, verbose=False)
    except BaseException as error:
        assert isinstance(error, Exception) or type(error).__name__ == "PanicException", error
        with pytest.raises(ValueError, match=r"max_length"):
            ours(*arguments, **options)
        return False
    rows = expected["input_ids"]
    rows = [rows] if not rows or isinstance(rows[0], int) else rows
    limit = options.get("max_length") or theirs.model_max_length
    truncation = options.get("truncation")
    if truncation is None:
        truncation = options.get("max_length") is not None and not options.get("padding")
    truncated = truncation not in (False, "do_not_truncate")
    if options.get("return_overflowing_tokens") and truncated and max(map(len, rows)) > limit:
        # Where nothing of a text fits, the library puts all of it into one window, however long.
        with pytest.raises(ValueError, match=rf"max_length is {limit}, expected more"):
            ours(*arguments, **options)
        return False
    if options.get("padding") == "max_length" and max(map(len, rows)) > -(
        -limit // (options.get("pad_to_multiple_of") or 1)
    ) * (options.get("pad_to_multiple_of") or 1):
        # Theirs leaves such a row as it is, so that the batch is no rectangle.
        with pytest.raises(ValueError, match=rf"tokens, more than max_length {limit}"):
            ours(*arguments, **options)
        return False
    assert_same(ours(*arguments, **options), expected)
    return True


def product(**axes):
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def words(texts):
    return [text.split(" ") if text else [] for text in texts]


KINDS = {
    "one": lambda: [(text,) for text in (TEXTS[0], CORPUS["surplus"], CORPUS["emoji"], "")],
    "one pair": lambda: [(CORPUS["surplus"], TEXTS[0]), (TEXTS[0], CORPUS["surplus"]), ("a", ""), ("", "a")],
    "batch": lambda: [(TEXTS,)],
    "batch of pairs": lambda: [(TEXTS, SECOND)],
    "one of words": lambda: [(words(TEXTS)[0],), (words(TEXTS)[-1],), ([],)],
    "one pair of words": lambda: [(words(TEXTS)[0], words(TEXTS)[-1]), (["a", "Hello World"], [])],
    "batch of words": lambda: [(words(TEXTS),)],
    "batch of pairs of words": lambda: [(words(TEXTS), words(SECOND))],
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_combination_of_options_gives_what_transformers_gives(short, kind):
    ours, theirs = short
    gave = 0
    options = product(
        padding=[False, True, "longest", "max_length"],
        truncation=[None, False, True, "longest_first", "only_first", "only_second"],
        max_length=[None, 24],
        pad_to_multiple_of=[None, 8],
        return_overflowing_tokens=[False, True],
    )
    for i, chosen in enumerate(options):
        # The rest takes turns, so that each meets every other many times.
        chosen["stride"] = (0, 3)[i // 3 % 2]
        chosen["padding_side"] = (None, "left", "right")[i % 3]
        chosen["add_special_tokens"] = i % 5 != 0
        everything = {f"return_{name}": True for name in ("special_tokens_mask", "offsets_mapping", "length")}
        for arguments in KINDS[kind]():
            gave += agree(ours, theirs, arguments, chosen | everything | {"is_split_into_words": "words" in kind})
    assert gave > len(options) / 2


def test_every_stride_and_length_gives_the_windows_of_transformers(short):
    gave = 0
    for options in product(
        truncation=[True, "only_first", "only_second"],
        max_length=[3, 4, 7, 8, 16, 33, 200],
        stride=[0, 1, 3],
        add_special_tokens=[True, False],
        padding=[False, True],
    ):
        if options["stride"] < options["max_length"] - 3 or not options["stride"]:
            windows = options | {"return_overflowing_tokens": True, "return_offsets_mapping": True}
            for arguments in ((TEXTS,), (TEXTS[::3], SECOND[::3]), (CORPUS["surplus"],), (CORPUS["surplus"], "a b")):
                gave += agree(*short, arguments, windows)
    assert gave > 300


def test_every_combination_of_keys_stands_in_the_order_of_transformers(short):
    flags = product(
        return_token_type_ids=[None, True, False],
        return_attention_mask=[None, True, False],
        return_special_tokens_mask=[False, True],
        return_offsets_mapping=[False, True],
        return_length=[False, True],
        return_overflowing_tokens=[False, True],
    )
    for options in flags:
        for arguments in ((TEXTS[0],), ([TEXTS[0]],), (TEXTS[:3], SECOND[:3])):
            assert agree(*short, arguments, options)
    assert list(short[0]("a")) == ["input_ids", "token_type_ids", "attention_mask"]


@pytest.mark.parametrize("name", CORPUS)
def test_every_text_alone_and_in_pairs(both, name):
    ours, theirs = both
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    assert agree(ours, theirs, (CORPUS[name],), options)
    assert agree(ours, theirs, ([CORPUS[name]],), options)
    assert agree(ours, theirs, (words([CORPUS[name]])[0],), options | {"is_split_into_words": True})
    for second in TEXTS:
        assert agree(ours, theirs, (CORPUS[name], second), options)
    assert agree(ours, theirs, ([CORPUS[name]] * len(TEXTS), TEXTS), options)
    for add in (False, True):
        assert ours.tokenize(CORPUS[name], add_special_tokens=add) == theirs.tokenize(
            CORPUS[name], add_special_tokens=add
        )
        assert ours.tokenize(CORPUS[name], "x, y", add) == theirs.tokenize(CORPUS[name], "x, y", add)
        assert ours.encode(CORPUS[name], add_special_tokens=add) == theirs.encode(CORPUS[name], add_special_tokens=add)
    assert ours.encode(CORPUS[name], "a b", max_length=7) == theirs.encode(CORPUS[name], "a b", max_length=7)


def test_a_very_long_text(both):
    text = " ".join(TEXTS) * 60
    assert agree(*both, (text,), {"return_offsets_mapping": True})
    assert len(both[0](text)["input_ids"]) > 20_000
    assert agree(*both, (text,), {"truncation": True})
    assert agree(*both, (text,), {"truncation": True, "stride": 100, "return_overflowing_tokens": True})


@pytest.mark.parametrize("words", [False, True])
def test_a_lone_surrogate_is_an_error_in_both(both, words):
    ours, theirs = both
    for text in (["a \ud800 b"], ["fine", "\udfff"]):
        with pytest.raises(TypeError):
            theirs(text, is_split_into_words=words)
        with pytest.raises(ValueError, match=r"text\[[01]\] holds a lone surrogate, expected Unicode"):
            ours(text, is_split_into_words=words)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_sides_of_the_settings_are_the_defaults(side):
    ours, theirs = pair_of(MINILM, padding_side=side, truncation_side=side, model_max_length=MAX_LENGTH)
    for options in product(
        padding=[False, True, "max_length"],
        truncation=[True],
        max_length=[None, 9],
        return_overflowing_tokens=[False, True],
    ):
        assert agree(ours, theirs, (TEXTS,), options)
        assert agree(ours, theirs, (TEXTS, SECOND), options)


@pytest.mark.parametrize(
    "changes",
    product(do_lower_case=[True, False], strip_accents=[None, True, False], tokenize_chinese_chars=[True, False]),
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_normalisation_is_that_of_transformers(changes):
    folder = resolve(MINILM)
    ours, theirs = pair_of(MINILM, **changes)
    vocab = ours.get_vocab()
    made = BertTokenizer(vocab, **changes)
    from_file = BertTokenizer(folder / "vocab.txt", **changes)
    theirs_made = transformers.BertTokenizer(vocab=vocab, **changes)
    for tokenizer, peer in ((ours, theirs), (made, theirs_made), (from_file, theirs_made)):
        assert agree(tokenizer, peer, (TEXTS, SECOND), {"return_offsets_mapping": True})
        assert agree(tokenizer, peer, (words(TEXTS),), {"is_split_into_words": True})


def test_other_special_tokens_are_those_of_transformers():
    names = {"unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>"}
    names = {f"{name}_token": token for name, token in names.items()}
    vocab = {token: i for i, token in enumerate(["hello", *names.values(), "##s", "[", "sep", "]"])}
    ours, theirs = BertTokenizer(vocab, **names), transformers.BertTokenizer(vocab=vocab, **names)
    texts = ["hello <mask></s> hellos [SEP]", "<S> <s> strange<pad>", ""]
    for options in product(padding=[False, True], truncation=[False, True], max_length=[5]):
        assert agree(ours, theirs, (texts,), options)
        assert agree(ours, theirs, (texts, texts[::-1]), options)
    for name, token in names.items():
        assert getattr(ours, name) == getattr(theirs, name) == token
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id") == vocab[token]
    assert ours.all_special_ids == theirs.all_special_ids


def test_the_vocabulary_is_that_of_transformers(both):
    ours, theirs = both
    assert len(ours) == len(theirs) and ours.vocab_size == theirs.vocab_size
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.all_special_ids == theirs.all_special_ids
    assert (ours.padding_side, ours.truncation_side) == (theirs.padding_side, theirs.truncation_side)
    assert ours.model_max_length == theirs.model_max_length
    assert ours.model_input_names == theirs.model_input_names
    for name in ("unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{name}_token") == getattr(theirs, f"{name}_token")
        assert getattr(ours, f"{name}_token_id") == getattr(theirs, f"{name}_token_id")
    tokens = ["hello", "##s", "nowhere-to-be-found", "[SEP]", "[UNK]", "", "é"]
    assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)
    ids = [0, 101, 7592, 30521, 30522, 10**6, 102]
    for skip in (False, True):
        assert ours.convert_ids_to_tokens(ids, skip) == theirs.convert_ids_to_tokens(ids, skip)
    for token, i in zip(tokens, ids, strict=True):
        assert ours.convert_tokens_to_ids(token) == theirs.convert_tokens_to_ids(token)
        assert ours.convert_ids_to_tokens(i) == theirs.convert_ids_to_tokens(i)
    assert [ours.num_special_tokens_to_add(pair) for pair in (False, True)] == [2, 3]


def test_decoding_is_that_of_transformers(both):
    ours, theirs = both
    batch = [theirs(text, second)["input_ids"] for text, second in zip(TEXTS, SECOND, strict=True)]
    for options in product(skip_special_tokens=[False, True], clean_up_tokenization_spaces=[None, False, True]):
        assert ours.batch_decode(batch, **options) == theirs.batch_decode(batch, **options)
        assert ours.decode(batch, **options) == theirs.decode(batch, **options)
        for ids in (*batch, [], 7592, list(range(30522))):
            assert ours.decode(ids, **options) == theirs.decode(ids, **options)
    rows = theirs(TEXTS, padding=True)["input_ids"]
    expected = theirs.batch_decode(rows)
    for kind in ("np", "pt", "tf", "jax"):
        tensor = ours(TEXTS, padding=True, return_tensors=kind)["input_ids"]
        assert ours.batch_decode(tensor) == ours.decode(tensor) == expected
        assert ours.decode(tensor[0]) == expected[0]
        assert ours.convert_ids_to_tokens(tensor[0]) == theirs.convert_ids_to_tokens(rows[0])


def test_the_special_tokens_of_a_sequence_are_those_of_an_encoding(both):
    ours, theirs = both
    a, b = (theirs.encode(text, add_special_tokens=False) for text in ("Hello there", "unaffable friend"))
    one = theirs("Hello there", return_special_tokens_mask=True)
    two = theirs("Hello there", "unaffable friend", return_special_tokens_mask=True)
    assert ours.build_inputs_with_special_tokens(a) == one["input_ids"]
    assert ours.build_inputs_with_special_tokens(a, b) == two["input_ids"]
    assert ours.create_token_type_ids_from_sequences(a) == one["token_type_ids"]
    assert ours.create_token_type_ids_from_sequences(a, b) == two["token_type_ids"]
    assert ours.get_special_tokens_mask(a) == one["special_tokens_mask"]
    assert ours.get_special_tokens_mask(a, b) == two["special_tokens_mask"]
    built = [*two["input_ids"], 0, 100, 103]
    assert ours.get_special_tokens_mask(built, already_has_special_tokens=True) == theirs.get_special_tokens_mask(
        built, already_has_special_tokens=True
    )
    for tokenizer in (ours, theirs):
        with pytest.raises(ValueError):
            tokenizer.get_special_tokens_mask(a, b, already_has_special_tokens=True)


def test_characters_lead_to_tokens_and_back(both):
    ours, theirs = both
    found, expected = ours(TEXTS, SECOND), theirs(TEXTS, SECOND, verbose=False)
    for row, texts in enumerate(zip(TEXTS, SECOND, strict=True)):
        for sequence, text in enumerate(texts):
            for char in range(len(text) + 1):
                assert found.char_to_token(row, char, sequence) == expected.char_to_token(row, char, sequence)
        for token in range(len(expected["input_ids"][row])):
            assert found.token_to_chars(row, token) == expected.token_to_chars(row, token)
    found, expected = ours("Hello wörld"), theirs("Hello wörld")
    assert [found.char_to_token(i) for i in range(12)] == [expected.char_to_token(i) for i in range(12)]
    assert [found.token_to_chars(i) for i in range(5)] == [expected.token_to_chars(i) for i in range(5)]


@pytest.mark.parametrize("kind", ["np", "pt", "tf", "jax"])
def test_tensors_are_those_of_the_framework(both, kind):
    import jax
    import tensorflow
    import torch

    types = {"np": np.ndarray, "pt": torch.Tensor, "tf": tensorflow.Tensor, "jax": jax.Array}
    ours, theirs = both
    everything = {f"return_{name}": True for name in ("special_tokens_mask", "offsets_mapping", "length")}
    windows = {"truncation": True, "max_length": 9, "return_overflowing_tokens": True}
    for arguments, options in (
        ((TEXTS,), {}),
        ((TEXTS, SECOND), windows),
        ((TEXTS[0],), {}),
        ((TEXTS[0], "b"), windows),
        (("",), {"add_special_tokens": False}),
    ):
        options = options | everything | {"padding": True}
        expected = theirs(*arguments, **options, return_tensors="np", verbose=False)
        found = ours(*arguments, **options, return_tensors=kind)
        assert list(found) == list(expected)
        for name, value in found.items():
            assert isinstance(value, types[kind]), name
            assert np.asarray(value).shape == expected[name].shape, name
            assert np.asarray(value).tolist() == expected[name].tolist(), name
    if kind in ("np", "pt"):
        peer = theirs(TEXTS, padding=True, return_tensors=kind)
        assert {v.dtype for v in ours(TEXTS, padding=True, return_tensors=kind).values()} == {
            v.dtype for v in peer.values()
        }


def test_rows_tokenised_before_are_padded_as_transformers_pads_them(short):
    ours, theirs = short
    made = {"truncation": True, "return_special_tokens_mask": True, "return_offsets_mapping": True}
    rows = [dict(theirs(text, second, **made)) for text, second in zip(TEXTS, SECOND, strict=True)]
    rows = [row | {"label": i, "labels": [1] * len(row["input_ids"])} for i, row in enumerate(rows)]
    bare = [{"input_ids": row["input_ids"]} for row in rows]
    typed = [{name: row[name] for name in ("token_type_ids", "input_ids")} for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for options in product(
        padding=[True, "longest", "max_length", False],
        max_length=[None, 48],
        pad_to_multiple_of=[None, 7],
        padding_side=[None, "left", "right"],
    ):
        for inputs in (rows, bare, typed, columns, rows[0], bare[1]):
            found = ours.pad(copy.deepcopy(inputs), **options)
            expected = theirs.pad(copy.deepcopy(inputs), **options, verbose=False)
            assert list(found) == list(expected)
            assert dict(found) == dict(expected)
        found = ours.pad(bare, **options, return_attention_mask=False)
        assert dict(found) == dict(
            theirs.pad(copy.deepcopy(bare), **options, return_attention_mask=False, verbose=False)
        )
    regression = [row | {"labels": 0.5} for row in bare]
    for kind in ("np", "pt"):
        found, expected = (tokenizer.pad(copy.deepcopy(regression), return_tensors=kind) for tokenizer in short)
        assert list(found) == list(expected)
        for name, value in found.items():
            assert type(value) is type(expected[name]) and value.tolist() == expected[name].tolist()


def test_added_tokens_are_those_of_transformers():
    ours, theirs = pair_of(MINILM)
    texts = ["Foobarx foobarx foobarxs bqq hello", "<ent>a<ENT> <ent>", *TEXTS]
    for tokens, special in (
        (["foobarx", "hello", "foobarx"], False),
        ([], False),
        ("bqq", False),
        (["<ent>"], True),
        ("<ent>", True),
    ):
        assert ours.add_tokens(tokens, special) == theirs.add_tokens(tokens, special)
        assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
        assert agree(ours, theirs, (texts,), {"return_special_tokens_mask": True})
    batch = theirs(texts)["input_ids"]
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.all_special_ids == theirs.all_special_ids
    for skip in (False, True):
        assert ours.batch_decode(batch, skip) == theirs.batch_decode(batch, skip)
        assert [ours.convert_ids_to_tokens(ids, skip) for ids in batch] == [
            theirs.convert_ids_to_tokens(ids, skip) for ids in batch
        ]


def test_added_tokens_are_saved_and_read_by_transformers(tmp_path, both):
    ours = copy.deepcopy(both[0])
    ours.add_tokens(["foobarx"])
    ours.add_tokens(["<ent>"], special_tokens=True)
    ours.save_pretrained(tmp_path)
    again, theirs = BertTokenizer.from_pretrained(tmp_path), transformers.BertTokenizer.from_pretrained(tmp_path)
    texts = [*TEXTS, "Foobarx <ent>a"]
    expected = ours(texts)
    assert dict(again(texts)) == dict(theirs(texts, verbose=False)) == dict(expected)
    assert len(again) == len(theirs) == len(ours) == ours.vocab_size + 2
    batch = expected["input_ids"]
    assert again.batch_decode(batch, True) == ours.batch_decode(batch, True) == theirs.batch_decode(batch, True)


def test_a_copy_gives_the_same(both):
    ours, theirs = both
    for tokenizer in (pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours), copy.copy(ours)):
        assert agree(tokenizer, theirs, (TEXTS, SECOND), {"padding": True, "truncation": True, "max_length": 20})
        assert (tokenizer.pad_token_id, tokenizer.model_max_length) == (theirs.pad_token_id, theirs.model_max_length)
    encoded = ours(TEXTS, SECOND)
    for again in (pickle.loads(pickle.dumps(encoded)), copy.deepcopy(encoded)):
        assert again == encoded
        assert again.tokens(1) == encoded.tokens(1) and again.word_ids(1) == encoded.word_ids(1)


OPTIONS = st.fixed_dictionaries(
    {
        "padding": st.sampled_from([False, True, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from(
            [None, False, True, "longest_first", "do_not_truncate", "only_first", "only_second"]
        ),
        "max_length": st.sampled_from([None, 8, 12, 16, 30]),
        "stride": st.integers(0, 4),
        "pad_to_multiple_of": st.sampled_from([None, 1, 4, 8]),
        "padding_side": st.sampled_from([None, "left", "right"]),
        "add_special_tokens": st.booleans(),
        "return_overflowing_tokens": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_length": st.booleans(),
        "return_token_type_ids": st.sampled_from([None, True, False]),
        "return_attention_mask": st.sampled_from([None, True, False]),
    }
)
CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.one_of(
    st.text(CHARACTERS),
    st.lists(st.sampled_from([*TEXTS[:22], "[SEP]", "a", "\u0301", " ", "Ü"]), max_size=4).map("".join),
)


@settings(max_examples=200, database=None, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), options=OPTIONS, form=st.sampled_from("1bpq"))
def test_any_text_with_any_options_gives_what_transformers_gives(short, rows, options, form):
    first, second = ([row[i] for row in rows] for i in (0, 1))
    arguments = {"1": (first[0],), "b": (first,), "p": (first[0], second[0]), "q": (first, second)}[form]
    ours, theirs = short
    agree(ours, theirs, arguments, options)
    split = tuple(words(part) if isinstance(part, list) else words([part])[0] for part in arguments)
    agree(ours, theirs, split, options | {"is_split_into_words": True})
    ids = theirs(first, second, verbose=False)["input_ids"]
    for skip in (False, True):
        assert ours.batch_decode(ids, skip) == theirs.batch_decode(ids, skip)
    assert [ours.tokenize(text) for text in first] == [theirs.tokenize(text) for text in first]
