"""What the conversion of a bert-base costs, beside a copy of the file by the format's own library. Prints the table.

Every operation is a process of its own: its memory is the peak beyond what it held after its imports, its time the
CPU's (what else runs on the machine makes the clock's useless). BERTX_COST_ROUNDS=3 takes the median of three, and
BERTX_COST_FORMATS=tf1,keras-hub other formats than the few of every run.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import bertx
import bertx_numpy
from bertx import BertConfig

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("BERTX_COST_ROUNDS", "1"))
FORMATS = os.environ.get("BERTX_COST_FORMATS", "safetensors,pytorch,tensorflow,flax,npz,orbax").split(",")
# format → (the library's copy of its file, its imports); source and target are folders.
COPIES = {
    "safetensors": (
        "from safetensors.numpy import load_file, save_file",
        "save_file(load_file(source / 'model.safetensors'), target / 'model.safetensors')",
    ),
    "pytorch": (
        "import torch",
        "torch.save(torch.load(source / 'pytorch_model.bin', weights_only=True), target / 'pytorch_model.bin')",
    ),
    "tensorflow": ("import h5py", "copy_h5('tf_model.h5')"),
    "keras-hub": ("import h5py", "copy_h5('model.weights.h5')"),
    "flax": (
        "import flax.serialization as s",
        "(target / 'flax_model.msgpack').write_bytes("
        "s.msgpack_serialize(s.msgpack_restore((source / 'flax_model.msgpack').read_bytes())))",
    ),
    "npz": ("import numpy as np", "np.savez(target / 'model.npz', **dict(np.load(source / 'model.npz')))"),
    "tf1": ("import tensorflow as tf", "copy_bundle()"),
    "tf2": ("import tensorflow as tf", "copy_bundle()"),
    "orbax": ("import jax, numpy as np, orbax.checkpoint as ocp", "copy_orbax()"),
}
COPY = ("a copy by its library",)
IMPORTS = {
    "pytorch": "torch",
    "tensorflow": "h5py",
    "keras-hub": "h5py",
    "flax": "msgpack",
    "tf1": "tensorflow",
    "tf2": "tensorflow",
    "orbax": "orbax.checkpoint",
}
SCRIPT = """
import importlib, json, os, sys, time
from pathlib import Path
source, target, imports, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
os.environ["JAX_PLATFORMS"] = "cpu"
exec(imports)

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def copy_h5(name):
    held = {}
    with h5py.File(source / name) as file:
        file.visititems(lambda path, node: held.update({path: node[()]}) if isinstance(node, h5py.Dataset) else None)
    with h5py.File(target / name, "w") as file:
        for path, value in held.items():
            file.create_dataset(path, data=value)

def copy_bundle():
    reader = tf.train.load_checkpoint(str(source / "bert_model.ckpt"))
    names = sorted(name for name in reader.get_variable_to_shape_map() if not name.startswith("_CHECK"))
    with tf.device("cpu"):
        values = [tf.constant(reader.get_tensor(name)) for name in names]
        tf.raw_ops.SaveV2(prefix=str(target / "bert_model.ckpt"), tensor_names=names,
                          shape_and_slices=[""] * len(names), tensors=values)

def copy_orbax():
    folder = (source / "params").absolute()
    with ocp.PyTreeCheckpointer() as checkpointer:
        arguments = jax.tree.map(lambda leaf: ocp.RestoreArgs(restore_type=np.ndarray),
                                 checkpointer.metadata(folder).item_metadata.tree)
        tree = checkpointer.restore(folder, args=ocp.args.PyTreeRestore(restore_args=arguments))
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save((target / "params").absolute(), tree)

Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before, start = memory("VmRSS"), time.process_time()
exec(what)
print(json.dumps([time.process_time() - start, memory("VmHWM") - before]))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A BertForPreTraining of bert-base's size, and a BertModel that KerasHub and Model Garden have a place for."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    folders = {}
    for form, head, act in (
        ("others", "BertForPreTraining", "gelu"),
        ("tf2", "BertModel", "gelu"),
        ("keras-hub", "BertModel", "gelu_new"),
    ):
        if form == "others" or form in FORMATS:
            folders[form] = tmp_path_factory.mktemp(form)
            getattr(bertx_numpy, head)(BertConfig(hidden_act=act)).save_pretrained(folders[form])
    yield folders
    for folder in folders.values():  # pytest keeps its folders for three runs
        shutil.rmtree(folder)


TABLE = {}


@pytest.fixture(scope="module", autouse=True)
def the_table(request):
    """Printed at the end; with -s, or -rA."""
    yield
    lines = [f"{'':<36}{'CPU s':>8}{'of a copy':>12}{'peak MB':>10}{'of the file':>13}"]
    for (form, what), (seconds, peak, size, copy) in TABLE.items():
        lines.append(
            f"{form:<12}{what:<24}{seconds:>8.2f}{seconds / copy:>12.2f}{peak / 1e6:>10.0f}{peak / size:>13.2f}"
        )
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("\n" + "\n".join(lines))


def measured(source: Path, target: Path, imports: str, what: str) -> list[float]:
    target.mkdir()
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(source), str(target), imports, what]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    shutil.rmtree(target)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("form", FORMATS)
def test_the_cost_of_a_conversion(sources, tmp_path, form):
    safetensors = sources.get(form, sources["others"])
    size = (safetensors / "model.safetensors").stat().st_size
    assert size > 430e6
    there = safetensors
    if form != "safetensors":
        there = tmp_path / "there"
        bertx.convert(safetensors, there, form, verify=False)
    imports = "\n".join(["import bertx", "import bertx.checkpoints.convert", f"import {IMPORTS.get(form, 'numpy')}"])
    jobs = {COPY[0]: (there, *COPIES[form])}
    ways = {"to it": (safetensors, form)} | ({} if form == "safetensors" else {"from it": (there, "safetensors")})
    for way, (source, to) in ways.items():
        for verify in (False, True):
            call = f"bertx.convert(source, target, {to!r}, verify={verify})"
            jobs[f"{way}, verified" if verify else way] = source, imports, call
    found = {what: [] for what in jobs}
    for _ in range(ROUNDS):
        for what, job in jobs.items():  # interleaved: what else runs is the same for all
            found[what].append(measured(job[0], tmp_path / "out", *job[1:]))
    medians = {what: [statistics.median(values) for values in zip(*runs, strict=True)] for what, runs in found.items()}
    copy = medians[COPY[0]][0]
    for what, (seconds, peak) in medians.items():
        TABLE[form, what] = seconds, peak, size, copy
    shutil.rmtree(tmp_path)
    for what, (seconds, peak) in medians.items():
        if "verified" in what:
            # It reads the target back and runs both: a model in memory beside what the library keeps.
            assert peak <= 2.5 * size, (what, peak / size)
        elif what not in COPY:
            assert peak <= 1.5 * size, (what, peak / size)
            assert ROUNDS < 3 or seconds <= 1.3 * copy, (what, seconds / copy)
