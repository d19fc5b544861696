"""Checks bertx on an accelerator: bfloat16 beside float32 on the processor, torch.compile, and throughput.

    python benchmarks/gpu.py [--out gpu.json]

bert-base with random weights, 64 rows of 128 tokens, the last hidden states. Every backend whose framework sees an
accelerator is checked; on PyTorch the sequences a second stand beside those of transformers 5 with the same dtype and
the same attention, in turn, medians. Exit code 1 if an output is further from float32 than BOUND; 0 if there is no
accelerator. `--device cpu --quick` runs the same code on tiny sizes without one.
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
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import cases
import torch
from checkpoints import write

import bertx
from bertx.backend import get_backend

# bfloat16 keeps 8 bits. On a processor these weights were 0.09 from float32, of values up to 4.9.
BOUND = 0.2


def devices() -> dict[str, str]:
    """Backend → its name of the accelerator, for those that see one."""
    installed = [backend for backend in ("torch", "jax", "tensorflow") if importlib.util.find_spec(backend)]
    names = {backend: {"cuda", "gpu"} & {*get_backend(backend).devices()} for backend in installed}
    return {backend: seen.pop() for backend, seen in names.items() if seen}


def seconds(call, rounds: int) -> float:
    """The median time of a call, that of the accelerator's work included."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def torch_calls(folder: Path, device: str, inputs: dict) -> dict:
    """Model → a call that gives its last hidden states on the device; bfloat16."""
    from transformers.models.bert.modeling_bert import BertModel

    ours = bertx.load(folder, backend="torch", dtype="bfloat16", device=device).module
    theirs = BertModel.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="sdpa").to(device).eval()
    models = {"bertx": ours, "transformers": theirs}
    models |= {f"{name}, torch.compile": torch.compile(model) for name, model in models.items()}
    tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}

    def call(model):
        with torch.inference_mode():
            return model(**tensors).last_hidden_state

    return {name: lambda model=model: call(model) for name, model in models.items()}


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
    rows, length = (4, 16) if asked.quick else (64, 128)
    inputs = cases.arrays(rows, length)
    del inputs["labels"]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), "base", "safetensors", tiny=asked.quick)
        source = Path(folder) / "safetensors"
        expected = bertx.load(source, backend="torch", device="cpu").forward(**inputs)["last_hidden_state"]
        if "torch" in found:
            calls = torch_calls(source, found["torch"], inputs)
            for name, call in calls.items():
                delta = abs(call().float().cpu().numpy() - expected).max()
                lines.append({"model": f"{name} (torch)", "delta": float(delta), "seconds": []})
                seconds(call, 3)
            for _ in range(asked.rounds):
                for line, call in zip(lines, calls.values(), strict=True):
                    line["seconds"].append(seconds(call, 3))
        for backend, device in found.items():
            model = bertx.load(source, backend=backend, dtype="bfloat16", device=device)
            delta = abs(model.forward(**inputs)["last_hidden_state"] - expected).max()
            taken = [seconds(lambda model=model: model.forward(**inputs), 1) for _ in range(asked.rounds)]
            lines.append({"model": f"bertx.load, NumPy to NumPy ({backend})", "delta": float(delta), "seconds": taken})
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device for PyTorch"
    print(f"{name}; torch {torch.__version__}; bfloat16, {rows} rows of {length} tokens; bound of max |Δ|: {BOUND}")
    for line in lines:
        line["sequences_per_second"] = rows / statistics.median(line["seconds"])
        line["passed"] = line["delta"] <= BOUND
        told = f"max |Δ| {line['delta']:.3f} {'✓' if line['passed'] else '✗ beyond the bound'}"
        print(f"{line['model']:<46} {line['sequences_per_second']:>10,.0f} sequences/s   {told}")
    if asked.out:
        report = {"device": name, "torch": torch.__version__, "devices": found, "bound": BOUND, "models": lines}
        asked.out.write_text(json.dumps(report | {"rows": rows, "length": length}, indent=2) + "\n")
    return int(not all(line["passed"] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
