"""A backend of a third party: NumPy in float32, its calls counted."""

from __future__ import annotations

import numpy as np

from bertx.backend import Backend
from bertx.parameters import named_parameters, skip_init
from bertx_weights import as_float

from . import nn


class ToyBackend(Backend):
    """See `bertx.backend.Backend`."""

    name = "toy"
    package = __package__
    dtypes = ("float32",)

    def build(self, model_class, config, value_of, dtype, device, options):
        """Its parameters are the arrays that are given."""
        with skip_init():
            module = model_class(config, **options)
        module.fill_parameters(lambda name, shape: as_float(value_of(name, shape), dtype))
        return module

    def forward(self, module, inputs, flags):
        """The outputs of the model."""
        return dict(module(**inputs, **flags, return_dict=True))

    def tensors(self, module):
        """The parameters themselves."""
        for name, block, attribute, _ in named_parameters(module, nn.Module, nn.Parameter):
            yield name, getattr(block, attribute).value

    def tensor(self, array):
        """The array itself."""
        return np.asarray(array)

    def devices(self):
        """The processor."""
        return ["cpu"]

    def device(self, module):
        """The processor."""
        return "cpu"

    def calls(self):
        """Function → how often it was called."""
        return dict(nn._calls)
