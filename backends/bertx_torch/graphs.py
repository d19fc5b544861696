"""CUDA graphs of small batches: a recorded pass is one launch, where the launches of its kernels would take longer.

A shape is recorded when it comes a second time. Of each model the `MOST` shapes used last are kept, in one pool of
memory. The environment variable BERTX_CUDA_GRAPHS=0 turns them off.
"""

from __future__ import annotations

import collections
import itertools
import operator
import os
import threading
import weakref

import torch

from .tensors import first_parameter

DEVICES = ("cuda",)
MOST = 64
# The device computes for longer than the launches take with more.
MOST_ROWS, MOST_TOKENS = 8, 512
_MOST_SEEN = 1024  # shapes that came once
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids", "segments"}
_INPUTS |= {"mask_positions", "prompt_lengths", "targets", "context_mask", "max_lengths"}
_FLAGS = ("output_hidden_states", "output_attentions", "use_cache")


def are_for(module, rows, length):
    """Whether passes of such batches are recorded."""
    return (
        rows <= MOST_ROWS
        and rows * length <= MOST_TOKENS
        and os.environ.get("BERTX_CUDA_GRAPHS") != "0"
        and first_parameter(module).device.type in DEVICES
    )


def replayed(module, inputs, flags, compute, give):
    """What `give` makes of the outputs of a recorded pass; None where the pass is not one, and the caller computes.

    Args:
        module: the model.
        inputs: input → array, as of `Backend.forward`.
        flags: its flags.
        compute: input → tensor, on the device → outputs.
        give: outputs → what is returned, which shares no memory with them: the next pass overwrites them.
    """
    ids = inputs.get("input_ids")
    if ids is None or not inputs.keys() <= _INPUTS or any(map(flags.get, _FLAGS)):
        return None
    if not are_for(module, *ids.shape[-2:]):
        return None
    passes = _passes.setdefault(module, _Passes())
    key = tuple(flags.items()), tuple((name, value.shape, value.dtype.str) for name, value in inputs.items())
    with passes.lock:
        return passes.run(module, key, inputs, compute, give)


_passes: weakref.WeakKeyDictionary[torch.nn.Module, _Passes] = weakref.WeakKeyDictionary()


class _Passes:
    """The recorded passes of one model."""

    def __init__(self):
        self.lock = threading.Lock()
        self._clear(None)

    def _clear(self, module):
        self._state = None if module is None else _State(module)
        self._seen = collections.OrderedDict()
        self._recorded = collections.OrderedDict()
        self._pool = None

    def run(self, module, key, inputs, compute, give):
        """See `replayed`; key: of the shapes and flags."""
        if self._state is None or self._state.is_stale(module):
            self._clear(module)
        if not self._state.is_plain:  # pyright: ignore[reportOptionalMemberAccess]
            return None
        if key not in self._recorded:
            if key not in self._seen:
                _keep(self._seen, key, True, _MOST_SEEN)
                return None
            self._record(key, inputs, compute, first_parameter(module).device)
        self._recorded.move_to_end(key)
        tensors, outputs, replay = self._recorded[key]
        for name, tensor in tensors.items():
            tensor.copy_(torch.from_numpy(inputs[name]))
        replay()
        return give(outputs)

    def _record(self, key, inputs, compute, device):
        tensors = {name: torch.from_numpy(value).to(device, copy=True) for name, value in inputs.items()}
        self._pool = self._pool or new_pool()
        outputs, replay = record(lambda: compute(tensors), self._pool)
        _keep(self._recorded, key, (tensors, outputs, replay), MOST)
        del self._seen[key]


def _keep(kept, key, value, most):
    kept[key] = value
    if len(kept) > most:
        kept.popitem(last=False)


class _State:
    """What a recorded pass depends on beside its inputs: the blocks of a model and where its values are."""

    def __init__(self, module):
        blocks = list(module.modules())
        self.is_plain = not any(block.training or block._compiled_call_impl for block in blocks)
        self._inner = blocks[1:]  # not the model itself, which would then stay
        self._tensors = [*module.parameters(), *module.buffers()]
        self._before = self._now(module)

    def is_stale(self, module):
        """Whether a block, a parameter's memory, a hook, a mode or an attribute is another."""
        now = self._now(module)
        return len(now) != len(self._before) or not all(map(operator.eq, now, self._before))

    def _now(self, module):
        parts = (
            (
                *map(id, itertools.chain(block._modules.values(), block._parameters.values(), block._buffers.values())),
                len(block._forward_hooks) + len(block._forward_pre_hooks),
                block.training,
                id(block._compiled_call_impl),
                len(vars(block)),
            )
            for block in (module, *self._inner)
        )
        return [*itertools.chain.from_iterable(parts), *(tensor.data_ptr() for tensor in self._tensors)]


def new_pool():
    """A pool of device memory that graphs share."""
    return torch.cuda.graph_pool_handle()


def record(compute, pool):
    """(The outputs of a function, a function that computes them anew in the same memory)."""
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        compute()  # what is set up in a first pass is not recorded
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph, pool, capture_error_mode="thread_local"):
        outputs = compute()
    return outputs, graph.replay
