"""The tokenizer in the TensorFlow graph gives the ids of BertTokenizer; where it cannot, it differs as it says."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import unicodedata

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers

import bertx
import bertx_tensorflow
from bertx import BertTokenizer
from bertx.backend import MissingExtraError
from bertx_tensorflow import TFBertTokenizer
from conftest import MINILM
from test_tokenizer_peers import SECOND, TEXTS, product

SPECIAL = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
SETTINGS = {
    "uncased": {},
    "cased": {"do_lower_case": False},
    "neither accents nor ideographs": {"strip_accents": False, "tokenize_chinese_chars": False},
}


@pytest.fixture(scope="module")
def both():
    """Settings → (BertTokenizer of MiniLM, the layer made from it)."""
    made = {}

    def get(**changes):
        key = tuple(sorted(changes.items()))
        if key not in made:
            ours = BertTokenizer.from_pretrained(MINILM, **changes)
            made[key] = ours, TFBertTokenizer.from_tokenizer(ours)
        return made[key]

    return get


def lists(columns):
    """What a layer gives, as lists."""
    return {k: v.to_list() if isinstance(v, tf.RaggedTensor) else v.numpy().tolist() for k, v in columns.items()}


def check(ours, layer, texts, pairs=None, **options):
    """Compares one call, key for key in their order; the layer pads and truncates unless told otherwise."""
    expected = ours(texts, pairs, **({"padding": True, "truncation": True} | options))
    found = layer(texts, pairs, **options)
    assert list(found) == list(expected)
    assert lists(found) == dict(expected)
    assert {value.dtype for value in found.values()} == {tf.int64}


def spelled_as_one(ours, *texts):
    """Whether the normaliser makes of each text what it makes of its characters: all it knows are single ones."""
    spell = ours.backend_tokenizer.normalizer.normalize_str
    return all(spell(text) == "".join(map(spell, text)) for text in texts)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_ids_of_the_corpus(both, name):
    ours, layer = both(**SETTINGS[name])
    check(ours, layer, TEXTS)
    check(ours, layer, TEXTS, padding=False, truncation=False)
    check(ours, layer, TEXTS, SECOND)
    for text in TEXTS[::4]:
        check(ours, layer, [text], ["Hello wörld"])


def test_every_option(both):
    ours, layer = both()
    some = {"texts": TEXTS[::4] + TEXTS[-1:], "pairs": SECOND[::4] + TEXTS[-1:]}
    options = product(padding=[True, "max_length", False], truncation=[True, False], max_length=[None, 8, 24])
    gave = 0
    for i, chosen in enumerate(options):
        # The rest takes turns.
        chosen |= {"return_token_type_ids": i % 2 == 0, "return_attention_mask": i % 3 == 0}
        chosen["pad_to_multiple_of"] = (None, 8)[i % 2]
        for pairs in (None, some["pairs"]):
            try:
                ours(some["texts"], pairs, **chosen)
            except ValueError:  # rows longer than the max_length to pad to
                with pytest.raises(tf.errors.InvalidArgumentError, match="a text has more tokens than max_length"):
                    layer(some["texts"], pairs, **chosen)
            else:
                check(ours, layer, some["texts"], pairs, **chosen)
                gave += 1
    assert gave > len(options)
    for alias in ({"padding": "longest", "truncation": "longest_first"}, {"padding": "do_not_pad"}):
        check(ours, layer, TEXTS, SECOND, max_length=9, **alias)
    check(ours, layer, TEXTS, truncation="do_not_truncate", max_length=9)
    check(ours, layer, TEXTS, pad_to_multiple_of=7, max_length=21)


@pytest.mark.parametrize("side", ["left", "right"])
def test_every_length_is_truncated_and_padded_on_its_side(both, side):
    ours, layer = both(**({"truncation_side": "left", "padding_side": "left"} if side == "left" else {}))
    longs = ["a b c d e f g h", "a b c", "a b c d", "", "a", "a b c d e", "a b c d e"]
    for length in range(3, 13):
        check(ours, layer, longs + longs, longs[::-1] + longs, max_length=length)
    check(ours, layer, longs, max_length=6)


def test_options_of_every_call_and_the_length_that_the_checkpoint_takes(tmp_path):
    # As transformers saves a tokenizer that was called with them; BertTokenizer asks for model_max_length only.
    saved = {"model_max_length": 9, "max_length": 5, "truncation": False, "padding": False}
    BertTokenizer.from_pretrained(MINILM).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | saved))
    ours = BertTokenizer.from_pretrained(tmp_path)
    ours.padding_side = ours.truncation_side = "left"
    layer = TFBertTokenizer.from_tokenizer(ours, padding="max_length", return_token_type_ids=False)
    assert list(layer(TEXTS)) == ["input_ids", "attention_mask"]
    check(ours, layer, TEXTS, SECOND, padding="max_length", return_token_type_ids=False)
    assert lists(layer(TEXTS)) == dict(ours(TEXTS, padding="max_length", truncation=True, return_token_type_ids=False))
    assert layer(TEXTS)["input_ids"].shape == (len(TEXTS), 9)
    assert layer(TEXTS, max_length=6)["input_ids"].shape == (len(TEXTS), 6)


CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.one_of(
    st.text(CHARACTERS, max_size=30),
    st.text(st.characters(categories=["Mn", "Mc", "Po", "Zs", "Cf", "Lu", "Lo"]), max_size=30),
    st.lists(st.sampled_from([*TEXTS[:22], "[SEP]", "[MASK]", "a", "\u0301", " ", "Ü"]), max_size=4).map("".join),
)


@settings(max_examples=40, database=None, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8),
    name=st.sampled_from(sorted(SETTINGS)),
    paired=st.booleans(),
    length=st.sampled_from([None, 8, 19]),
    padding=st.sampled_from([True, False]),
)
def test_any_text(both, rows, name, paired, length, padding):
    ours, layer = both(**SETTINGS[name])
    first, second = ([row[i] for row in rows] for i in (0, 1))
    assume(spelled_as_one(ours, *first, *second))
    check(ours, layer, first, second if paired else None, max_length=length, padding=padding)


@pytest.fixture(scope="module")
def characters():
    """(BertTokenizer, layer) whose ids tell each assigned character of the first two planes from every other."""
    every = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
    spell = normalizers.BertNormalizer().normalize_str
    known = sorted({*"aς", *every, *(c for e in every for c in spell(e))} - {" "})
    vocab = dict(SPECIAL)
    for token in (*known, *(f"##{c}" for c in known)):
        vocab.setdefault(token, len(vocab))
    ours = BertTokenizer(vocab)
    return ours, TFBertTokenizer.from_tokenizer(ours), every


def test_every_character_within_a_word(characters):
    ours, layer, every = characters
    texts = [f"a{c}Σ" for c in every]
    expected = ours(texts)["input_ids"]
    assert len({tuple(ids) for ids in expected}) > 50000
    found = layer(texts, padding=False)["input_ids"].to_list()
    assert [c for c, a, b in zip(every, found, expected, strict=True) if a != b] == []


def test_marks_that_stay_keep_the_order_of_the_text(characters):
    """The one disagreement in ids, and it is that one: BertTokenizer sorts such marks, the layer does not."""
    ours, layer, every = characters
    spell, sort = ours.backend_tokenizer.normalizer.normalize_str, normalizers.NFD().normalize_str
    marks = [c for c in every if unicodedata.category(c)[0] == "M" and spell(c) == c]
    low, high = "\u0334", "\u0345"  # marks of the first and the last class
    marks = [c for c in marks if sort(c + low) != c + low or sort(high + c) != high + c]
    assert {"\u302e", "\U0001d165", "\u08d4", "\u1b44"} <= set(marks) and not {"\u0301", "\u05b8"} & set(marks)
    texts = [f"a{one}{other}" for one in marks for other in marks]
    found, expected = layer(texts)["input_ids"].numpy().tolist(), ours(texts, padding=True)["input_ids"]
    tokens = [ours.convert_ids_to_tokens(ids, skip_special_tokens=True) for ids in found]
    assert tokens == [[text[0], f"##{text[1]}", f"##{text[2]}"] for text in texts]
    differ = [text for text, a, b in zip(texts, found, expected, strict=True) if a != b]
    assert differ == [text for text in texts if sort(text) != text]
    assert len(differ) > 100
    assert not any(spelled_as_one(ours, text) for text in differ)


def test_bytes_that_are_not_utf8_are_read_as_python_replaces_them(both):
    ours, layer = both()
    draw = random.Random(0)
    some = [0x61, 0x20, 0xE4, 0xB8, 0xAD, 0xFF, 0xC0, 0x80, 0xF0, 0x9F, 0xED, 0xA0]
    texts = [bytes(draw.choice([*some, draw.randrange(256)]) for _ in range(draw.randrange(9))) for _ in range(2000)]
    texts += [b"a\xff[MASK]\xe4", b"\xe4[MASK]", b"[MA\xffSK]", b"\xed\xa0\x80", b"ab\xffcd"]
    decoded = [text.decode("utf-8", "replace") for text in texts]
    assert sum("\ufffd" in text for text in decoded) > 1000
    assert lists(layer(tf.constant(texts))) == dict(ours(decoded, padding=True))


def test_special_tokens_of_other_names_and_others_that_were_added():
    names = {"unk_token": "<u n>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "pad", "mask_token": "(*)"}
    vocab = {"a": 0, "</s>": 1, "<u n>": 2, "(*)": 3, "b": 4, "<s>": 5, "##b": 6, "pad": 7, "!": 8, "7": 9, "##d": 10}
    ours = BertTokenizer(vocab, **names)
    ours.add_tokens(["[e", "[e]", "[e] x", "ent", "é", "$&\\1|"], special_tokens=True)
    layer = TFBertTokenizer.from_tokenizer(ours)
    texts = [
        "a(*)b <S> <s>ab</s>",
        "pad padb apad",
        "<u n> zz",
        "[e[e] x[e]x [E]",
        "é e É",
        "$&\\1| $&|",
        "!7 !13 !",
        "ENT aent",
        "",
    ]
    check(ours, layer, texts)
    check(ours, layer, texts, texts[::-1])
    assert lists(layer(["[e] x"], padding=False))["input_ids"] == [[5, 13, 1]]


def test_words_of_a_file_and_what_a_word_may_be(tmp_path):
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in [*SPECIAL, "a", "##É", "É"]))
    layer = TFBertTokenizer(str(tmp_path / "vocab.txt"), do_lower_case=False, max_length=5)
    assert lists(layer(["aÉ É É É", "A"]))["input_ids"] == [[2, 5, 6, 7, 3], [2, 1, 3, 0, 0]]
    vocab = SPECIAL | {"a": 5, "++a": 6, "##a": 7, "x" * 30: 8, "é": 9, "++\U0001f600": 10}
    rules = layer.tokenizer.backend_tokenizer
    rules.model = models.WordPiece(
        vocab, unk_token="[UNK]", continuing_subword_prefix="++", max_input_chars_per_word=30
    )
    layer = TFBertTokenizer(rules.to_str())
    texts = ["aaa", "a" * 30, "a" * 31, "x" * 30, "é" * 31]
    check(layer.tokenizer, layer, texts)
    # Counted are characters: these are 118 bytes.
    assert lists(layer(["é" + "\U0001f600" * 29]))["input_ids"] == [[2, 9, *[10] * 29, 3]]
    assert lists(layer(texts[:3], padding=False))["input_ids"] == [[2, 5, 6, 6, 3], [2, 5, *[6] * 29, 3], [2, 1, 3]]


def test_what_is_no_batch_of_strings(both):
    _, layer = both()
    one = lists(layer(["Hello there", "a"]))
    assert lists(layer(np.array([["Hello there"], ["a"]]))) == one
    assert lists(layer(tf.constant(["Hello there", "a"]))) == one
    assert lists(layer("Hello there"))["input_ids"] == [one["input_ids"][0]]
    assert lists(layer([1, 2])) == lists(layer(["1", "2"]))
    for padding, shape in ((True, (0, 0)), ("max_length", (0, 512))):
        assert {value.shape for value in layer(tf.constant([], tf.string), padding=padding).values()} == {shape}
    for texts, pairs in ((["a", "b"], ["c"]), (["a"], ["b", "c"])):
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            layer(texts, pairs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"truncation": "only_first"}, "only_first.*truncation True or False"),
        ({"truncation": "only_second"}, "only_second.*truncation True or False"),
        ({"truncation": "both"}, "truncation is 'both'"),
        ({"padding": "left"}, "padding is 'left'"),
        ({"stride": 2}, "stride.*expected among padding, truncation"),
        ({"max_length": 1}, "max_length is 1, expected 2 or more"),
        ({"max_length": 10, "pad_to_multiple_of": 4}, "expected a multiple of pad_to_multiple_of 4"),
    ],
)
def test_options_that_are_refused(both, options, message):
    with pytest.raises(ValueError, match=message):
        both()[1](["a"], **options)


def test_tokenizers_that_are_refused(both):
    rules = both()[0].backend_tokenizer.to_str()
    ours = BertTokenizer(SPECIAL | {"a": 5})
    ours.add_tokens(["foobarx"])
    with pytest.raises(ValueError, match=r"foobarx.*plain added tokens"):
        TFBertTokenizer.from_tokenizer(ours)
    with pytest.raises(ValueError, match=r"'a'.*plain added tokens"):
        TFBertTokenizer(SPECIAL | {"a": 5}, never_split=["a"])
    other = Tokenizer.from_str(rules)
    other.normalizer = normalizers.Lowercase()
    with pytest.raises(ValueError, match=r"Lowercase.*expected BERT's steps"):
        TFBertTokenizer(other.to_str())
    bare = Tokenizer(models.WordPiece(SPECIAL, unk_token="[UNK]"))
    bare.normalizer, bare.pre_tokenizer = normalizers.BertNormalizer(), other.pre_tokenizer
    bare.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    with pytest.raises(ValueError, match=r"\[CLS\] \[SEP\] \[SEP\]"):
        TFBertTokenizer(bare.to_str())


def test_without_tensorflow_text_the_package_imports_and_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_text", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bertx\[tensorflow-text\]'"):
        TFBertTokenizer(SPECIAL)
    code = "import sys; sys.modules['tensorflow_text'] = None; from bertx_tensorflow import TFBertTokenizer"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- in models ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(both, tmp_path_factory):
    """What bertx.load gives of a small model with the tokenizer of MiniLM."""
    folder, (ours, _) = tmp_path_factory.mktemp("small"), both()
    config = bertx.BertConfig(
        vocab_size=len(ours), hidden_size=24, num_hidden_layers=1, num_attention_heads=4, intermediate_size=40
    )
    bertx_tensorflow.TFBertModel(config).save_pretrained(folder)
    ours.save_pretrained(folder)
    return bertx.load(folder, backend="tensorflow")


def vectors(small, *texts, **options):
    """[B, H], by way of BertTokenizer."""
    batch = small.tokenizer(*texts, padding=True, truncation=True, return_tensors="np", **options)
    return small.forward(**batch)["last_hidden_state"][:, 0]


def test_from_strings_to_the_vectors_of_the_loaded_model(both, small):
    _, layer = both()
    text, pair = keras.Input((), dtype="string"), keras.Input((), dtype="string")
    encoded = layer(text, text_pair=pair, max_length=32)
    assert [(value.shape, value.dtype) for value in encoded.values()] == [((None, None), "int64")] * 3
    model = keras.Model([text, pair], small.module(**encoded).last_hidden_state[:, 0])
    found = model([tf.constant(TEXTS), tf.constant(SECOND)])
    np.testing.assert_allclose(found, vectors(small, TEXTS, SECOND, max_length=32), atol=1e-5)
    assert layer(text, padding="max_length", max_length=16)["input_ids"].shape == (None, 16)


class Embedder(keras.Model):
    def __init__(self, tokenizer, bert):
        super().__init__()
        self.tokenizer, self.bert = tokenizer, bert

    def call(self, texts):
        return self.bert(**self.tokenizer(texts)).last_hidden_state[:, 0]


def test_a_model_of_strings_predicts(both, small):
    model = Embedder(both()[1], small.module)
    np.testing.assert_allclose(model.predict(tf.constant(TEXTS), verbose=0), vectors(small, TEXTS), atol=1e-5)
    with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):  # XLA has no strings
        model.compile(jit_compile=True)


class Words(keras.Model):
    def __init__(self, tokenizer):
        super().__init__()
        self.tokenizer = tokenizer

    def call(self, texts):
        return self.tokenizer(texts)["input_ids"]


SERVE = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_text
found, texts = {}, np.load("texts.npy")
for kind in ("vectors", "ids"):
    served = tf.saved_model.load(kind)
    for size in (1, 5, len(texts)):
        found[f"{kind} {size}"] = served.serve(tf.constant(texts[:size]))
assert not {"bertx", "bertx_tensorflow", "bertx_weights", "tokenizers"} & set(sys.modules)
np.savez("found.npz", **found)
"""


