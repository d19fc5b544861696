"""Measures bertx on a GPU beside its peers, and checks what is computed: texts, batches, one text, generation.

    python benchmarks/gpu.py [--out gpu.json] [--cases texts dense …]

Each case runs its contenders in turn, on the same weights and inputs, after the first output of each was compared with
float32 on the processor: exit code 1 if one is further from it than its bound. Medians of up to `--rounds` rounds, all
cases together in about `--minutes`. It ends in a table, where one can be given with the share of the rate that the
largest of some matrix products reaches on this device. transformers 5 and sentence-transformers run where PyTorch sees
the GPU, FlashAttention and TensorRT where they are installed.

Without an accelerator nothing is measured, and the exit code is 0; `--tiny` runs the same code with tiny sizes on
whatever is there, which says nothing but that it works.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.metadata
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

import cases
import numpy as np
import torch
from checkpoints import write
from report import gpu_markdown

import bertx
from bertx.backend import get_backend
from bertx.hub.sources import resolve
from bertx.tokenizers.ragged import RaggedBatch

# max |Δ| of last hidden states of up to 4.9. bfloat16 keeps 8 bits: on a processor it was 0.09 from float32 here.
BOUNDS = {"float32": 1e-4, "bfloat16": 0.2}
COSINE = 0.995  # of the embeddings of all-MiniLM, the least
FLOAT8_COSINE = 0.999  # of the embeddings, the mean
TRAINING = 0.05  # a gradient under autocast, as a part of its norm
CHECKED = 4  # rows that are compared with those on the processor


@dataclass(frozen=True)
class Contender:
    """call: what is timed; view: what it gives → the array that is compared; bound: how far that may be."""

    call: Callable[[], Any]
    view: Callable[[Any], np.ndarray]
    bound: float = BOUNDS["bfloat16"]


@dataclass
class Case:
    """What is measured: `amount` of `unit` in a call, `flops` in one where that can be said.

    expected: what the contenders' views are compared with, None for nothing; distance: how.
    """

    name: str
    unit: str
    amount: float
    contenders: dict[str, Contender]
    expected: np.ndarray | None = None
    flops: float = 0
    distance: Callable[[np.ndarray, np.ndarray], float] = field(default=lambda a, b: float(np.abs(a - b).max()))


@dataclass(frozen=True)
class Setting:
    """Where cases run: backend → device; tiny: with tiny sizes; folder: of the checkpoints."""

    devices: dict[str, str]
    tiny: bool
    folder: Path

    def checkpoint(self, name: str) -> Path:
        """One of `checkpoints.ARCHITECTURES`, written when it is first asked for."""
        write(self.folder / name, name, "safetensors", tiny=self.tiny)
        return self.folder / name / "safetensors"

    def compiled(self, module: Any, **options: Any) -> Any:
        """torch.compile; tiny models are traced and not compiled, which takes long."""
        return torch.compile(module, **options, **({"backend": "eager"} if self.tiny else {}))

    def transformers(self, name: str, attention: str = "sdpa") -> Any:
        """The peer on PyTorch, in bfloat16."""
        from transformers.models.bert import modeling_bert

        architecture = getattr(modeling_bert, cases.Case("", "", name, (), ()).head)
        source = self.checkpoint(name)
        model = architecture.from_pretrained(source, dtype=torch.bfloat16, attn_implementation=attention)
        return model.to(self.devices["torch"]).eval()


def found_devices() -> dict[str, str]:
    """Backend → its name of the accelerator, for those that see one."""
    installed = [backend for backend in ("torch", "jax", "tensorflow") if importlib.util.find_spec(backend)]
    names = {backend: {"cuda", "gpu"} & {*get_backend(backend).devices()} for backend in installed}
    return {backend: seen.pop() for backend, seen in names.items() if seen}


def one_minus_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """Of the rows, the largest."""
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    return float(1 - ((found * expected).sum(-1) / lengths).min())


def numpy_of(value: Any) -> np.ndarray:
    """An array or a tensor, in float32."""
    return value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, np.float32)


def inference(model: Any, tensors: dict[str, torch.Tensor]) -> Callable[[], Any]:
    """A call that gives the last hidden states, as a tensor."""

    def call() -> Any:
        with torch.inference_mode():
            return model(**tensors).last_hidden_state

    return call


# --- the cases --------------------------------------------------------------------------------------


def matrix_products(setting: Setting) -> Iterator[Case]:
    """What the device reaches at most: products of square matrices, and of the shapes of bert-base."""
    device = setting.devices["torch"]
    sizes = [(64, 64, 64)] if setting.tiny else [(8192, 8192, 8192), (8192, 768, 3072), (16384, 4096, 4096)]
    for rows, inner, columns in sizes:
        a, b = (torch.randn(shape, device=device, dtype=torch.bfloat16) for shape in ((rows, inner), (inner, columns)))
        call = functools.partial(torch.mm, a, b)
        contenders = {f"product {rows} x {inner} x {columns}": Contender(call, numpy_of)}
        yield Case("peak", "TFLOP/s", 2e-12 * rows * inner * columns, contenders, flops=2.0 * rows * inner * columns)


def texts(setting: Setting) -> Iterator[Case]:
    """Embeddings of texts of mixed lengths; and what tokenising takes of it."""
    count = 40 if setting.tiny else 20_000
    source = resolve(cases.MINILM)
    given = cases.texts(count, 0, source / "vocab.txt")
    checked = given[: 8 if setting.tiny else 200]
    exact = bertx.load(cases.MINILM, backend="torch", device="cpu")(checked)
    contenders = {}

    def view(found: Any) -> np.ndarray:
        return numpy_of(found)[: len(checked)]

    for backend, device in setting.devices.items():
        model = bertx.load(cases.MINILM, backend=backend, dtype="bfloat16", device=device)
        contenders[f"bertx, {backend}"] = Contender(functools.partial(model, given), view, 1 - COSINE)
    if "torch" in setting.devices:
        from sentence_transformers import SentenceTransformer

        options = {"dtype": torch.bfloat16}
        peer = SentenceTransformer(str(source), device=setting.devices["torch"], model_kwargs=options)
        for batch in (32, 512, 2048):
            call = functools.partial(peer.encode, given, batch_size=batch, show_progress_bar=False)
            contenders[f"sentence-transformers, batches of {batch}"] = Contender(call, view, 1 - COSINE)
    yield Case("texts", "texts/s", count, contenders, exact, distance=one_minus_cosine)
    tokenizer = bertx.load(cases.MINILM, backend="numpy").tokenizer
    backend = tokenizer.backend_tokenizer
    contenders = {
        "encode_batch_fast": Contender(functools.partial(backend.encode_batch_fast, given), len),
        "bertx, to flat arrays": Contender(functools.partial(tokenizer.ragged, given, truncation=True), len),
    }
    yield Case("tokenising", "texts/s", count, contenders)


def lengths_of(rows: int, length: int) -> np.ndarray:
    """From half of the length to all of it, one of them."""
    lengths = np.random.default_rng(1).integers(length // 2, length + 1, rows)
    lengths[0] = length
    return lengths


def batches(setting: Setting) -> Iterator[Case]:
    """bert-base on rows of different length: padded and packed, compiled and not. Real tokens are counted."""
    for rows, length in ((4, 16), (3, 24)) if setting.tiny else ((128, 128), (32, 512)):
        if "torch" in setting.devices:
            yield padded_and_packed(setting, rows, length)


def padded_and_packed(setting: Setting, rows: int, length: int) -> Case:
    """One size of `batches`."""
    device, source = setting.devices["torch"], setting.checkpoint("base")
    lengths = lengths_of(rows, length)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = np.random.default_rng(0).integers(1000, 30000, offsets[-1])
    ragged = RaggedBatch(ids, offsets)
    padded = {name: torch.from_numpy(value).to(device) for name, value in ragged.padded(length, 0).items()}
    packed = {name: torch.from_numpy(value).to(device) for name, value in ragged.packed().items()}
    few = ragged.select(np.arange(CHECKED)[:rows])
    exact = bertx.load(source, backend="torch", device="cpu").forward(**few.padded(length, 0))["last_hidden_state"]
    shown = few.padded(length, 0)["attention_mask"] != 0

    def of_padded(found: Any) -> np.ndarray:
        return numpy_of(found[: len(few)])[shown]

    def of_packed(found: Any) -> np.ndarray:
        return numpy_of(found[0, : few.row_offsets[-1]])

    ours = bertx.load(source, backend="torch", dtype="bfloat16", device=device).module
    theirs = setting.transformers("base")
    contenders = {
        "bertx, padded": Contender(inference(ours, padded), of_padded),
        "bertx, packed": Contender(inference(ours, packed), of_packed),
        "bertx, packed, compiled": Contender(inference(setting.compiled(ours), packed), of_packed),
        "transformers, padded": Contender(inference(theirs, padded), of_padded),
        "transformers, padded, compiled": Contender(inference(setting.compiled(theirs), padded), of_padded),
    }
    if importlib.util.find_spec("flash_attn"):
        flash = setting.transformers("base", "flash_attention_2")
        contenders["transformers, FlashAttention 2"] = Contender(inference(flash, padded), of_padded)
    if importlib.util.find_spec("torch_tensorrt"):
        import torch_tensorrt  # noqa: F401 - registers its backend

        contenders["transformers, TensorRT"] = Contender(
            inference(torch.compile(theirs, backend="tensorrt"), padded), of_padded
        )
    sizes = cases.TINY if setting.tiny else cases.BERT_BASE
    work = float(sum(cases.flops(sizes, 1, int(own)) for own in lengths))
    name = f"{rows} rows of {length // 2} to {length}"
    return Case(name, "million real tokens/s", offsets[-1] / 1e6, contenders, exact[shown], work)


def dense(setting: Setting) -> Iterator[Case]:
    """bert-base on rows of one length: from NumPy to NumPy, and on PyTorch and JAX what stays on the device."""
    for rows, length in ((2, 16), (2, 24)) if setting.tiny else ((64, 128), (32, 512)):
        source, inputs = setting.checkpoint("base"), cases.arrays(rows, length)
        del inputs["labels"]
        few = {name: value[:CHECKED] for name, value in inputs.items()}
        exact = bertx.load(source, backend="torch", device="cpu").forward(**few)["last_hidden_state"]
        contenders = dict(_dense_contenders(setting, source, inputs))
        sizes = cases.TINY if setting.tiny else cases.BERT_BASE
        yield Case(f"dense, {rows} x {length}", "rows/s", rows, contenders, exact, cases.flops(sizes, rows, length))


def _dense_contenders(setting: Setting, source: Path, inputs: Any) -> Iterator[tuple[str, Contender]]:
    def view(found: Any) -> np.ndarray:
        return numpy_of(found[:CHECKED])

    for backend, device in setting.devices.items():
        for dtype, bound in BOUNDS.items():
            model = bertx.load(source, backend=backend, dtype=dtype, device=device)
            call = functools.partial(lambda model: model.forward(**inputs)["last_hidden_state"], model)
            yield f"bertx.load, {backend}, {dtype}", Contender(call, view, bound)
    if "jax" in setting.devices:
        import jax

        module = bertx.load(source, backend="jax", dtype="bfloat16", device=setting.devices["jax"]).module
        run, params = jax.jit(lambda params, batch: module.apply(params, batch)["last_hidden_state"]), module.params
        arrays = {name: jax.device_put(value.astype(np.int32)) for name, value in inputs.items()}
        yield "bertx_jax, jit", Contender(lambda: run(params, arrays).block_until_ready(), view)
    if "torch" not in setting.devices:
        return
    device = setting.devices["torch"]
    tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}
    ours = bertx.load(source, backend="torch", dtype="bfloat16", device=device).module
    theirs = setting.transformers("base")
    for name, model in (("bertx_torch", ours), ("transformers", theirs)):
        yield name, Contender(inference(model, tensors), view)
        yield f"{name}, compiled", Contender(inference(setting.compiled(model), tensors), view)
    if not setting.tiny:
        fewer = torch.compile(ours, mode="reduce-overhead")
        yield "bertx_torch, compiled, reduce-overhead", Contender(inference(fewer, tensors), view)
    if torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 9):
        # Compared by the vectors' direction below, which bounds what a dtype of 3 or 4 bits may cost.
        quantized = with_float8(bertx.load(source, backend="torch", dtype="bfloat16", device=device).module)
        yield "bertx_torch, float8, compiled", Contender(inference(torch.compile(quantized), tensors), view, 1.0)


class Float8Linear(torch.nn.Module):
    """x Wᵀ + b by `torch._scaled_mm`: both in float8 with a scale for each row."""

    def __init__(self, linear: torch.nn.Linear):
        super().__init__()
        self.weight, self.scale = (tensor.t() for tensor in _float8(linear.weight.detach()))
        self.bias = linear.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] → [..., out]."""
        rows, scale = _float8(x.reshape(-1, x.shape[-1]))
        product = torch._scaled_mm(rows, self.weight, scale, self.scale, bias=self.bias, out_dtype=x.dtype)
        return product.view(*x.shape[:-1], -1)


