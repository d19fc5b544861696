"""The options of generation: ranges, unknown ones, and generation_config.json."""

from __future__ import annotations

import json

import pytest
import transformers

import bertx
from bertx import CheckpointError
from bertx.generation import GenerationConfig
from bertx.generation.config import OPTIONS, generation_config_of

FIELDS = {
    "max_new_tokens": 7,
    "max_length": 30,
    "min_new_tokens": 2,
    "min_length": 3,
    "do_sample": True,
    "temperature": 0.7,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.1,
    "typical_p": 0.8,
    "num_beams": 4,
    "early_stopping": "never",
    "length_penalty": 2.0,
    "num_return_sequences": 3,
    "repetition_penalty": 1.2,
    "no_repeat_ngram_size": 3,
    "encoder_no_repeat_ngram_size": 2,
    "bad_words_ids": [[5], [6, 7]],
    "suppress_tokens": [8],
    "begin_suppress_tokens": [9],
    "forced_bos_token_id": 10,
    "forced_eos_token_id": [11, 12],
    "eos_token_id": [3, 4],
    "stop_strings": ["end", "."],
    "renormalize_logits": True,
}


# Not beside `do_sample`.
GROUPS = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}


@pytest.mark.parametrize("fields", [FIELDS, GROUPS])
def test_transformers_reads_what_is_written_and_writes_what_is_read(tmp_path, fields):
    assert {*FIELDS, *GROUPS, "seed"} == set(OPTIONS)
    GenerationConfig(**fields).save_pretrained(tmp_path)
    theirs = transformers.GenerationConfig.from_pretrained(tmp_path)
    for name, value in fields.items():
        assert getattr(theirs, name) == value, name
    theirs.save_pretrained(tmp_path / "theirs")
    again = GenerationConfig.from_pretrained(tmp_path / "theirs")
    assert again.replace(extra={}) == GenerationConfig(**fields)
    assert "transformers_version" in again.extra
    assert again.to_dict().keys() == fields.keys() | again.extra.keys()
    assert GenerationConfig.from_pretrained(tmp_path / "nothing") == GenerationConfig()
    assert GenerationConfig().to_dict() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams is 0, expected an integer of at least 1"),
        ({"num_beams": True}, "num_beams is True"),
        ({"max_new_tokens": 0, "top_p": 0}, "max_new_tokens is 0, .*; top_p is 0, expected a number above 0 and at"),
        ({"early_stopping": "always"}, "early_stopping is 'always', expected True, False or \"never\""),
        ({"length_penalty": "2"}, "length_penalty is '2', expected a number from -100 to 100"),
        ({"length_penalty": 1e5}, "length_penalty is 100000.0, expected a number from -100 to 100"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0, expected a number from 0.001 to 1000"),
        ({"repetition_penalty": float("inf")}, "repetition_penalty is inf, expected"),
        ({"temperature": 1.9e-233}, "temperature is 1.9e-233, expected a number from 1e-06 to 1e.06"),
        ({"bad_words_ids": [5]}, r"bad_words_ids is \[5\], expected a list of lists of ids"),
        ({"bad_words_ids": []}, "bad_words_ids is"),
        ({"bad_words_ids": [[]]}, "bad_words_ids is"),
        ({"suppress_tokens": [-1]}, "suppress_tokens is"),
        ({"stop_strings": [""]}, "stop_strings is"),
        ({"stop_strings": ""}, "stop_strings is"),
        ({"eos_token_id": "3"}, "eos_token_id is '3', expected an id or a list of ids"),
        ({"seed": -1}, "seed is -1"),
        ({"typical_p": 0}, "typical_p is 0"),
        ({"min_p": 2}, "min_p is 2"),
        ({"num_return_sequences": 2}, "greedy search has one result: give do_sample=True"),
        ({"num_return_sequences": 5, "num_beams": 4}, "expected at most num_beams, 4"),
        ({"suppress_tokens": [3, 4], "forced_eos_token_id": 3}, "forced_eos_token_id is .3., which suppress_tokens"),
    ],
)
def test_values_outside_their_range(options, message):
    with pytest.raises(ValueError, match=message):
        GenerationConfig(**options)


def test_none_is_the_default():
    assert GenerationConfig(temperature=None, num_beams=None, top_k=None, early_stopping=None) == GenerationConfig()
    assert GenerationConfig(eos_token_id=[]).ends == ()


def test_a_length_of_the_call_takes_the_place_of_the_files():
    config = GenerationConfig(max_new_tokens=5, min_new_tokens=4)
    assert (config.limit(10), config.least(10)) == (15, 14)
    changed = config.replace(max_length=30, min_length=12)
    assert (changed.limit(10), changed.least(10)) == (30, 12)
    both = config.replace(max_length=30, max_new_tokens=2)
    assert both.limit(10) == 12  # as in transformers
    assert GenerationConfig(max_length=30).replace(max_new_tokens=3).limit(10) == 13
    assert GenerationConfig().limit(10) == 30 and GenerationConfig().limit(10, 25) == 25


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_beam": 4}, "num_beam is unknown, did you mean num_beams"),
        ({"constraints": [1], "dola_layers": "low"}, r"constraints is \[1\], which is not run.*; dola_layers"),
        ({"penalty_alpha": 0.6}, "penalty_alpha is 0.6, which is not run: contrastive search"),
        ({"epsilon_cutoff": 3e-4}, "use min_p"),
        ({"num_beams": "four"}, "num_beams is 'four'"),
    ],
)
def test_a_file_that_says_what_is_not_run(tmp_path, values, message):
    (tmp_path / "generation_config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=f"generation_config.json: .*{message}"):
        GenerationConfig.from_pretrained(tmp_path)


def test_every_key_of_transformers_is_known():
    """Its own defaults are read, and each key that changes results is run or refused."""
    theirs = transformers.GenerationConfig()
    GenerationConfig.from_dict(transformers.GenerationConfig._get_default_generation_params())
    unknown = []
    for name in vars(theirs):
        try:
            GenerationConfig.from_dict({name: object()})
        except (ValueError, TypeError) as error:
            if "is unknown" in str(error):
                unknown.append(name)
    assert unknown == ["_original_object_hash"] or unknown == []


def test_keys_of_config_json_count_where_there_is_no_file(tmp_path):
    """As transformers 4 wrote them, and as BERT2BERT checkpoints of the hub have them."""
    keys = {"num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3, "early_stopping": True, "max_length": 142}
    config = bertx.BertConfig.from_dict({"eos_token_id": 102, **keys})
    found = generation_config_of(tmp_path, config)
    assert found == GenerationConfig(**keys, eos_token_id=102)
    (tmp_path / "generation_config.json").write_text(json.dumps({"num_beams": 2}))
    assert generation_config_of(tmp_path, config) == GenerationConfig(num_beams=2, eos_token_id=102)
    with pytest.raises(CheckpointError, match=r"config\.json: penalty_alpha is 0\.6"):
        generation_config_of(None, bertx.BertConfig.from_dict({"penalty_alpha": 0.6}))
