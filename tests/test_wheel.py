"""The wheel, installed in a clean environment without the source tree."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from support import batch, differences, peer_forward

ROOT = Path(__file__).parents[1]

RUN = """
import sys
import numpy as np
import bertx
folder, inputs, outputs = sys.argv[1:]
model = bertx.load(folder)
assert model.backend == "numpy", model.backend
np.savez(outputs, **model.forward(**np.load(inputs)))
assert bertx.installed_backends() == ["numpy"]
assert len(bertx.load("bertx-tiny", task="fill-mask")("the people of the united [MASK]")) == 5
assert all("site-packages" in module.__file__ for module in (bertx, sys.modules["bertx_weights"])), bertx.__file__
try:
    bertx.load(folder, backend="torch")
except ImportError as error:
    assert "bertx[torch]" in str(error), error
"""


@pytest.mark.slow
def test_the_wheel_runs_a_forward_on_numpy_without_the_source_tree(peers, tmp_path):
    import numpy as np

    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("bertx-*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for package in (ROOT / "bertx", ROOT / "weights" / "bertx_weights", *(ROOT / "backends").glob("bertx_*")):
        typed = [package / "py.typed", *package.rglob("*.pyi")]  # what type checkers read
        assert {path.relative_to(package.parent).as_posix() for path in typed} <= shipped
    tiny = [path for path in (ROOT / "bertx" / "bertx-tiny").iterdir() if path.is_file()]
    assert tiny and {path.relative_to(ROOT).as_posix() for path in tiny} <= shipped
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True, capture_output=True)
    head = "BertForPreTraining"
    model, folder = peers(head)
    inputs = batch(head, "right")
    np.savez(tmp_path / "inputs.npz", **inputs)
    run = [python, "-c", RUN, folder, tmp_path / "inputs.npz", tmp_path / "outputs.npz"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "outputs.npz"))
    assert max(differences(found, peer_forward(model, inputs)).values()) <= 5e-6
    listed = subprocess.run(
        [tmp_path / "venv" / "bin" / "bertx", "backends"], capture_output=True, text=True, check=True
    )
    assert "bertx[tensorflow]" in listed.stdout
