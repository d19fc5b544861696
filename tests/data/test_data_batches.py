"""Batches: each a function of its step alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from bertx.data import Batches, DataError
from bertx.data.batches import generator_of, grouped

ROWS = [{"number": i} for i in range(23)]


def collate(rows, seed, step):
    return {"numbers": np.array([row["number"] for row in rows]), "drawn": generator_of(seed, step, "x").random(2)}


def batches(**options):
    return Batches(ROWS, collate, **{"batch_size": 5, "seed": 3} | options)


def epoch(made, number):
    return [made.at(step)["numbers"].tolist() for step in range(number * len(made), (number + 1) * len(made))]


def test_an_epoch_has_every_row_once_and_keeps_the_last_smaller_batch():
    made = batches()
    assert len(made) == 5
    for number in range(3):
        found = epoch(made, number)
        assert list(map(len, found)) == [5, 5, 5, 5, 3]
        assert sorted(itertools.chain(*found)) == list(range(23))


def test_a_batch_follows_from_its_step_alone():
    whole = batches()
    every = [whole.at(step) for step in range(12)]
    for step in (7, 0, 11, 4):  # in any order, and of an object that has seen no other
        for made in (whole, batches()):
            for name, value in made.at(step).items():
                np.testing.assert_array_equal(value, every[step][name])


def test_epochs_and_seeds_differ():
    made = batches()
    orders = [epoch(made, 0), epoch(made, 1), epoch(batches(seed=4), 0)]
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    assert not np.array_equal(made.at(0)["drawn"], made.at(5)["drawn"])


def test_without_shuffling_each_epoch_is_in_the_order_of_the_rows():
    made = batches(shuffle=False)
    for number in range(2):
        assert list(itertools.chain(*epoch(made, number))) == list(range(23))


@pytest.mark.parametrize("count", [3, 23, 700])
def test_like_lengths_are_grouped_as_by_transformers(count, monkeypatch):
    order = np.random.default_rng(0).permutation(count)
    lengths = np.random.default_rng(1).integers(1, 30, count)
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: torch.from_numpy(order))
    expected = get_length_grouped_indices(lengths.tolist(), batch_size=3)
    assert grouped(order, lengths, 3).tolist() == expected


def test_batches_of_like_length_have_every_row_and_follow_from_the_step():
    lengths = np.arange(23)[::-1] % 7
    made = batches(lengths=lengths, batch_size=2)
    found = epoch(made, 1)
    assert sorted(itertools.chain(*found)) == list(range(23))
    assert found == epoch(batches(lengths=lengths, batch_size=2), 1) != epoch(made, 0)
    spread = sum(np.ptp(lengths[batch]) for batch in found)
    assert spread < sum(np.ptp(lengths[batch]) for batch in epoch(batches(batch_size=2), 1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"lengths": [1, 2]}, "lengths has 2 values, expected one for each of 23 rows"),
    ],
)
def test_what_cannot_be_is_refused(options, expected):
    with pytest.raises(ValueError, match=expected):
        batches(**options)
    with pytest.raises(ValueError, match="step is -1"):
        batches().at(-1)
    with pytest.raises(TypeError, match="rows is generator, expected a sequence"):
        Batches((row for row in ROWS), collate, 5, 0)
    with pytest.raises(ValueError, match="no rows"):
        Batches([], collate, 5, 0)


def test_a_row_that_a_collator_refuses_has_its_number_among_all_rows():
    def refuses(rows, seed, step):
        raise DataError({i: "is seventeen" for i, row in enumerate(rows) if row["number"] == 17})

    made = Batches(ROWS, refuses, 5, 0)
    (step,) = (step for step in range(5) if 17 in made.indices(step))
    with pytest.raises(DataError, match="row 17 is seventeen"):
        made.at(step)


def test_an_error_shows_twenty_rows_and_how_many_there_are():
    message = str(DataError(dict.fromkeys(range(33), "is wrong")))
    assert message.startswith("33 rows cannot be used:\n  row 0 is wrong\n")
    assert message.count("is wrong") == 20
    assert message.endswith("… and 13 more")
