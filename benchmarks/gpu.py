"""Checks bertx on an accelerator: float32 and bfloat16 beside the processor, autocast, torch.compile, and throughput.

    python benchmarks/gpu.py [--out gpu.json]

Every backend whose framework sees an accelerator runs bert-base with random weights on 64 rows of 128 tokens, and
all-MiniLM on 4,000 texts of mixed lengths. On PyTorch transformers 5 and sentence-transformers run beside it, with the
same dtype and the same attention, in turn; medians. Exit code 1 if an output is further from float32 on the processor
than its bound; 0 if there is no accelerator. `--device cpu --quick` runs the same code on tiny sizes without one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import cases
import numpy as np
import torch
from checkpoints import write

import bertx
from bertx.backend import get_backend
from bertx.hub.sources import resolve

# max |Δ| of last hidden states of up to 4.9. bfloat16 keeps 8 bits: on a processor it was 0.09 from float32 here.
BOUNDS = {"float32": 1e-4, "bfloat16": 0.2}
COSINE = 0.995  # of the embeddings of all-MiniLM, the least
TRAINING = 0.05  # a gradient under autocast, as a part of its norm
Calls = dict[str, Callable[[], np.ndarray]]


def devices() -> dict[str, str]:
    """Backend → its name of the accelerator, for those that see one."""
    installed = [backend for backend in ("torch", "jax", "tensorflow") if importlib.util.find_spec(backend)]
    names = {backend: {"cuda", "gpu"} & {*get_backend(backend).devices()} for backend in installed}
    return {backend: seen.pop() for backend, seen in names.items() if seen}


def dense(folder: Path, found: dict[str, str], inputs: dict[str, np.ndarray]) -> Calls:
    """Model → a call that gives its last hidden states: from NumPy to NumPy, and on PyTorch tensor to tensor."""
    calls = {}
    for backend, device in found.items():
        for dtype in BOUNDS:
            model = bertx.load(folder, backend=backend, dtype=dtype, device=device)
            calls[f"bertx.load, {backend}, {dtype}"] = lambda model=model: model.forward(**inputs)["last_hidden_state"]
    if "torch" not in found:
        return calls
    from transformers.models.bert.modeling_bert import BertModel

    ours = bertx.load(folder, backend="torch", dtype="bfloat16", device=found["torch"]).module
    theirs = BertModel.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="sdpa")
    tensors = {name: torch.from_numpy(value).to(found["torch"]) for name, value in inputs.items()}

    def call(model):
        with torch.inference_mode():
            return model(**tensors).last_hidden_state

    models = {"bertx_torch, bfloat16": ours, "transformers, bfloat16": theirs.to(found["torch"]).eval()}
    models |= {f"{name}, torch.compile": torch.compile(model) for name, model in models.items()}
    return calls | {name: lambda model=model: call(model) for name, model in models.items()}


def embeddings(found: dict[str, str], texts: list[str]) -> Calls:
    """Model → a call that gives the embeddings of the texts, bfloat16."""
    calls = {}
    for backend, device in found.items():
        model = bertx.load(cases.MINILM, backend=backend, dtype="bfloat16", device=device)
        calls[f"bertx.load, {backend}, texts"] = lambda model=model: model(texts)
    if "torch" in found:
        from sentence_transformers import SentenceTransformer

        folder, options = str(resolve(cases.MINILM)), {"dtype": torch.bfloat16}
        peer = SentenceTransformer(folder, device=found["torch"], model_kwargs=options)
        for batch in (32, 512):
            calls[f"sentence-transformers, texts, batches of {batch}"] = lambda batch=batch: peer.encode(
                texts, batch_size=batch, show_progress_bar=False
            )
    return calls


def gradient(folder: Path, device: str, inputs: dict[str, np.ndarray], autocast: bool) -> torch.Tensor:
    """The gradient of one training step without dropout, on the processor, under bfloat16 autocast if asked for."""
    model = bertx.load(folder, backend="torch", device=device).module
    tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=autocast):
        loss = model(**tensors).loss
    loss.backward()
    return torch.cat([parameter.grad.float().cpu().flatten() for parameter in model.parameters()])


def timed(calls: Calls, rounds: int) -> dict[str, list[float]]:
    """The seconds of each call, those of the accelerator's work included, in turn."""
    taken = {name: [] for name in calls}
    for turn in range(rounds + 2):  # the first two warm up
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn > 1:
                taken[name].append(time.perf_counter() - start)
    return taken


def main(arguments: list[str] | None = None) -> int:
    """Checks, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--device", help="for PyTorch only, in the place of what is found")
    parser.add_argument("--quick", action="store_true", help="tiny sizes")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args(arguments)
    found = {"torch": asked.device} if asked.device else devices()
    if not found:
        print("There is no GPU: neither PyTorch nor JAX nor TensorFlow sees one. Nothing was checked.")
        return 0
    rows, length, count = (4, 16, 40) if asked.quick else (64, 128, 4000)
    inputs = cases.arrays(rows, length)
    labels = inputs.pop("labels")
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device for PyTorch"
    print(f"{name}; torch {torch.__version__}; {rows} rows of {length} tokens, {count} texts", flush=True)
    lines = []

    def report(model: str, delta: float, bound: float, taken: list[float], of: int) -> None:
        speed = of / statistics.median(taken) if taken else 0
        lines.append({"model": model, "delta": float(delta), "bound": bound, "seconds": taken, "per_second": speed})
        told = f"{speed:>10,.0f} a second" if taken else " " * 19
        verdict = "✓" if delta <= bound else f"✗ the bound is {bound:g}"
        print(f"{model:<48}{told}   {delta:9.2g} from float32 on the processor {verdict}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "base", "base", "safetensors", tiny=asked.quick)
        source = Path(folder) / "base" / "safetensors"
        expected = bertx.load(source, backend="torch", device="cpu").forward(**inputs)["last_hidden_state"]
        calls = dense(source, found, inputs)
        outputs = {model: call() for model, call in calls.items()}
        for model, taken in timed(calls, asked.rounds).items():
            output = outputs[model]
            output = output.float().cpu().numpy() if isinstance(output, torch.Tensor) else output
            dtype = next(dtype for dtype in BOUNDS if dtype in model)
            report(model, abs(output - expected).max(), BOUNDS[dtype], taken, rows)
        if "torch" in found:
            write(Path(folder) / "head", "classifier12", "safetensors", tiny=asked.quick)
            source, batch = Path(folder) / "head" / "safetensors", {**inputs, "labels": labels}
            exact = gradient(source, "cpu", batch, autocast=False)
            delta = torch.linalg.norm(gradient(source, found["torch"], batch, autocast=True) - exact)
            report("bertx_torch, a gradient under autocast", delta / torch.linalg.norm(exact), TRAINING, [], rows)
    texts = cases.texts(count, 0, resolve(cases.MINILM) / "vocab.txt")
    exact = bertx.load(cases.MINILM, backend="torch", device="cpu")(texts[:200])
    calls = embeddings(found, texts)
    outputs = {model: call() for model, call in calls.items()}
    for model, taken in timed(calls, asked.rounds).items():
        vectors = np.asarray(outputs[model][:200], np.float64)
        cosines = (vectors * exact).sum(-1) / np.linalg.norm(vectors, axis=-1)
        report(model, 1 - cosines.min(), 1 - COSINE, taken, count)
    if asked.out:
        about = {"device": name, "torch": torch.__version__, "devices": found, "rows": rows, "length": length}
        asked.out.write_text(json.dumps(about | {"texts": count, "models": lines}, indent=2) + "\n")
    return int(not all(line["delta"] <= line["bound"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
