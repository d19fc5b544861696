"""Training in PyTorch: torch.optim.AdamW, eager; with torchrun by DistributedDataParallel or fully_shard (FSDP2)."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import warnings
from typing import Any

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from bertx.pretrained import bases_in
from bertx.training.trainer import MOMENTS, Trainer, draw_of
from bertx.training.world import World

from .int8 import is_int8
from .tensors import from_numpy, input_tensor, to_numpy


class TorchWorld(World):
    """The processes of a process group."""

    def total(self, number):
        """By an all-reduce."""
        on = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        total = torch.tensor(number, dtype=torch.float64, device=on)
        distributed.all_reduce(total)
        return total.item()


class _Loss(torch.nn.Module):
    """The loss alone: DistributedDataParallel would wait for the gradients of all else that a model gives."""

    def __init__(self, module, loss_of):
        super().__init__()
        self.module, self._loss_of = module, loss_of

    def forward(self, batch):
        """Tensors by the names of inputs → []."""
        return self._loss_of(self.module, self.module, batch)


class TorchTrainer(Trainer):
    """See `bertx.training.trainer.Trainer`; parameters that do not require gradients stay as they are."""

    dtypes = {"float32": "float32", "mixed_bfloat16": "float32", "float64": "float64"}

    @classmethod
    def rank(cls):
        """That of torchrun."""
        return distributed.get_rank() if distributed.is_initialized() else int(os.environ.get("RANK", 0))

    @classmethod
    @contextlib.contextmanager
    def join(cls, device=None, is_sharded=False):
        """Those of torchrun, or of a process group that is there; with NCCL on CUDA, else with gloo."""
        ours = not distributed.is_initialized()
        if ours and int(os.environ.get("WORLD_SIZE", 1)) == 1 and not (is_sharded and "WORLD_SIZE" in os.environ):
            with super().join(device, is_sharded) as world:
                yield world
            return
        if device not in (None, "cpu", "cuda"):
            raise ValueError(
                f"device is {device!r}, and torchrun gives each process a device of its own: leave it out, or give "
                "'cpu' or 'cuda'"
            )
        on_cuda = torch.cuda.is_available() and device != "cpu"
        if on_cuda:
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
        if ours:
            # Until the process ends: a second group would find the addresses of the first in torchrun's store.
            distributed.init_process_group("nccl" if on_cuda else "gloo")
            atexit.register(_leave)
        size = distributed.get_world_size()
        yield TorchWorld(device if on_cuda else "cpu", distributed.get_rank(), size, size, is_sharded)

    def __init__(self, module, recipe, updates, world=None):
        super().__init__(module, recipe, updates, world)
        if is_int8(module):
            raise ValueError("an int8 model is not trained: load its checkpoint as float32")
        if self.world.is_sharded:
            mesh = init_device_mesh(module.device.type, (self.world.processes,))
            for base in bases_in(module):
                for layer in base.encoder.layer:
                    fully_shard(layer, mesh=mesh)
            fully_shard(module, mesh=mesh)
        self._loss = _Loss(module, self._loss_of)
        self._parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        alike = {}
        for name, parameter in self._parameters.items():
            alike.setdefault(self.groups[name], []).append(parameter)
        groups = [
            {"params": parameters, "weight_decay": group.weight_decay, "scale": group.scale}
            for group, parameters in alike.items()
        ]
        options = {"betas": recipe.betas, "eps": recipe.epsilon, "weight_decay": 0.0, "fused": True}
        self._optimizer = torch.optim.AdamW(groups, lr=0.0, **options)

    def trained(self):
        """Those that require gradients."""
        return list(self._parameters)

    def close(self):
        """As Trainer: DistributedDataParallel must not outlive its process group."""
        super().close()
        self._loss: Any = None

    @contextlib.contextmanager
    def gathered(self):
        """As Trainer. Not by `unshard`, which takes the memory back while arrays of NumPy may be views of it."""
        whole, held = {}, []
        for block in self.module.modules() if self.world.is_sharded else ():
            if isinstance(block, FSDPModule):
                block.reshard()  # after a forward without a backward pass that of the model is not
            for name, parameter in block._parameters.items():  # pyright: ignore[reportAttributeAccessIssue]
                if parameter is not None:
                    if id(parameter) not in whole:
                        whole[id(parameter)] = torch.nn.Parameter(_whole(parameter), requires_grad=False)
                    held.append((block, name, parameter))
        for block, name, parameter in held:
            block._parameters[name] = whole[id(parameter)]
        try:
            yield
        finally:
            for block, name, parameter in held:
                block._parameters[name] = parameter

    def _evaluate(self, batch):
        if not self.world.is_sharded:
            return super()._evaluate(batch)
        with torch.no_grad():  # in inference mode FSDP2 gathers no parameters
            return tree_map(to_numpy, dict(self.module(**self._tensors(batch), return_dict=True)))

    def _step(self, batches, update):
        world, module, parameters = self.world, self.module, list(self._parameters.values())
        device, dtype = module.device, module.dtype
        module.train()
        if world.processes > 1:
            batches = [self.part_of(batch, share, world.rank, world.processes) for batch, share in batches]
        self._optimizer.zero_grad()
        loss = torch.zeros((), dtype=dtype, device=device)
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=_generators(device)):
            for i, (batch, share) in enumerate(batches):
                tensors = self._tensors(batch)
                with self._reducing(i == len(batches) - 1, tensors):
                    torch.manual_seed(draw_of(self.recipe.seed, update.number, i, world.rank))
                    with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.dtype == "mixed_bfloat16"):
                        part = self._loss(tensors) * share
                    (part * world.processes).backward()  # of the gradients DDP and FSDP2 take the mean
                loss += part.detach()
        for parameter in parameters:
            if parameter.grad is None:  # the other frameworks cannot tell this from 0
                parameter.grad = torch.zeros_like(parameter)
        largest = math.inf if self.recipe.max_grad_norm is None else self.recipe.max_grad_norm
        norm = _whole(torch.nn.utils.clip_grad_norm_(parameters, largest))
        for group in self._optimizer.param_groups:
            group["lr"] = update.learning_rate * group["scale"]
        self._optimizer.step()
        module.eval()  # whoever has the model next gets it without dropout
        return world.total(loss.item()), norm.item()

    def _tensors(self, batch):
        return {name: input_tensor(value, self.module.device, self.module.dtype) for name, value in batch.items()}

    @contextlib.contextmanager
    def _reducing(self, is_last, tensors):
        """Gradients are reduced over the processes after the last batch of an update."""
        if self.world.is_sharded:
            self.module.set_requires_gradient_sync(is_last)
            with warnings.catch_warnings():  # of operations in place on a view of the logits: there are none
                warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
                yield
            return
        if self.world.processes == 1:
            yield
            return
        if not isinstance(self._loss, DistributedDataParallel):
            found = torch.autograd.grad(self._loss(tensors), list(self._parameters.values()), allow_unused=True)
            unused = any(gradient is None for gradient in found)
            self._loss = DistributedDataParallel(self._loss, find_unused_parameters=unused)
        with contextlib.nullcontext() if is_last else self._loss.no_sync():
            yield

    def _dump(self):
        states = {name: self._optimizer.state.get(p) for name, p in self._parameters.items()}
        return {
            f"{moment}.{name}": _whole(state[moment] if state else torch.zeros_like(self._parameters[name])).numpy()
            for moment in MOMENTS
            for name, state in states.items()
        }

    def _restore(self, step, moments):
        for name, p in self._parameters.items():
            state = {moment: _like(p, from_numpy(moments[f"{moment}.{name}"])) for moment in MOMENTS}
            self._optimizer.state[p] = {"step": torch.tensor(float(step), device=p.device), **state}


def _leave():
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _whole(tensor):
    """A tensor on the CPU; of one that is spread over processes all of it, for which each has to call this."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


def _like(parameter, tensor):
    """A copy of a tensor on the device of a parameter, and spread as that is."""
    if isinstance(parameter, DTensor):
        return distribute_tensor(
            tensor.to(parameter.device, parameter.dtype), parameter.device_mesh, parameter.placements
        )
    return tensor.to(parameter, copy=True)


def _generators(device):
    return "cuda" if device.type == "cpu" else device.type  # with no devices, the CPU's generator alone
