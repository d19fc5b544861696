"""The building blocks of the spec on Keras 3 over TensorFlow; `bertx.spec.nn` says what each does."""

from __future__ import annotations

import keras
import optree
import tensorflow as tf
from bertx.backend import named_parameters
from bertx.pretrained import PreTrainedModel
from tensorflow import einsum, reshape, tanh, transpose, where, zeros_like  # noqa: F401
from tensorflow.nn import log_softmax, relu, sigmoid, silu, softplus  # noqa: F401

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"Keras runs on {keras.backend.backend()} here, and bertx_tensorflow needs it on TensorFlow: set the "
        'environment variable KERAS_BACKEND=tensorflow, or "backend" in ~/.keras/keras.json, before Keras is imported'
    )

# --- blocks ---------------------------------------------------------------------------------------


class Block:
    """A Keras layer of one kind, unbuilt until `create` gives its variables their values: nothing is drawn."""

    def create(self, values):
        """values: attribute → NumPy array, in the layout of this block."""
        drawn = {attribute: getattr(self, f"{attribute}_initializer") for attribute in values}
        for attribute, value in values.items():
            setattr(self, f"{attribute}_initializer", _constant(value))
        self.build(self.input_size)
        for attribute, initializer in drawn.items():
            setattr(self, f"{attribute}_initializer", initializer)


def _constant(value):
    return lambda shape, dtype=None, **_: tf.cast(tf.convert_to_tensor(value), dtype)


class Linear(Block, keras.layers.Dense):
    """keras.layers.Dense; its kernel is the schema's weight transposed."""

    layout = {"weight": ("kernel", "kernel"), "bias": ("bias", "")}

    def __init__(self, in_features, out_features):
        super().__init__(out_features)
        self.input_size = (None, in_features)
        self.shapes = {"weight": (out_features, in_features), "bias": (out_features,)}


class Embedding(Block, keras.layers.Embedding):
    """keras.layers.Embedding."""

    layout = {"weight": ("embeddings", "")}

    def __init__(self, num_embeddings, embedding_dim):
        super().__init__(num_embeddings, embedding_dim)
        self.input_size = None
        self.shapes = {"weight": (num_embeddings, embedding_dim)}


class LayerNorm(Block, keras.layers.LayerNormalization):
    """keras.layers.LayerNormalization."""

    layout = {"weight": ("gamma", ""), "bias": ("beta", "")}

    def __init__(self, features, eps):
        super().__init__(epsilon=eps)
        self.input_size = (None, features)
        self.shapes = {"weight": (features,), "bias": (features,)}


class Parameter(Block, keras.layers.Layer):
    """A layer that holds one variable, `value`."""

    layout = {"": ("value", "")}
    value_initializer = "zeros"

    def __init__(self, *shape):
        super().__init__()
        self.input_size = None
        self.shapes = {"": shape}

    def build(self, input_shape):
        """Makes the variable."""
        self.value = self.add_weight(name="value", shape=self.shapes[""], initializer=self.value_initializer)
        self.built = True


Dropout = keras.layers.Dropout


class Module(keras.layers.Layer):
    """A block made of blocks; `call` is its `forward`."""

    # Keras has properties of these names, which the schema needs for blocks.
    input = None
    output = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls):
            cls.call = cls.forward


ModuleList = list


class Decoder(Module):
    """A product with the transposed table of an embedding, or with a table of its own, and a shared bias."""

    def __init__(self, in_features, out_features, bias, embedding):
        super().__init__()
        self.weight = Parameter(out_features, in_features) if embedding is None else embedding
        self.bias = bias

    def forward(self, x):
        """[..., in] → [..., out]."""
        table = self.weight.value if isinstance(self.weight, Parameter) else self.weight.embeddings
        product = tf.matmul(reshape(x, (-1, table.shape[1])), table, transpose_b=True) + self.bias.value
        return reshape(product, (*shape(x)[:-1], table.shape[0]))


class Model(PreTrainedModel, Module, keras.Model):
    """A whole model: a keras.Model."""

    backend_name = "tensorflow"

    def __init__(self, config):
        super().__init__()
        self.config = config

    def fill_parameters(self, value_of):
        """Builds each layer that is not built with `value_of(schema name, shape)`."""
        fills = {}
        for name, block, attribute, kind in named_parameters(self, keras.layers.Layer, Parameter):
            if not block.built:
                shape = block.shapes[next(key for key, (at, _) in block.layout.items() if at == attribute)]
                value = value_of(name, shape)
                fills.setdefault(id(block), (block, {}))[1][attribute] = value.T if kind == "kernel" else value
        for block, values in fills.values():
            block.create(values)
