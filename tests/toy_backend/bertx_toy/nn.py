"""The blocks of the contract in NumPy, which count how often they are called."""

from __future__ import annotations

import collections
import functools

import bertx.models.nn as contract
from bertx.models.nn import *  # noqa: F403
from bertx.parameters import named_parameters
from bertx.pretrained import PreTrainedModel, base_of

_calls = collections.Counter()


def _counted(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        _calls[function.__name__] += 1
        return function(*args, **kwargs)

    return call


linear, activated, attention, einsum = map(
    _counted, (contract.linear, contract.activated, contract.attention, contract.einsum)
)


class LayerNorm(contract.LayerNorm):
    """Counted."""

    forward = _counted(contract.LayerNorm.forward)


class Model(PreTrainedModel, contract.Model):
    """A whole model, as a user holds it."""

    backend_name = "toy"

    def fill_parameters(self, value_of):
        """Gives each parameter without a value `value_of(schema name, shape)`."""
        for name, block, attribute, _ in named_parameters(self, contract.Module, contract.Parameter):
            parameter = getattr(block, attribute)
            if parameter.value is None:
                parameter.value = value_of(name, parameter.shape)

    @property
    def base_model(self):
        """The model without a head inside, or the model itself."""
        return base_of(self)
