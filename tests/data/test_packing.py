"""Sequence packing for masked-word prediction: which texts share a row, and that they share nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import bertx
from bertx.data import Batches, collator_of
from bertx.data.packing import best_fit
from conftest import MINILM

CONFIG = bertx.BertConfig()
WORDS = "the librarians of Zürich unquestionably catalogued nineteenth-century photographs they did".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def tokenizer():
    return bertx.BertTokenizer.from_pretrained(MINILM)


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    return [{"text": " ".join(generator.choice(WORDS, int(n)))} for n in generator.integers(1, 40, 300)]


def texts_of(batch):
    """The rows, positions and mask of each text: where its positions begin anew."""
    for i, (ids, positions, mask) in enumerate(
        zip(batch["input_ids"], batch["position_ids"], batch["attention_mask"], strict=True)
    ):
        used = int((ids != 0).sum())
        starts = [*np.flatnonzero(positions[:used] == positions[0]), used]
        for start, end in itertools.pairwise(starts):
            yield i, start, end, ids[start:end], mask[start:end]


def plain(batch):
    """input_ids before tokens were hidden."""
    ids = batch["input_ids"].copy()
    for i, (positions, labels) in enumerate(zip(batch["mask_positions"], batch["labels"], strict=True)):
        ids[i, positions[labels != -100]] = labels[labels != -100]
    return ids


def test_each_text_is_in_one_row_and_sees_itself_alone(tokenizer, rows):
    batches = Batches(rows, collator_of("fill-mask", tokenizer, CONFIG, packing=True, max_length=96), 4, 0)
    expected = sorted(tokenizer([row["text"] for row in rows], truncation=True, max_length=96)["input_ids"])
    found, used, room = [], 0, 0
    for step in range(len(batches)):
        batch = batches.at(step)
        batch["input_ids"] = plain(batch)
        for i, start, end, ids, mask in texts_of(batch):
            found.append(ids.tolist())
            assert mask[:, start:end].all() and mask.sum() == (end - start) ** 2
            assert batch["position_ids"][i, start:end].tolist() == list(range(end - start))
        padding = batch["input_ids"] == 0
        assert batch["attention_mask"].sum(-1).min() > 0  # padding attends to itself, and nothing else to it
        assert not (batch["attention_mask"] * padding[:, None] * ~padding[:, :, None]).any()
        used, room = used + (~padding).sum(), room + batch["input_ids"].shape[0] * 96
    assert sorted(found) == expected
    assert used > 0.95 * room


def test_rows_follow_from_the_seed_and_tokens_from_seed_and_step(tokenizer, rows):
    def made(seed, step):
        return Batches(rows, collator_of("fill-mask", tokenizer, CONFIG, packing=True, max_length=64), 4, seed).at(step)

    one, same = made(0, 5), made(0, 5)
    assert all((one[name] == value).all() for name, value in same.items())
    for other in (made(1, 5), made(0, 6)):
        assert other["input_ids"].shape != one["input_ids"].shape or (other["input_ids"] != one["input_ids"]).any()


def test_hidden_tokens_are_those_of_texts(tokenizer, rows):
    collate = collator_of("fill-mask", tokenizer, CONFIG, packing=True, max_length=64, whole_word_mask=True)
    batches = Batches(rows, collate, 8, 0)
    hidden = count = 0
    for step in range(40):
        batch = batches.at(step)
        before = plain(batch)
        labels = np.zeros(before.shape, bool)
        np.put_along_axis(labels, batch["mask_positions"], batch["labels"] != -100, 1)
        special = np.isin(before, tokenizer.all_special_ids)
        assert not (labels & special).any()
        tokens = [tokenizer.convert_ids_to_tokens(row.tolist()) for row in before]
        pieces = np.array([[token.startswith("##") for token in row] for row in tokens])
        assert (labels[:, 1:] == labels[:, :-1])[pieces[:, 1:]].all()  # words are hidden whole
        hidden, count = hidden + labels.sum(), count + (~special).sum()
    assert hidden / count == pytest.approx(0.15, abs=0.01)


def test_long_texts_are_cut_as_the_tokenizer_cuts_them(rows):
    long = [{"text": " ".join(f"{row['text']} {i}" for row in rows[:9])} for i in range(3)]
    for side in ("right", "left"):
        tokenizer = bertx.BertTokenizer.from_pretrained(MINILM, truncation_side=side)
        batch = Batches(long, collator_of("fill-mask", tokenizer, CONFIG, packing=True, max_length=32), 3, 0).at(0)
        expected = tokenizer([row["text"] for row in long], truncation=True, max_length=32)["input_ids"]
        assert sorted(plain(batch).tolist()) == sorted(expected)


def test_best_fit_fills_rows():
    generator = np.random.default_rng(0)
    lengths = generator.integers(3, 60, 1000)
    packs = best_fit(lengths, 64, generator.permutation(1000))
    assert sorted(text for pack in packs for text in pack) == list(range(1000))
    used = np.array([lengths[pack].sum() for pack in packs])
    assert used.max() <= 64 and len(packs) <= np.ceil(lengths.sum() / 64) * 1.05
    assert best_fit(np.array([5, 5, 5]), 5, np.arange(3)) == [[0], [1], [2]]


def test_what_cannot_be_packed_is_refused(tokenizer):
    for kind in ("relative_key", "relative_key_query"):
        with pytest.raises(
            ValueError, match=f"packing needs absolute positions, and position_embedding_type is '{kind}'"
        ):
            collator_of("fill-mask", tokenizer, CONFIG.replace(position_embedding_type=kind), packing=True)
    with pytest.raises(ValueError, match="max_length is 2, expected room for a text"):
        collator_of("fill-mask", tokenizer, CONFIG, packing=True, max_length=2)
    with pytest.raises(TypeError, match="packing"):
        collator_of("pretraining", tokenizer, CONFIG, packing=True)
