"""Masked-word collators: rates against transformers', whole words, and what is never hidden."""

from __future__ import annotations

import numpy as np
import pytest
import transformers

import bertx
from bertx.data import Batches, DataError, collator_of, read, tokens
from bertx.data.batches import generator_of
from bertx.data.collators.masked_lm import Masking, numbered
from bertx.hub.sources import resolve
from conftest import MINILM

TEXT = "The librarians of Zürich unquestionably catalogued nineteenth-century photographs, didn't they?"
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def tokenizer():
    return bertx.BertTokenizer.from_pretrained(MINILM)


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    return [{"text": " ".join(generator.choice(WORDS, int(n)))} for n in generator.integers(20, 90, 256)]


CONFIG = bertx.BertConfig()


def spread(batch):
    """A batch whose labels are of all positions, -100 where no token is hidden."""
    labels = np.full(batch["input_ids"].shape, -100)
    assert batch["mask_positions"].shape == batch["labels"].shape
    for row, positions, of_row in zip(labels, batch["mask_positions"], batch["labels"], strict=True):
        row[positions[of_row != -100]] = of_row[of_row != -100]
    assert (labels != -100).sum() == (batch["labels"] != -100).sum()  # no position is there twice
    return batch | {"labels": labels}


def rates(ids, found, labels, mask):
    """The share of tokens that are hidden, and of these those that are [MASK], another token, the same."""
    hidden = labels != -100
    replaced = found[hidden]
    return np.array(
        [
            hidden.sum() / (ids != 0).sum(),
            (replaced == mask).mean(),
            ((replaced != mask) & (replaced != ids[hidden])).mean(),
            (replaced == ids[hidden]).mean(),
        ]
    )


def test_rates_are_those_of_transformers(tokenizer, rows):
    peer = transformers.AutoTokenizer.from_pretrained(resolve(MINILM))
    collate = collator_of("fill-mask", tokenizer, CONFIG)
    theirs = transformers.DataCollatorForLanguageModeling(peer, seed=0, return_tensors="np")
    encoded = peer([row["text"] for row in rows], truncation=True, return_special_tokens_mask=True)
    features = [dict(zip(encoded, values, strict=True)) for values in zip(*encoded.values(), strict=True)]
    ids = peer([row["text"] for row in rows], padding=True, return_tensors="np")["input_ids"]
    mine, expected = [], []
    for step in range(8):
        found = spread(collate(rows, 0, step))
        mine.append(rates(ids, found["input_ids"], found["labels"], tokenizer.mask_token_id))
        batch = theirs([dict(feature) for feature in features])
        expected.append(rates(ids, batch["input_ids"], batch["labels"], tokenizer.mask_token_id))
    mine, expected = np.mean(mine, 0), np.mean(expected, 0)
    # Some 30,000 hidden tokens of 200,000: a standard deviation is below 0.001 and 0.0025.
    np.testing.assert_allclose(mine, expected, atol=0.009)
    np.testing.assert_allclose(mine[1:], [0.8, 0.1, 0.1], atol=0.008)
    special = sum(2 for _ in rows)
    assert mine[0] * (ids != 0).sum() / ((ids != 0).sum() - special) == pytest.approx(0.15, abs=0.003)


