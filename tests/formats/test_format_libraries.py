"""Reading needs only the library of the format, never the model's framework: each format in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from format_support import FIXTURES, copy_with_config

import bertx
from bertx_weights import FORMATS

HEAD = "BertModel"
WATCHED = ("torch", "tensorflow", "keras", "keras_hub", "jax", "flax", "transformers", "orbax", "h5py", "msgpack",
           "tensorstore", "ml_dtypes", "tf_keras")  # fmt: skip
# format → what reading it may import; what writing it may; the library and the extra without which it cannot be read,
# and without which it cannot be written.
HDF5 = {"h5py"}
JAX = {"orbax", "jax", "tensorstore", "ml_dtypes", "msgpack", "flax"}
TENSORFLOW = {"tensorflow", "ml_dtypes", "h5py", "keras", "jax"}  # its own __init__ looks for the other three
ALLOWED = {
    "safetensors": (set(), set()),
    "pytorch": ({"torch"}, {"torch"}),
    "tensorflow": (HDF5, HDF5),
    "flax": ({"msgpack"}, {"msgpack"}),
    "npz": (set(), set()),
    "keras-hub": (HDF5, HDF5),
    "tf1": (set(), TENSORFLOW),
    "tf2": (set(), TENSORFLOW),
    "orbax": (JAX, JAX),
}
NEEDS = {
    "pytorch": (("torch", "torch"), ("torch", "torch")),
    "tensorflow": (("h5py", "h5"), ("h5py", "h5")),
    "flax": (("msgpack", "msgpack"), ("msgpack", "msgpack")),
    "keras-hub": (("h5py", "h5"), ("h5py", "h5")),
    "tf1": (None, ("tensorflow", "tensorflow")),
    "tf2": (None, ("tensorflow", "tensorflow")),
    "orbax": (("orbax", "orbax"), ("orbax", "orbax")),
}
SCRIPT = """
import json, sys
source, target, watched, hidden = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
for name in hidden:
    sys.modules[name] = None
import bertx
found = {}

def step(name, what):
    try:
        what()
        error = None
    except bertx.MissingExtraError as missing:
        error = str(missing)
    found[name] = [error, sorted(set(watched) & {module.split(".")[0] for module in sys.modules} - set(hidden))]

step("inspect", lambda: bertx.inspect(source))
step("read", lambda: bertx.convert(source, target + "/npz", "npz"))
step("load", lambda: bertx.load(source, backend="numpy").forward(input_ids=[[2, 7, 3]]))
if sys.argv[5] == "write":
    step("write", lambda: bertx.convert(source, target + "/same", bertx.inspect(source).format))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """format → a checkpoint, of bertx's own writing: each by the process that has the libraries."""
    root = tmp_path_factory.mktemp("formats")
    source = FIXTURES / HEAD / "safetensors"
    tanh = copy_with_config(source, root / "source", hidden_act="gelu_new")
    for form in FORMATS:
        bertx.convert(tanh if form == "keras-hub" else source, root / form, form, verify=False)
    return {form: root / form for form in FORMATS}


def steps(folder, target, hidden=(), last="write"):
    """step → (the error, what was imported until then)."""
    arguments = [str(folder), str(target), json.dumps(WATCHED), json.dumps(hidden), last]
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=target)
    assert result.returncode == 0, result.stderr[-2000:]
    return {
        name: (error, set(imported)) for name, (error, imported) in json.loads(result.stdout.splitlines()[-1]).items()
    }


def test_every_format_is_here():
    assert set(ALLOWED) == set(FORMATS) == set(NEEDS) | {"safetensors", "npz"}


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_imported(folders, tmp_path, form):
    reading, writing = ALLOWED[form]
    found = steps(folders[form], tmp_path)
    assert {name: error for name, (error, _) in found.items()} == dict.fromkeys(found)
    for name in ("inspect", "read", "load"):
        assert found[name][1] <= reading, name
    assert found["write"][1] <= reading | writing
    for needed, allowed in zip(NEEDS.get(form, (None, None)), (reading, writing), strict=True):
        assert needed is None or needed[0] in allowed


@pytest.mark.parametrize("form", ["tf1", "tf2", "orbax", "pytorch", "keras-hub", "tensorflow"])
def test_the_real_writers_files_need_no_more(tmp_path, form):
    found = steps(FIXTURES / HEAD / form.replace("-", "_"), tmp_path, last="load")
    assert found["read"][0] is None
    assert found["load"][1] <= ALLOWED[form][0]


@pytest.mark.parametrize("form", NEEDS)
def test_without_its_library_the_extra_is_named(folders, tmp_path, form):
    to_read, to_write = NEEDS[form]
    hidden = sorted({library for library, _ in filter(None, (to_read, to_write))})
    found = steps(folders[form], tmp_path, hidden)
    for name, needed in (("inspect", to_read), ("read", to_read), ("load", to_read), ("write", to_write)):
        error, imported = found[name]
        if needed is None:
            assert error is None, name
        else:
            library, extra = needed
            assert f"pip install 'bertx[{extra}]'" in error, name
            assert library in error and not imported & {"torch", "tensorflow"}
    assert not (tmp_path / "same").exists()


def test_the_extras_bring_the_libraries():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for needed in NEEDS.values():
        for library, extra in filter(None, needed):
            name = {"orbax": "orbax-checkpoint"}.get(library, library)
            assert name in [re.match(r"[\w-]+", line).group() for line in project["optional-dependencies"][extra]]
    always = {re.match(r"[\w-]+", line).group() for line in project["dependencies"]}
    assert not always & {"torch", "tensorflow", "keras", "jax", "flax", "h5py", "msgpack"}
