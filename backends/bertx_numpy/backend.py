"""The NumPy backend: the spec as it stands, in float32 for use and in float64 as the oracle."""

from __future__ import annotations

import numpy as np

from bertx.backend import Backend
from bertx.parameters import skip_init
from bertx_weights import as_float

from . import nn
from .decode import NumpyDecoder


class NumpyBackend(Backend):
    """See `bertx.backend.Backend`."""

    name = "numpy"
    package = __package__
    dtypes = ("float32", "float64", "float16")

    def build(self, model_class, config, value_of, dtype, device, options):
        """Parameters of that dtype in the checkpoint stay mapped: there is no copy."""
        with skip_init():
            module = model_class(config, **options)
        module.fill_parameters(lambda name, shape: as_float(value_of(name, shape), dtype))
        return module

    def forward(self, module, inputs, flags):
        """The spec's own outputs."""
        dtype = next(nn.parameters(module))[1].value.dtype

        def array_of(value):
            if isinstance(value, tuple):
                return tuple(map(array_of, value))
            return value.astype(dtype, copy=False) if value.dtype.kind == "f" else value

        outputs = module(**{name: array_of(value) for name, value in inputs.items()}, **flags, return_dict=True)
        return dict(outputs)

    def decoder(self, module):
        """Keys and values in buffers."""
        return NumpyDecoder(module)

    def tensors(self, module):
        """The parameters themselves, not copies."""
        for name, parameter in nn.parameters(module):
            yield name, np.asarray(parameter.value)

    def tensor(self, array):
        """The array itself."""
        return array

    def devices(self):
        """The processor."""
        return ["cpu"]

    def device(self, module):
        """The processor."""
        return "cpu"
