"""Training in PyTorch: torch.optim.AdamW, eager."""

from __future__ import annotations

import math

import torch

from bertx.training.trainer import MOMENTS, Trainer, draw_of

from .int8 import is_int8
from .tensors import from_numpy, input_tensor


class TorchTrainer(Trainer):
    """See `bertx.training.trainer.Trainer`; parameters that do not require gradients stay as they are."""

    dtypes = {"float32": "float32", "mixed_bfloat16": "float32", "float64": "float64"}

    def __init__(self, module, recipe, updates):
        super().__init__(module, recipe, updates)
        if is_int8(module):
            raise ValueError("an int8 model is not trained: load its checkpoint as float32")
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

    def _step(self, batches, update):
        module, parameters = self.module, list(self._parameters.values())
        device, dtype = module.device, module.dtype
        module.train()
        self._optimizer.zero_grad()
        loss = torch.zeros((), dtype=dtype, device=device)
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=_generators(device)):
            for i, (batch, share) in enumerate(batches):
                torch.manual_seed(draw_of(self.recipe.seed, update.number, i))
                tensors = {name: input_tensor(value, device, dtype) for name, value in batch.items()}
                with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.dtype == "mixed_bfloat16"):
                    part = module(**tensors, return_dict=True).loss * share
                part.backward()
                loss += part.detach()
        for parameter in parameters:
            if parameter.grad is None:  # the other frameworks cannot tell this from 0
                parameter.grad = torch.zeros_like(parameter)
        largest = math.inf if self.recipe.max_grad_norm is None else self.recipe.max_grad_norm
        norm = torch.nn.utils.clip_grad_norm_(parameters, largest)
        for group in self._optimizer.param_groups:
            group["lr"] = update.learning_rate * group["scale"]
        self._optimizer.step()
        module.eval()  # whoever has the model next gets it without dropout
        return loss.item(), norm.item()

    def _dump(self):
        states = {name: self._optimizer.state.get(p) for name, p in self._parameters.items()}
        return {
            f"{moment}.{name}": (state[moment].cpu() if state else torch.zeros(self._parameters[name].shape)).numpy()
            for moment in MOMENTS
            for name, state in states.items()
        }

    def _restore(self, step, moments):
        for name, p in self._parameters.items():
            state = {moment: from_numpy(moments[f"{moment}.{name}"]).to(p, copy=True) for moment in MOMENTS}
            self._optimizer.state[p] = {"step": torch.tensor(float(step), device=p.device), **state}


def _generators(device):
    return "cuda" if device.type == "cpu" else device.type  # with no devices, the CPU's generator alone
