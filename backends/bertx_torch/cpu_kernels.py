"""Matrix products otherwise than by PyTorch's own way, where that is slower: see benchmarks/decisions.md."""

from __future__ import annotations

import platform
import threading

import torch


def _is_amd():
    try:
        with open("/proc/cpuinfo") as file:
            return "AuthenticAMD" in file.read(256)
    except OSError:
        return "AuthenticAMD" in platform.processor()


_NEVER = float("inf")


def _limits():
    """What is faster on this processor.

    Elements of a matrix from which oneDNN's product pays, for few rows and for many, and that with a gelu; and up to
    how many rows a product is made in parts.
    """
    match torch.backends.cpu.get_cpu_capability():
        case "AVX512":
            return (0, 0, 0, 0) if _is_amd() else (_NEVER, _NEVER, 2**20, 0)
        case "AVX2" if _is_amd():
            return 2**19, 2**20, _NEVER, 32 if torch.backends.mkl.is_available() else 0
    return _NEVER, _NEVER, _NEVER, 0


LINEAR_FROM, LINEAR_FROM_OF_MANY_ROWS, GELU_FROM, PARTS_TO = _limits()
_MANY_ROWS = 512
_PARTS, _MOST_THREADS = 8, 8


class _Thread(threading.local):
    laid_out = None  # in a thread for many batches: Linear → its weight as oneDNN has it, else made for each product


thread = _Thread()


def runs_at_once():
    """Whether calls are run, and not recorded by torch.compile or torch.jit.trace, for other processors too."""
    return not torch.compiler.is_compiling() and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]


def takes_gelu(dense, x):
    """Whether `linear_gelu` is for such a layer and input."""
    return _takes(dense, x, GELU_FROM)


def linear(dense, x):
    """x Wᵀ + b, x [..., in] → [..., out]: in parts, by oneDNN, or as the layer itself does."""
    if _takes(dense, x, 0 if PARTS_TO else LINEAR_FROM):
        rows, size = x.shape[:-1].numel(), dense.weight.numel()
        if rows <= PARTS_TO and _divides(dense):
            return _in_parts(dense, x, rows)
        if size >= LINEAR_FROM and (size >= LINEAR_FROM_OF_MANY_ROWS or rows < _MANY_ROWS):
            return torch.ops.mkldnn._linear_pointwise(x, _weight(dense), dense.bias, "none", [], "")
    return dense(x)


def linear_gelu(dense, x, approximate):
    """The gelu of x Wᵀ + b; `approximate` as in torch.nn.functional.gelu."""
    return torch.ops.mkldnn._linear_pointwise(x, _weight(dense), dense.bias, "gelu", [], approximate)


def _takes(dense, x, least):
    return (
        runs_at_once()  # first: what follows would break a graph
        and type(dense) is torch.nn.Linear  # a quantized one has a method for its weight
        and type(weight := dense.weight) is torch.nn.Parameter
        and weight.numel() >= least
        and not (dense._forward_hooks or dense._forward_pre_hooks)
        and torch.is_inference_mode_enabled()
        and not torch.is_autocast_enabled("cpu")
        and x.is_cpu
        and x.dtype == weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
    )


def _divides(dense):
    return (
        thread.laid_out is None
        and 1 < torch.get_num_threads() <= _MOST_THREADS
        and dense.bias is not None
        and len(dense.bias) % _PARTS == 0
        and dense.weight.is_contiguous()
    )


def _in_parts(dense, x, rows):
    """The columns in equal parts, as a batch: its products MKL gives to the threads, where it divides one badly."""
    out, into = dense.weight.shape
    weights = dense.weight.view(_PARTS, out // _PARTS, into).transpose(1, 2)
    biases = dense.bias.view(_PARTS, 1, out // _PARTS)
    found = torch.baddbmm(biases, x.reshape(1, rows, into).expand(_PARTS, rows, into), weights)
    return found.transpose(0, 1).reshape(*x.shape[:-1], out)


def _weight(dense):
    if thread.laid_out is None:
        return dense.weight
    if dense not in thread.laid_out:
        thread.laid_out[dense] = torch.ops.mkldnn._reorder_linear_weight(dense.weight, 1024)  # for about so many rows
    return thread.laid_out[dense]
