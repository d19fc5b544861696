"""Matrix products by oneDNN, where PyTorch's own are slower on a processor: see benchmarks/decisions.md."""

from __future__ import annotations

import platform
import threading

import torch


def _least_sizes():
    """Elements of a matrix from which oneDNN's product pays, for few rows and for many, and that with a gelu."""
    try:
        with open("/proc/cpuinfo") as file:
            processor = file.read(256)
    except OSError:
        processor = platform.processor()
    amd = "AuthenticAMD" in processor
    match torch.backends.cpu.get_cpu_capability():
        case "AVX512":
            return (0, 0, 0) if amd else (float("inf"), float("inf"), 2**20)
        case "AVX2" if amd:
            return 2**19, 2**20, float("inf")
    return float("inf"), float("inf"), float("inf")


LINEAR_FROM, LINEAR_FROM_OF_MANY_ROWS, GELU_FROM = _least_sizes()
_MANY_ROWS = 512


class _Thread(threading.local):
    laid_out = None  # in a thread for many batches: Linear → its weight as oneDNN has it, else made for each product


thread = _Thread()


def runs_at_once():
    """Whether calls are run, and not recorded by torch.compile or torch.jit.trace, for other processors too."""
    return not torch.compiler.is_compiling() and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def takes_linear(dense, x):
    """Whether `linear` is for such a layer and input."""
    return _takes(dense, x, LINEAR_FROM) and (
        dense.weight.numel() >= LINEAR_FROM_OF_MANY_ROWS or x.shape[:-1].numel() < _MANY_ROWS
    )


def takes_gelu(dense, x):
    """Whether `linear_gelu` is for such a layer and input."""
    return _takes(dense, x, GELU_FROM)


def linear(dense, x):
    """x Wᵀ + b, x [..., in] → [..., out]."""
    return torch.ops.mkldnn._linear_pointwise(x, _weight(dense), dense.bias, "none", [], "")


def linear_gelu(dense, x, approximate):
    """The gelu of x Wᵀ + b; `approximate` as in torch.nn.functional.gelu."""
    return torch.ops.mkldnn._linear_pointwise(x, _weight(dense), dense.bias, "gelu", [], approximate)


def _takes(dense, x, least):
    return (
        runs_at_once()  # first: what follows would break a graph
        and type(dense) is torch.nn.Linear  # a quantized one has a method for its weight
        and type(dense.weight) is torch.nn.Parameter
        and dense.weight.numel() >= least
        and not (dense._forward_hooks or dense._forward_pre_hooks)
        and torch.is_inference_mode_enabled()
        and not torch.is_autocast_enabled("cpu")
        and x.device.type == "cpu"
        and x.dtype == dense.weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
    )


def _weight(dense):
    if thread.laid_out is None:
        return dense.weight
    if dense not in thread.laid_out:
        thread.laid_out[dense] = torch.ops.mkldnn._reorder_linear_weight(dense.weight, 1024)  # for about so many rows
    return thread.laid_out[dense]