def test_labels_are_the_hidden_tokens_and_nothing_else_changes(tokenizer, rows):
    plain = tokenizer([row["text"] for row in rows[:9]], padding=True, return_tensors="np")
    found = spread(collator_of("fill-mask", tokenizer, CONFIG)(rows[:9], 3, 5))
    hidden = found["labels"] != -100
    np.testing.assert_array_equal(found["labels"][hidden], plain["input_ids"][hidden])
    np.testing.assert_array_equal(found["input_ids"][~hidden], plain["input_ids"][~hidden])
    for name in ("attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(found[name], plain[name])


def test_what_is_hidden_follows_from_seed_and_step(tokenizer, rows):
    made = [
        collator_of("fill-mask", tokenizer, CONFIG)(rows[:5], seed, step)["labels"].tolist()
        for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert made[0] == made[1]
    assert made[0] != made[2] and made[0] != made[3] and made[2] != made[3]


def test_special_tokens_are_never_hidden_nor_drawn(tokenizer):
    rows = [{"text": "a [SEP] [MASK] \u4e8f\u4e8f " + "b " * n} for n in range(30)]
    collate = collator_of("fill-mask", tokenizer, CONFIG, mlm_probability=1.0)
    plain = tokenizer([row["text"] for row in rows], padding=True, return_tensors="np")["input_ids"]
    special = np.isin(plain, tokenizer.all_special_ids)
    for step in range(20):
        found = spread(collate(rows, 0, step))
        assert (found["labels"][special] == -100).all()
        assert (found["labels"][~special] == plain[~special]).all()
        np.testing.assert_array_equal(found["input_ids"][special], plain[special])
        replaced = found["input_ids"][~special]
        assert not np.isin(replaced[replaced != tokenizer.mask_token_id], tokenizer.all_special_ids).any()


def test_random_tokens_are_of_the_whole_vocabulary_and_within_the_models(tokenizer):
    masking = Masking(tokenizer, bertx.BertConfig(vocab_size=200), 1.0, False)
    ids = np.full((200, 200), 150)
    found, _ = masking(ids, np.arange(200)[None].repeat(200, 0), np.random.default_rng(0))
    drawn = np.unique(found[(found != 150) & (found != tokenizer.mask_token_id)])
    assert drawn.tolist() == sorted(set(range(200)) - set(tokenizer.all_special_ids) - {150})


def test_whole_words(tokenizer, rows):
    collate = collator_of("fill-mask", tokenizer, CONFIG, whole_word_mask=True)
    encoded = tokenizer([row["text"] for row in rows])
    shares, kinds = [], []
    for step in range(4):
        found = spread(collate(rows, 0, step))
        for i, encoding in enumerate(encoded.encodings):
            words = numbered(encoding.word_ids)
            hidden = found["labels"][i, : len(words)] != -100
            pieces = np.array([token.startswith("##") for token in encoding.tokens])
            assert (hidden[1:] == hidden[:-1])[pieces[1:]].all()  # a piece is hidden if the one before it is
            shares.append(len(set(words[hidden])) / (words.max() + 1))
        replaced = found["input_ids"][found["labels"] != -100]
        kinds.append((replaced == tokenizer.mask_token_id).mean())
    assert np.mean(shares) == pytest.approx(0.15, abs=0.006)
    assert np.mean(kinds) == pytest.approx(0.8, abs=0.02)


def test_whole_words_of_a_text_cut_on_its_left(rows):
    tokenizer = bertx.BertTokenizer.from_pretrained(MINILM, truncation_side="left")
    collate = collator_of("fill-mask", tokenizer, CONFIG, whole_word_mask=True, max_length=9)
    assert (collate(rows, 0, 0)["labels"] != -100).any()


def test_words_are_numbered_within_a_row():
    assert numbered([None, 7, 7, 9, 9, 10, None]).tolist() == [-1, 0, 0, 1, 1, 2, -1]
    assert numbered([0, 0, 1]).tolist() == [0, 0, 1]
    assert numbered([]).tolist() == []


def test_a_batch_has_one_hidden_token_at_least(tokenizer):
    collate = collator_of("fill-mask", tokenizer, CONFIG, mlm_probability=0.01)
    for step in range(50):
        assert (collate([{"text": "one word more"}], 0, step)["labels"] != -100).sum() == 1


def test_texts_without_tokens_are_refused(tokenizer):
    collate = collator_of("fill-mask", tokenizer, CONFIG)
    with pytest.raises(DataError, match="row 1 has an empty text"):
        Batches([{"text": "a"}, {"text": " "}], collate, 1, 0)
    with pytest.raises(DataError, match="row 0 has no token that could be hidden"):
        collate([{"text": "[SEP]"}], 0, 0)


def test_what_cannot_be_is_refused(tokenizer):
    for probability in (0, 1.5):
        with pytest.raises(ValueError, match="mlm_probability is"):
            collator_of("fill-mask", tokenizer, CONFIG, mlm_probability=probability)


# --- pre-training ---------------------------------------------------------------------------------


def documents(count=40, seed=0):
    """Each of sentences that begin with its own number, and count up."""
    generator = np.random.default_rng(seed)
    return [
        {"sentences": [f"{d} {s} " + " ".join(["word"] * int(generator.integers(1, 12))) for s in range(int(n))]}
        for d, n in enumerate(generator.integers(1, 15, count))
    ]


@pytest.fixture(scope="module")
def pretraining(tokenizer):
    return collator_of("pretraining", tokenizer, CONFIG, max_length=48)


def test_pairs_fill_a_row_and_half_of_the_second_are_random(pretraining):
    made = Batches(documents(400), pretraining, 16, 0)
    pairs = [made.rows[i] for i in range(len(made.rows))]
    lengths = np.array([len(pair["first"]) + len(pair["second"]) for pair in pairs])
    assert lengths.max() == 45
    assert min(min(len(pair["first"]), len(pair["second"])) for pair in pairs) > 0
    assert np.mean(lengths > 38) > 0.5
    share = np.mean([pair["next_sentence_label"] for pair in pairs])
    assert 0.5 < share < 0.7  # a part of one sentence has none to follow it, as in BERT's script


def test_second_texts_follow_or_are_of_another_document(pretraining, tokenizer):
    rows = documents(60)
    tokens = {
        d: tokenizer(" ".join(row["sentences"]), add_special_tokens=False)["input_ids"] for d, row in enumerate(rows)
    }

    def places(part):
        return {
            (d, i)
            for d, ids in tokens.items()
            for i in range(len(ids) - len(part) + 1)
            if ids[i : i + len(part)] == part
        }

    made, seen = Batches(rows, pretraining, 4, 0), set()
    for i in range(len(made.rows)):
        pair = made.rows[i]
        first, second = pair["first"].tolist(), pair["second"].tolist()
        of_first, of_second = places(first), places(second)
        assert of_first and of_second
        if len(of_first) == len(of_second) == 1:  # long enough to be known
            (a, start), (b, place) = *of_first, *of_second
            seen.add((pair["next_sentence_label"], a == b))
            if pair["next_sentence_label"] == 0:
                assert start + len(first) <= place  # tokens between them are what was dropped
    assert seen == {(0, True), (1, False)}


def test_replaced_sentences_begin_the_next_pair(tokenizer):
    collate = collator_of("pretraining", tokenizer, CONFIG, max_length=48, short_seq_prob=0.0)
    rows = documents(30)
    made = Batches(rows, collate, 4, 0)
    text = tokenizer(rows[0]["sentences"], add_special_tokens=False)
    first_words = {tuple(ids[:2]) for ids in text["input_ids"]}
    begins = [tuple(made.rows[i][part].tolist()[:2]) for i in range(len(made.rows)) for part in ("first", "second")]
    assert first_words & set(begins)
    covered = sum(len(made.rows[i]["first"]) for i in range(len(made.rows)))
    total = sum(len(ids) for row in rows for ids in tokenizer(row["sentences"], add_special_tokens=False)["input_ids"])
    follows = sum(len(made.rows[i]["second"]) for i in range(len(made.rows)) if not made.rows[i]["next_sentence_label"])
    assert 0.8 < (covered + follows) / total <= 1


def test_rows_of_pairs_are_the_tokenizers(pretraining, tokenizer):
    made = Batches(documents(), pretraining, 4, 7)
    found, again = made.at(3), Batches(documents(), pretraining, 4, 7).at(3)
    names = {"input_ids", "attention_mask", "token_type_ids", "mask_positions", "labels", "next_sentence_label"}
    assert set(found) == names
    for name in found:
        np.testing.assert_array_equal(found[name], again[name])
        assert found[name].dtype == np.int64
    found = spread(found)
    plain = np.where(found["labels"] == -100, found["input_ids"], found["labels"])
    for i, index in enumerate(made.indices(3)):
        pair = made.rows[int(index)]
        expected = tokenizer.prepare_for_model(pair["first"].tolist(), pair["second"].tolist())
        length = len(expected["input_ids"])
        assert plain[i, :length].tolist() == expected["input_ids"]
        assert found["token_type_ids"][i, :length].tolist() == expected["token_type_ids"]
        assert (found["labels"][i, length:] == -100).all()
        assert found["next_sentence_label"][i] == pair["next_sentence_label"]
    other = Batches(documents(), pretraining, 4, 8).rows
    assert any(not np.array_equal(a["second"], b["second"]) for a, b in zip(made.rows, other, strict=False))


def test_hidden_words_of_pairs(tokenizer):
    rows = [{"sentences": ["unquestionably catalogued nineteenth photographs"] * 9} for _ in range(30)]
    collate = collator_of("pretraining", tokenizer, CONFIG, max_length=48, whole_word_mask=True)
    made = Batches(rows, collate, 16, 0)
    count = hidden_count = 0
    for step in range(30):
        found = spread(made.at(step))
        plain = np.where(found["labels"] == -100, found["input_ids"], found["labels"])
        hidden = found["labels"] != -100
        for ids, of_row in zip(plain, hidden, strict=True):
            pieces = np.array([token.startswith("##") for token in tokenizer.convert_ids_to_tokens(ids.tolist())])
            inside = pieces[1:] & ~np.isin(ids[:-1], tokenizer.all_special_ids)
            assert (of_row[1:] == of_row[:-1])[inside].all()
        text = ~np.isin(plain, tokenizer.all_special_ids)
        assert not hidden[~text].any()
        count, hidden_count = count + text.sum(), hidden_count + hidden.sum()
    assert hidden_count / count == pytest.approx(0.15, abs=0.02)


def test_words_of_the_two_texts_are_drawn_apart(tokenizer):
    collate = collator_of("pretraining", tokenizer, CONFIG, whole_word_mask=True)
    text, begins = np.arange(2000, 2200), np.ones(200, np.int8)
    pair = {"first": text, "second": text, "first_begins": begins, "second_begins": begins, "next_sentence_label": 0}
    hidden = spread(collate([pair], 0, 0))["labels"][0] != -100
    first, second = hidden[1:201], hidden[202:402]
    assert 10 < first.sum() < 50 and 10 < second.sum() < 50
    assert (first & second).sum() < 15


def test_one_document_is_refused(pretraining):
    with pytest.raises(ValueError, match="1 documents, expected two or more"):
        Batches(documents(1), pretraining, 4, 0)
    with pytest.raises(DataError, match=r"row 1 has \[\] for its sentences"):
        Batches([{"sentences": ["a"]}, {"sentences": []}], pretraining, 4, 0)


def test_tokens_of_a_file_are_kept_for_its_texts_and_the_tokenizer(pretraining, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "a.txt"
    path.write_text("\n\n".join("\n".join(row["sentences"]) for row in documents(9)))
    called = []
    monkeypatch.setattr(tokens, "_tokenised", lambda *given, of=tokens._tokenised: called.append(1) or of(*given))

    def batch(collate=pretraining):
        return Batches(read(path, "documents"), collate, 4, 0).at(1)

    expected = Batches(documents(9), pretraining, 4, 0).at(1)  # rows of no file: nothing is kept of them
    assert len(called) == 1 and not list(tmp_path.rglob("*.safetensors"))
    for _ in range(2):
        found = batch()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
    assert len(called) == 2
    (kept,) = tmp_path.rglob("*.safetensors")

    path.write_text(path.read_text() + "\n\none more document\n")
    batch()
    assert len(called) == 3
    cased = bertx.BertTokenizer.from_pretrained(MINILM)
    cased.add_tokens(["document"])
    batch(collator_of("pretraining", cased, CONFIG, max_length=48))
    assert len(called) == 4
    path.write_text("\n\n".join("\n".join(row["sentences"]) for row in documents(9)))
    kept.write_bytes(kept.read_bytes()[:-3])  # damaged: made anew
    np.testing.assert_array_equal(batch()["labels"], expected["labels"])
    batch()
    assert len(called) == 5


def test_random_numbers_of_two_purposes_share_nothing():
    assert not np.array_equal(generator_of(0, 0, "order").random(4), generator_of(0, 0, "masks").random(4))