@pytest.mark.slow
def test_exported_models_are_served_on_strings_without_bertx(both, small, tmp_path):
    _, layer = both()
    text = keras.Input((), dtype="string")
    functional = keras.Model(text, small.module(**layer(text)).last_hidden_state[:, 0])
    subclass = Words(layer)
    subclass(tf.constant(["a"]))
    for kind, model in (("vectors", functional), ("ids", subclass)):
        model.export(tmp_path / kind, verbose=False, input_signature=[tf.TensorSpec([None], tf.string)])
    np.save(tmp_path / "texts.npy", np.array([text.encode() for text in TEXTS]))
    subprocess.run([sys.executable, "-c", SERVE], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "found.npz")
    for size in (1, 5, len(TEXTS)):
        ids = small.tokenizer(TEXTS[:size], padding=True, truncation=True)["input_ids"]
        assert found[f"ids {size}"].tolist() == ids
        np.testing.assert_allclose(found[f"vectors {size}"], vectors(small, TEXTS[:size]), atol=1e-5)


def test_a_keras_file_holds_the_tokenizer(tmp_path):
    ours = BertTokenizer.from_pretrained(
        MINILM, do_lower_case=False, padding_side="left", mask_token={"content": "[MASK]", "lstrip": True}
    )
    ours.add_tokens(["<ent>"], special_tokens=True)
    text = keras.Input((), dtype="string")
    layer = TFBertTokenizer.from_tokenizer(ours, max_length=11, name="words")
    keras.Model(text, layer(text)).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    texts = [*TEXTS, "A <ent> [MASK]"]
    assert lists(model(tf.constant(texts))) == dict(ours(texts, padding=True, truncation=True, max_length=11))
    again = model.get_layer("words")
    assert again.get_config() == layer.get_config()
    check(ours, again, texts, texts[::-1], max_length=20)