def _float8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scale = rows.abs().amax(-1, keepdim=True).float().clamp_min(1e-12) / torch.finfo(torch.float8_e4m3fn).max
    return (rows / scale).to(torch.float8_e4m3fn), scale


def with_float8(module: Any) -> Any:
    """The model, its encoder's Linear layers in float8."""
    for block in list(module.encoder.modules()):
        for name, child in block.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(block, name, Float8Linear(child))
    return module


def short(setting: Setting) -> Iterator[Case]:
    """One text of 16 tokens, from NumPy to NumPy."""
    source, inputs = setting.checkpoint("base"), cases.arrays(1, 16)
    del inputs["labels"]
    exact = bertx.load(source, backend="torch", device="cpu").forward(**inputs)["last_hidden_state"]
    contenders = {}
    for backend, device in setting.devices.items():
        model = bertx.load(source, backend=backend, dtype="bfloat16", device=device)
        call = functools.partial(lambda model: model.forward(**inputs)["last_hidden_state"], model)
        contenders[f"bertx, {backend}"] = Contender(call, numpy_of)
        if backend == "torch":
            contenders["bertx, torch, without CUDA graphs"] = Contender(_without_graphs(call), numpy_of)
    if "torch" in setting.devices:
        theirs, device = setting.transformers("base"), setting.devices["torch"]

        def peer() -> Any:
            tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}
            return inference(theirs, tensors)().float().cpu()

        contenders["transformers"] = Contender(peer, numpy_of)
    yield Case("one text of 16 tokens", "texts/s", 1, contenders, exact)


