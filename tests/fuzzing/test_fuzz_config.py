"""Mutated config.json and adapter_config.json: each loads, or is refused with the file and what is wrong."""

from __future__ import annotations

import collections
import json
import random
import shutil
import signal
import traceback
import warnings

import numpy as np
import pytest
from mutations import change_json

import bertx
from bertx.configs.bert import BertConfig
from fixture_files import CASES

SECONDS = 10
# Folder → the file that is mutated.
SEEDS = {
    CASES / "09_int_labels" / "token": "config.json",
    CASES / "09_int_labels" / "from_1": "config.json",
    CASES / "16_fewer_layers" / "folder": "config.json",
    CASES / "12_peft" / "both": "adapter_config.json",
}
# Keys that a config of the hub may have besides, so that the mutations reach them.
MORE = {
    "auto_map": {"AutoConfig": "a.B"},
    "position_embedding_type": "absolute",
    "problem_type": None,
    "output_attentions": False,
    "torch_dtype": "float32",
    "num_labels": None,
    "pruned_heads": {},
}


class _Hangs(BaseException):
    pass


def _stop(*_):
    raise _Hangs


def examine(folder, name, known):
    """What became of a folder: "same", "different", "refused", or what must not be."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(SECONDS)
    try:
        model = bertx.load(folder, backend="numpy")
        logits = model.forward(np.array([[1, 2, 3]]))
        written = json.loads(model.config.to_json_string())
        BertConfig.from_dict(written)
        str(bertx.inspect(folder))
        return "same" if all(np.array_equal(value, known.get(key)) for key, value in logits.items()) else "different"
    except bertx.CheckpointError as error:
        return "refused" if str(folder) in str(error) else f"no file in: {error}"
    except ValueError as error:
        # What the checkpoint allows no input of: it loads, and says so when it runs.
        return "different" if "cannot run on these inputs" in str(error) else "".join(traceback.format_exception(error))
    except BaseException as error:
        return "".join(traceback.format_exception(error))[-3000:]
    finally:
        signal.alarm(0)


def fuzz(count, seed, scratch):
    """Outcome → how many, and the descriptions of what must not be."""
    outcomes, failures = collections.Counter(), []
    for i, (source, name) in enumerate(SEEDS.items()):
        folder = scratch / f"{i}"
        shutil.copytree(source, folder)
        text = json.loads((folder / name).read_text())
        original = json.dumps(MORE | text if name == "config.json" else text).encode()
        (folder / name).write_bytes(original)
        known = bertx.load(folder, backend="numpy").forward(np.array([[1, 2, 3]]))
        for case in range(count // len(SEEDS)):
            mutant = change_json(random.Random(f"{seed} {i} {case}"), original)
            (folder / name).write_bytes(mutant)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome = examine(folder, name, known)
            if outcome not in ("same", "different", "refused"):
                failures.append(f"{source.name} {seed} {i} {case}: {mutant[-300:]!r}\n{outcome}")
                outcome = "failed"
            outcomes[outcome] += 1
    return outcomes, failures


def check(count, seed, scratch):
    outcomes, failures = fuzz(count, seed, scratch)
    assert not failures, f"{len(failures)} of {count}:\n" + "\n".join(failures[:5])
    assert outcomes["refused"] > count // 5 and outcomes["same"] + outcomes["different"] > count // 5, outcomes


def test_a_mutated_config_loads_or_is_refused(tmp_path):
    check(400, 1, tmp_path)


@pytest.mark.slow
def test_ten_thousand_mutated_configs_load_or_are_refused(tmp_path):
    check(10_000, 2, tmp_path)
