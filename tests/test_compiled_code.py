"""XLA's compiled code is kept for the next process, unless JAX was told otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

EMBED = "import bertx, sys; bertx.load(sys.argv[1], backend='jax').forward(input_ids=[[2, 5, 3]])"


def run(folder, cache, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EMBED, str(folder)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {path.name for path in cache.rglob("*-cache")}


def test_it_is_kept_and_found_again(peers, tmp_path):
    folder = peers("BertModel")[1]
    kept = run(folder, tmp_path)
    assert any("run" in name for name in kept)
    assert run(folder, tmp_path) == kept


def test_a_program_that_has_its_own_place_keeps_it(peers, tmp_path):
    own = tmp_path / "own"
    run(peers("BertModel")[1], tmp_path / "home", JAX_COMPILATION_CACHE_DIR=str(own))
    assert not (tmp_path / "home").exists()


def test_a_place_that_cannot_be_written_is_no_error(peers, tmp_path):
    (tmp_path / "bertx").write_text("a file")
    assert run(peers("BertModel")[1], tmp_path) == set()
