"""Mutants of the files that sentence-transformers writes: each is read, or refused with its file and key."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections import Counter

import numpy as np
import pytest

from bertx.backend import get_backend
from bertx.hub.sources import resolve
from bertx.tasks.pooling import blocks, values
from bertx.tasks.sentence_transformers import read_settings, side_files
from bertx_weights import CheckpointError
from fixture_files import CASES

HIDDEN = 24
FILES = (
    "modules.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_Normalize/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_VALUES = (
    None,
    True,
    False,
    0,
    -1,
    1,
    24,
    1.5,
    1e308,
    10**30,
    "",
    "mean",
    "../x",
    "a/b",
    "\x00",
    "😀",
    [],
    [[]],
    {},
    ["mean"],
)
_VALUES = (
    *_VALUES,
    ["mean", 3],
    {"text": 3},
    {"a": {"b": []}},
    "torch.nn.modules.activation.Tanh",
    "os.system",
    "x" * 300,
)
_KEYS = (
    "path",
    "type",
    "pooling_mode",
    "pooling_mode_cls_token",
    "include_prompt",
    "in_features",
    "out_features",
    "bias",
)
_KEYS = (*_KEYS, "activation_function", "use_residual", "prompts", "default_prompt_name", "truncate_dim", "model_args")
_KEYS = (*_KEYS, "max_seq_length", "do_lower_case", "modality_config", "tokenizer_args", "model_type", "new", "", "é")


def _mutated(value, dice):
    """A copy with one or two places changed: another value, a key more or fewer, an entry twice or moved."""
    value = copy.deepcopy(value)
    for _ in range(dice.choice((1, 1, 2))):
        places = [(None, None)]
        level = [value]
        while level:
            at = level.pop()
            keys = at.keys() if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
            places += [(at, key) for key in keys]
            level += [at[key] for key in keys]
        at, key = dice.choice(places)
        new = copy.deepcopy(dice.choice(_VALUES))
        kind = dice.random()
        if at is None:
            if kind < 0.1:
                value = new
            elif isinstance(value, dict):
                value[dice.choice(_KEYS)] = new
            elif isinstance(value, list):
                dice.shuffle(value)
                value += value[: dice.randrange(2)]
        elif kind < 0.25:
            del at[key]
        elif kind < 0.35 and isinstance(at, dict):
            at[dice.choice(_KEYS)] = new
        else:
            at[key] = new
    return value


def _bytes(content, dice):
    """A copy that is cut, or has a byte changed or more."""
    at = dice.randrange(len(content))
    kind = dice.randrange(3)
    if kind == 0:
        return content[:at]
    return content[:at] + bytes([dice.randrange(256)]) * dice.choice((1, 3)) + content[at + (kind == 1) :]


def _embedded(read):
    numpy = get_backend("numpy")
    cls = numpy.spec_class("sentence_embedding", "SentenceEmbedding")
    options = {"modules": blocks(read.modules), "truncate_dim": read.truncate_dim}
    head = numpy.build(cls, None, values(read.modules), "float32", None, options)
    return head.embed(np.ones((2, 3, HIDDEN), np.float32), np.ones((2, 3), int), np.array([1, 1]))


def _run(tmp_path, count, seed):
    outcomes, refused = Counter(), set()
    folder = tmp_path / "model"
    shutil.copytree(CASES / "06_st_dense/labse_like", folder)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": true}')
    settings = json.loads((folder / FILES[-1]).read_text()) | {"truncate_dim": 9, "default_prompt_name": "query"}
    (folder / FILES[-1]).write_text(json.dumps(settings))
    original = {name: (folder / name).read_bytes() for name in FILES}
    for case in range(count):
        dice = random.Random(f"{seed} {case}")
        name = dice.choice(FILES)
        if dice.random() < 0.8:
            mutant = json.dumps(_mutated(json.loads(original[name]), dice)).encode()
        else:
            mutant = _bytes(original[name], dice)
        (folder / name).write_bytes(mutant)
        try:
            resolve(folder)
            side_files(folder)
            read = read_settings(folder, HIDDEN)
            if read.modules:
                assert _embedded(read).ndim == 2
            outcomes["read"] += 1
        except CheckpointError as error:
            outcomes["refused"] += 1
            refused.add(str(error).partition(": ")[2][:20])
            assert str(folder) in str(error), (case, mutant, error)
        except Exception as error:
            raise AssertionError(f"mutant {case} of {name}: {mutant[:600]!r}") from error
        (folder / name).write_bytes(original[name])
    return outcomes, refused


def test_a_mutant_is_read_or_refused_by_name(tmp_path):
    outcomes, refused = _run(tmp_path, 600, 1)
    assert outcomes["read"] > 60 and outcomes["refused"] > 200 and len(refused) > 20, (outcomes, refused)


@pytest.mark.slow
def test_many_mutants_are_read_or_refused_by_name(tmp_path):
    _run(tmp_path, 10_000, 2)
