"""The building blocks of `bertx.models.nn`, with models that are read from and written as checkpoints."""

from __future__ import annotations

from bertx.models import nn
from bertx.models.nn import *  # noqa: F403  # pyright: ignore[reportAssignmentType]
from bertx.models.nn import parameters
from bertx.pretrained import PreTrainedModel, base_of


class Model(PreTrainedModel, nn.Model):
    """A whole model, as a user holds it."""

    backend_name = "numpy"

    def fill_parameters(self, value_of):
        """Gives each parameter without a value `value_of(schema name, shape)`."""
        for name, parameter in parameters(self):
            if parameter.value is None:
                parameter.value = value_of(name, parameter.shape)

    def replace_parameter(self, name, value):
        """Gives a parameter a value of another length."""
        parameter = dict(parameters(self))[name]
        parameter.value, parameter.shape = value, value.shape

    @property
    def dtype(self):
        """That of the first parameter."""
        return next(parameters(self))[1].value.dtype

    @property
    def base_model(self):
        """The model without a head inside, or the model itself."""
        return base_of(self)

    def parameter_sizes(self):
        """Yields (schema name, number of values, False), a shared one once."""
        seen = set()
        for name, parameter in parameters(self):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter.value.size, False

    def table_shape(self, embedding):
        """That of the weight."""
        return embedding.weight.shape

    def tie_decoder(self, decoder, embedding):
        """Gives a decoder the weight of an embedding."""
        decoder.weight = embedding.weight