def _without_graphs(call: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        os.environ["BERTX_CUDA_GRAPHS"] = "0"
        try:
            return call()
        finally:
            del os.environ["BERTX_CUDA_GRAPHS"]

    return run


def generation(setting: Setting) -> Iterator[Case]:
    """Six layers of bert-base, causal: 64 tokens after each of 8 prompts, the likeliest."""
    rows, tokens = (2, 4) if setting.tiny else (8, 64)
    source = setting.checkpoint("causal6")
    prompts = cases.texts(rows, 12, resolve(cases.MINILM) / "vocab.txt")
    contenders = {}
    for backend, device in setting.devices.items():
        model = bertx.load(source, backend=backend, dtype="bfloat16", device=device)
        contenders[f"bertx, {backend}"] = Contender(functools.partial(model, prompts, max_new_tokens=tokens), len)
    if "torch" in setting.devices:
        from transformers import AutoTokenizer

        theirs, tokenizer = setting.transformers("causal6"), AutoTokenizer.from_pretrained(source, padding_side="left")

        def peer() -> Any:
            batch = tokenizer(prompts, return_tensors="pt", padding=True)
            batch = {name: batch[name][:, :-1].to(setting.devices["torch"]) for name in ("input_ids", "attention_mask")}
            return theirs.generate(
                **batch, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
            ).cpu()

        contenders["transformers, generate"] = Contender(peer, len)
    yield Case(f"generation, {rows} x {tokens}", "tokens/s", rows * tokens, contenders)


def gradients(setting: Setting) -> Iterator[Case]:
    """One training step without dropout under bfloat16 autocast, whose gradient is compared with float32's."""
    if "torch" not in setting.devices:
        return
    rows, length = (2, 16) if setting.tiny else (64, 128)
    source, inputs = setting.checkpoint("classifier12"), cases.arrays(rows, length)

    def gradient(device: str, autocast: bool) -> torch.Tensor:
        model = bertx.load(source, backend="torch", device=device).module
        tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=autocast):
            loss = model(**tensors).loss
        loss.backward()
        return torch.cat([parameter.grad.float().cpu().flatten() for parameter in model.parameters()])

    def distance(found: np.ndarray, expected: np.ndarray) -> float:
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    call = functools.partial(gradient, setting.devices["torch"], True)
    contenders = {"bertx_torch, under autocast": Contender(call, numpy_of, TRAINING)}
    yield Case("a gradient", "rows/s", rows, contenders, gradient("cpu", False).numpy(), distance=distance)


