"""What a load costs: nothing on torch, where parameters are mapped, and about one copy elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import bertx_numpy
from bertx import BertConfig
from bertx.checkpoints.warm_start import warm_start

# VmHWM is the peak of this process alone; ru_maxrss would begin with that of the process that started it.
SCRIPT = """
import gc
import sys
from pathlib import Path

import bertx

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

large, small, backend = sys.argv[1:]
bertx.load(small, backend=backend)  # imports the framework and sets it up
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = memory("VmRSS")
model = bertx.load(large, backend=backend)
if "jax" in sys.modules:  # it copies in the background
    sys.modules["jax"].block_until_ready(sys.modules["jax"].live_arrays())
gc.collect()
print(memory("VmRSS") - before, memory("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A checkpoint of 150 MB and a tiny one."""
    large, small = tmp_path_factory.mktemp("large"), tmp_path_factory.mktemp("small")
    bertx_numpy.BertModel(BertConfig(num_hidden_layers=6)).save_pretrained(large)
    tiny = BertConfig(vocab_size=64, hidden_size=48, num_hidden_layers=1, num_attention_heads=6, intermediate_size=64)
    bertx_numpy.BertModel(tiny).save_pretrained(small)
    yield large, small
    (large / "model.safetensors").unlink()  # pytest keeps its folders for three runs


@pytest.fixture(scope="module")
def growth(folders):
    """backend → how much more memory it holds after a load, and held at most, as shares of the file."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    size = (folders[0] / "model.safetensors").stat().st_size
    assert size > 140e6

    def measured(backend):
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, folders), backend]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return [int(number) / size for number in result.stdout.split()]

    return measured


@pytest.mark.parametrize("backend", ["torch", "numpy"])
def test_parameters_are_mapped_not_copied(growth, backend):
    after, peak = growth(backend)
    assert after < 0.1  # measured: 0.002
    assert peak < 0.1


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a_load_holds_little_more_than_one_copy(growth, backend):
    after, peak = growth(backend)
    assert after <= 1.6, (after, peak)
    assert peak <= 1.6, (after, peak)


# --- many calls -------------------------------------------------------------------------------------

# Batches of 1 to 6 texts of 1 to 34 tokens, by one task and by `forward`, on a model of 48 dimensions.
CALLS = """
import gc
import sys
from pathlib import Path

import numpy as np

import bertx

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

folder, backend, keeps = sys.argv[1:]
model = bertx.load(folder, backend=backend)
generator, kept = np.random.default_rng(0), []

def forward(rows, length, states):
    ids = np.full((rows, length), 5)
    return model.forward(input_ids=ids, attention_mask=np.ones_like(ids), output_hidden_states=states)

# Code that is compiled for a shape stays: here every shape comes once.
for longest in range(1, 33):
    for rows in range(1, 7):
        for pooling in ("none", "mean"):
            model([" ".join(["river"] * longest)] * rows, pooling=pooling)
        if rows < 4 and longest < 9:
            forward(rows, 4 * longest, True), forward(rows, 4 * longest, False)
for call in range(1, 5001):
    texts = [" ".join(["river"] * count) for count in generator.integers(1, 33, generator.integers(1, 7))]
    found = model(texts, pooling=("none", "mean")[call % 2])
    if call % 10 == 0:
        found = forward(int(generator.integers(1, 4)), 4 * int(generator.integers(1, 9)), call % 20 == 0)
    if keeps == "keeps":
        kept.append(np.ones(8192))  # 64 KiB
    if call in (1000, 5000):
        gc.collect()
        print(resident())
"""
GROWTH = 12e6


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 64}
    bertx_numpy.BertModel(BertConfig(vocab_size=16, max_position_embeddings=40, **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nriver\nhouse\n")
    return folder


def _growth(folder, backend, keeps="forgets", script=CALLS):
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    command = [sys.executable, "-W", "ignore", "-c", script, str(folder), backend, keeps]
    # One thread: several that wait for each other take minutes on a busy machine.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=550, env=environment)
    assert result.returncode == 0, result.stderr
    before, after = map(int, result.stdout.split())
    return after - before


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "tensorflow"])
def test_five_thousand_calls_of_varying_shapes_take_no_more_memory_than_a_thousand(tiny_folder, backend):
    assert _growth(tiny_folder, backend) <= GROWTH


@pytest.mark.slow
def test_what_each_call_would_leave_is_seen(tiny_folder):
    assert _growth(tiny_folder, "numpy", "keeps") > GROWTH


# --- many documents ---------------------------------------------------------------------------------

# 1,000 documents of 1 to 30 words, twenty at a time, each summarised with beams whose cache is as large as any.
SUMMARIES = """
import gc
import sys
from pathlib import Path

import numpy as np

import bertx

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

folder, backend, keeps = sys.argv[1:]
model = bertx.load(folder, backend=backend)
lengths, kept = np.random.default_rng(0).integers(1, 31, 500).tolist(), []
if keeps == "keeps":
    decoder = type(model.decoder)
    prefill = decoder.prefill

    def keep(*given):
        found = prefill(*given)
        kept.append(found)
        return found

    decoder.prefill = keep
for word in ("river", "house"):  # the second half has the lengths of the first
    documents = [" ".join([word] * length) for length in lengths]
    for start in range(0, 500, 20):
        found = model(documents[start : start + 20], num_beams=2, max_new_tokens=6, min_new_tokens=6)
        assert [len(each["tokens"]) for each in found] == [6] * len(found), found
    gc.collect()
    print(resident())
"""


@pytest.fixture(scope="module")
def pair_folder(tiny_folder, tmp_path_factory):
    """A BERT2BERT of 2 + 2 layers."""
    folder = tmp_path_factory.mktemp("pair")
    ids = {"decoder_start_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    with pytest.warns(UserWarning, match="has new"):
        warm_start(tiny_folder, tiny_folder, "numpy", changes=ids).save(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "tensorflow"])
def test_a_thousand_summaries_take_no_more_memory_than_five_hundred(pair_folder, backend):
    assert _growth(pair_folder, backend, script=SUMMARIES) <= GROWTH


@pytest.mark.slow
def test_a_cache_that_each_summary_would_leave_is_seen(pair_folder):
    assert _growth(pair_folder, "numpy", "keeps", SUMMARIES) > GROWTH
