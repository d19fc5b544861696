"""Diverse beam search: token for token what transformers 4.49 gives, see tests/fixtures/make_diverse_beams.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import reference
from reference import differing, found, prompts_of

import bertx
from bertx.generation import GenerationConfig, beams
from support import BACKENDS, save_peer

CASES = json.loads((Path(__file__).parent.parent / "fixtures" / "diverse_beams.json").read_text())
EXPECTED = {name: [[tuple(row) for row in rows] for rows in case["found"]] for name, case in CASES.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_peer(reference.peer(), tmp_path_factory.mktemp("diverse"))


@pytest.fixture(scope="module")
def decoder(folder):
    return bertx.load(folder, backend="numpy", dtype="float64").decoder


@pytest.mark.parametrize("name", CASES)
def test_the_tokens_and_scores_of_transformers(decoder, name):
    prompts = prompts_of(len(EXPECTED[name]))
    assert differing(found(decoder, prompts, CASES[name]["options"]), EXPECTED[name]) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32(folder, backend):
    decoder, prompts = bertx.load(folder, backend=backend).decoder, prompts_of(60)[:10]
    for name, case in CASES.items():
        assert differing(found(decoder, prompts, case["options"]), EXPECTED[name][:10], scores=False) == []


def test_a_prompt_is_given_the_same_alone(decoder):
    options = CASES["three of two"]["options"]
    prompts = prompts_of(12)
    alone = [found(decoder, [prompt], options)[0] for prompt in prompts]
    assert differing(found(decoder, prompts, options), alone) == []


@pytest.mark.parametrize(
    "mutation", ["the penalty is not taken off", "groups look at ended tokens", "one group counts"]
)
def test_it_tells_the_rules(decoder, monkeypatch, mutation):
    """Each of these is noticed."""
    if mutation == "the penalty is not taken off":
        monkeypatch.setattr(beams.Beams, "__init__", _without_penalty(beams.Beams.__init__))
    elif mutation == "groups look at ended tokens":
        monkeypatch.setattr(beams, "_unended", _of_all(beams._unended))
    else:
        monkeypatch.setattr(
            beams.Beams, "_best", lambda self, groups: (groups[0] * 9)[: self._config.num_return_sequences]
        )
    name = "two groups of two"
    prompts = prompts_of(len(EXPECTED[name]))
    assert differing(found(decoder, prompts, CASES[name]["options"]), EXPECTED[name], scores=False)


def _without_penalty(init):
    def mutant(self, decoder, prompts, ends, config, generators):
        init(self, decoder, prompts, ends, config, generators)
        object.__setattr__(config, "diversity_penalty", 0.0)

    return mutant


def _of_all(unended):
    def mutant(count, ended, scores, *others):
        return unended(count, ended & (len(others) > 1), scores, *others)

    return mutant


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 4, "num_beam_groups": 3, "diversity_penalty": 1.0}, "expected a divisor of num_beams, 4"),
        ({"num_beams": 4, "num_beam_groups": 2}, "needs several groups and a penalty above 0"),
        ({"num_beams": 4, "diversity_penalty": 1.0}, "needs several groups and a penalty above 0"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0, "do_sample": True}, "not drawn"),
        ({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": -1.0}, "a number from 0 to 1000"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**options)