CASES = {
    "peak": matrix_products,
    "texts": texts,
    "batches": batches,
    "dense": dense,
    "short": short,
    "generation": generation,
    "gradient": gradients,
}


# --- measuring --------------------------------------------------------------------------------------


def synchronize() -> None:
    """Waits for what PyTorch has given the device to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure(case: Case, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """A line of each contender: what it took, in turn with the others, and how far its output is.

    rounds: at most so many, and at least one; seconds: after so long no further one begins.
    """
    lines, last = [], time.perf_counter() + seconds
    for name, contender in case.contenders.items():
        line = {"case": case.name, "model": name, "unit": case.unit, "seconds": []}
        line |= {"delta": None, "bound": None, "per_second": 0, "share": None, "error": None}
        lines.append(line)
        try:
            found = contender.view(contender.call())
            for _ in range(2):  # what is compiled, recorded or allocated later
                contender.call()
        except Exception as error:  # a peer that does not run here
            line["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if case.expected is not None:
            line |= {"delta": case.distance(found, case.expected), "bound": contender.bound}
            if "float8" in name:
                directions = found.reshape(-1, found.shape[-1]), case.expected.reshape(-1, case.expected.shape[-1])
                lengths = [np.linalg.norm(vectors, axis=-1) for vectors in directions]
                cosines = (directions[0] * directions[1]).sum(-1) / np.prod(lengths, axis=0)
                line |= {"delta": float(1 - cosines.mean()), "bound": 1 - FLOAT8_COSINE}
    for turn in range(rounds):
        if turn and time.perf_counter() > last:
            break
        for line in lines:
            if line["error"] is None:
                synchronize()
                start = time.perf_counter()
                case.contenders[line["model"]].call()
                synchronize()
                line["seconds"].append(time.perf_counter() - start)
    for line in lines:
        if line["seconds"]:
            line["per_second"] = case.amount / statistics.median(line["seconds"])
            line["flops"] = case.flops / statistics.median(line["seconds"])
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints each line and then the table, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, on the processor where there is no GPU")
    parser.add_argument("--rounds", type=int, default=7, help="at most so many of each case")
    parser.add_argument("--minutes", type=float, default=7, help="after so long no case begins another round")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    asked = parser.parse_args(arguments)
    devices = found_devices()
    if not devices and asked.tiny:
        devices = {name: "cpu" for name in ("torch", "jax") if importlib.util.find_spec(name)}
    if not devices:
        print("There is no GPU: neither PyTorch nor JAX nor TensorFlow sees one. Nothing was measured.")
        return 0
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device for PyTorch"
    about = {"device": name, "torch": torch.__version__, "devices": devices, "tiny": asked.tiny}
    about["transformers"] = importlib.metadata.version("transformers")
    print(f"{name}; torch {torch.__version__}; {'tiny sizes' if asked.tiny else 'full sizes'}", flush=True)
    lines: list[dict[str, Any]] = []
    end, peak = time.perf_counter() + 60 * asked.minutes, 0.0
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(devices, asked.tiny, Path(folder))
        for i, case_name in enumerate(asked.cases):
            if case_name == "peak" and "torch" not in devices:
                continue
            for case in CASES[case_name](setting):
                left = max(0.0, end - time.perf_counter()) / (len(asked.cases) - i)
                for line in measure(case, asked.rounds, left / 2):
                    if case_name == "peak":
                        peak = max(peak, line["flops"])
                    if line.get("flops") and peak:
                        line["share"] = line["flops"] / peak
                    lines.append(line)
                    print(told(line), flush=True)
                del case
                gc.collect()
                torch._dynamo.reset()
                torch.cuda.empty_cache()
    report = about | {"peak": peak, "models": lines}
    print(f"\n{gpu_markdown(report)}")
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")
    failed = [line for line in lines if line["delta"] is not None and not line["delta"] <= line["bound"]]
    broken = [line for line in lines if line["error"] and "bertx" in line["model"]]
    return int(bool(failed or broken))


def told(line: dict[str, Any]) -> str:
    """A line as it is measured."""
    what = f"{line['case']}: {line['model']}".ljust(72)
    if line["error"]:
        return f"{what} {line['error']}"
    share = "" if line["share"] is None else f"{line['share']:6.0%} of the peak"
    verdict = ""
    if line["delta"] is not None:
        verdict = f"{line['delta']:9.2g} "
        verdict += "✓" if line["delta"] <= line["bound"] else f"✗ the bound is {line['bound']:g}"
    return f"{what} {line['per_second']:>12,.2f} {line['unit']} {share} {verdict}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
