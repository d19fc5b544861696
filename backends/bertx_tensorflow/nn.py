"""The building blocks of the spec on Keras 3 over TensorFlow; `bertx.models.nn` says what each does."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import optree
import tensorflow as tf
from tensorflow import concat, einsum, exp, reshape, tanh, transpose, where, zeros_like
from tensorflow.nn import gelu, log_softmax, relu, sigmoid, silu, softmax, softplus

from bertx.models.nn import OutputBase, activated, linear
from bertx.parameters import named_parameters
from bertx.pretrained import PreTrainedModel, base_of
from bertx_weights import BFLOAT16, contiguous

from .checkpointing import checkpointed
from .cpu_kernels import times_table
from .keras_model import KerasModel
from .training import mean_loss
from .variables import value_of

if keras.backend.backend() != "tensorflow":
    raise ImportError(
        f"Keras runs on {keras.backend.backend()} here, and bertx_tensorflow needs it on TensorFlow: set the "
        'environment variable KERAS_BACKEND=tensorflow, or "backend" in ~/.keras/keras.json, before Keras is imported'
    )

# --- blocks ---------------------------------------------------------------------------------------


if TYPE_CHECKING:

    class _Layer(keras.layers.Layer):
        input_size: Any
        _tracker: Any
else:
    _Layer = object


class _Block(_Layer):
    """A Keras layer of one kind, unbuilt until `create` gives its variables their values: nothing is drawn.

    `layout` says which attribute a schema name is, `shapes` the schema's shape of each attribute.
    """

    def create(self, values):
        """values: attribute → NumPy array, in the layout of this block."""
        drawn = {attribute: getattr(self, f"{attribute}_initializer") for attribute in values}
        for attribute, value in values.items():
            setattr(self, f"{attribute}_initializer", _constant(value))
        self.build(self.input_size)
        for attribute, initializer in drawn.items():
            setattr(self, f"{attribute}_initializer", initializer)

    def replace(self, attribute, value):
        """Gives its only variable a value of another length."""
        self._untrack_variable(getattr(self, attribute))
        self._tracker.unlock()  # as Keras does where it adds a LoRA
        self.built, self.shapes = False, {attribute: value.shape}
        if isinstance(self, keras.layers.Embedding):
            self.input_dim = len(value)
        self.create({attribute: value})


def _constant(value):
    return lambda shape, dtype=None, **_: tf.cast(tf.convert_to_tensor(value), dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]


class Linear(_Block, keras.layers.Dense):
    """keras.layers.Dense; its kernel is the schema's weight transposed."""

    layout = {"weight": ("kernel", "kernel"), "bias": ("bias", "")}

    def __init__(self, in_features, out_features, axes):
        super().__init__(out_features)
        self.input_size = (None, in_features)
        self.shapes = {"kernel": (out_features, in_features), "bias": (out_features,)}

    def call(self, inputs, training=None):
        """As Dense, of rows: TensorFlow fuses a product of matrices with what follows, where no reshape is between."""
        product = tf.nn.bias_add(tf.matmul(reshape(inputs, (-1, self.input_size[1])), self.kernel), self.bias)
        return product if inputs.shape.rank == 2 else reshape(product, (*shape(inputs)[:-1], self.units))

    def quantize(self, *args, type_check=True, **options):
        """As Dense, which would refuse a class made of it."""
        super().quantize(*args, type_check=False, **options)


class Embedding(_Block, keras.layers.Embedding):
    """keras.layers.Embedding."""

    layout = {"weight": ("embeddings", "")}

    def __init__(self, num_embeddings, embedding_dim, axes):
        super().__init__(num_embeddings, embedding_dim)
        self.input_size = None
        self.shapes = {"embeddings": (num_embeddings, embedding_dim)}

    def call(self, inputs):
        """As keras.layers.Embedding, which counts a negative index from the end of the table: it is refused here."""
        ids = inputs if inputs.dtype in (tf.int32, tf.int64) else tf.cast(inputs, tf.int32)
        table = self.embeddings
        if _sees_gpu():  # a CPU refuses an index outside the table by itself, a GPU reads zeros
            message = f"{self.name} has {self.input_dim} rows"
            size = tf.cast(self.input_dim, ids.dtype)
            inside = [tf.debugging.assert_non_negative(ids, message), tf.debugging.assert_less(ids, size, message)]
            with tf.control_dependencies([check for check in inside if check is not None]):
                ids = tf.identity(ids)
        return tf.cast(tf.gather(table, ids), self.compute_dtype)


@functools.cache
def _sees_gpu():
    return bool(tf.config.list_physical_devices("GPU"))


class LayerNorm(_Block, keras.layers.LayerNormalization):
    """keras.layers.LayerNormalization."""

    layout = {"weight": ("gamma", ""), "bias": ("beta", "")}

    def __init__(self, features, eps):
        super().__init__(epsilon=eps)
        self.input_size = (None, features)
        self.shapes = {"gamma": (features,), "beta": (features,)}


class Parameter(_Block, keras.layers.Layer):
    """A layer that holds one variable, `value`."""

    layout = {"": ("value", "")}
    value_initializer = "zeros"

    def __init__(self, *shape, axes=()):
        super().__init__()
        self.input_size = None
        self.shapes = {"value": shape}

    def build(self, input_shape):
        """Makes the variable."""
        self.value = self.add_weight(name=self.name, shape=self.shapes["value"], initializer=self.value_initializer)
        self.built = True


Dropout, ModuleList = keras.layers.Dropout, list


class Module(keras.layers.Layer):
    """A block made of blocks; `call` is its `forward`."""

    # Keras has properties of these names, which the schema needs for blocks; what it saves it finds under the third.
    input = None
    output = None
    saved_output = property(lambda self: self.output)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls):
            cls.call = cls.forward


class Decoder(Module):
    """A product with the transposed table of an embedding, or with a table of its own, and a shared bias."""

    def __init__(self, in_features, out_features, bias, embedding):
        super().__init__()
        self._embedding = embedding  # underscored: its table has its name elsewhere in the tree
        if embedding is None:
            self.weight = Parameter(out_features, in_features)
        self.bias = bias

    def forward(self, x):
        """[..., in] → [..., out]."""
        table = self.weight.value if self._embedding is None else value_of(self._embedding, "embeddings")
        table = tf.cast(table, x.dtype)
        product = times_table(reshape(x, (-1, table.shape[1])), table)
        product = product + tf.cast(self.bias.value, x.dtype)
        return reshape(product, (*shape(x)[:-1], table.shape[0]))


class Model(KerasModel, PreTrainedModel, Module, keras.Model):
    """A whole model: a keras.Model."""

    backend_name = "tensorflow"

    def __init__(self, config):
        super().__init__()
        self.config = config

    def fill_parameters(self, value_of):
        """Builds each layer that is not built with `value_of(schema name, shape)`."""
        paths = {}
        for layer, path in _named_layers(self, (self.name,)):
            paths.setdefault(layer, path)
        named = named_parameters(self, keras.layers.Layer, ())
        for block, of_block in itertools.groupby(named, key=lambda row: row[1]):
            if not block.built:
                values = {}
                for name, _, attribute, kind in of_block:
                    if attribute not in values:  # a shared block comes again under its other name
                        value = value_of(name, block.shapes[attribute])
                        values[attribute] = contiguous(value.T if kind == "kernel" else value)
                block.create(values)
        for layer, path in paths.items():
            layer.built = True
            for variable in layer.variables if isinstance(layer, _Block) else ():
                name = variable.name.rpartition("/")[2]
                variable._path = "/".join((*path, name))
                # Keras' optimizers look for what people exclude, "LayerNorm" and "bias", in the name, not in the path.
                variable._name = f"{layer.name}/{name}"
        self.built = True

    def replace_parameter(self, name, value):
        """Gives a parameter a value of another length."""
        block, attribute = next(row[1:3] for row in named_parameters(self, keras.layers.Layer, ()) if row[0] == name)
        block.replace(attribute, value.view(tf.bfloat16.as_numpy_dtype) if value.dtype == BFLOAT16 else value)
        # Graphs that were traced before read the variable that is no longer the model's.
        for model in (self, base_of(self)):
            model.__dict__.pop("_bertx_graphs", None)
            model.train_function = model.test_function = model.predict_function = None

    def parameter_sizes(self):
        """Yields (schema name, number of values, whether it is trained), a shared one once."""
        seen = set()
        for name, block, attribute, _ in named_parameters(self, keras.layers.Layer, ()):
            variable = getattr(block, attribute)
            if id(variable) not in seen:
                seen.add(id(variable))
                yield name, math.prod(variable.shape), variable.trainable and block.trainable

    @staticmethod
    def to_array(tensor):
        """The tensor's values, bfloat16 as its bits."""
        array = tensor.numpy() if hasattr(tensor, "numpy") else np.asarray(tensor)
        return array.view(BFLOAT16) if array.dtype == tf.bfloat16.as_numpy_dtype else array

    def set_input_embeddings(self, value):
        """Assigns the values of a tensor, or of another Embedding, to the table of the word embeddings.

        Keras keeps the layers that a built layer has. What scores words reads the same variable.
        """
        self.get_input_embeddings().embeddings.assign(getattr(value, "embeddings", value))

    def tie_weights(self, **kwargs):
        """Nothing: a tied decoder reads the table of the word embeddings at each call."""


def _named_layers(module, path):
    """Yields each layer below a module, named as its attribute, as TFBert has it, and its path of names."""
    for attribute, value in vars(module).items():
        if attribute.startswith("_"):
            continue
        is_list = isinstance(value, (list, tuple))
        for i, layer in enumerate(value if is_list else (value,)):
            if isinstance(layer, keras.layers.Layer):
                layer.name = f"{attribute}_._{i}" if is_list else attribute
                own = (*path, layer.name)
                yield layer, own
                if isinstance(layer, Module):
                    yield from _named_layers(layer, own)


def rowwise(block, *states):
    """As the spec has it, of rows: TensorFlow fuses a product of matrices with its bias, activation and residual."""
    rows = block(*(reshape(x, (-1, x.shape[-1])) for x in states))
    return reshape(rows, (*shape(states[-1])[:-1], rows.shape[-1]))


def attention(query, key, value, bias, scale, dropout, output_attentions):
    """As the spec has it."""
    scores = tf.matmul(query * scale, key, transpose_b=True)
    probabilities = dropout(tf.nn.softmax(scores if bias is None else scores + bias))
    return tf.matmul(probabilities, value), probabilities


def packed_attention(query, key, value, segments, scale, dropout, output_attentions):
    """That of padded rows."""
    return segments.in_padded_rows(attention, query, key, value, scale, dropout), None


def register_output(cls):
    """Makes an output a container of tensors for Keras; TensorFlow's own `nest` takes any dict."""
    optree.register_pytree_node(
        cls,
        lambda output: (list(output.values()), list(output), list(output)),  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        lambda keys, values: cls(zip(keys, values, strict=True)),  # pyright: ignore[reportArgumentType]
        namespace="keras",
    )


# --- functions ------------------------------------------------------------------------------------

mean, cumsum, amax, searchsorted = tf.reduce_mean, tf.cumsum, tf.reduce_max, tf.searchsorted
gelu_tanh = functools.partial(gelu, approximate=True)


def shape(x):
    """The shape as a tuple; a dimension unknown while a graph is traced is a scalar tensor."""
    known = x.shape.as_list()
    traced = tf.shape(x) if None in known else None
    return tuple(traced[i] if size is None else size for i, size in enumerate(known))  # pyright: ignore[reportOptionalSubscript]


def rank(x):
    """The number of dimensions; None where a graph does not know it."""
    return x.shape.rank


def arange(length, like):
    """0 … length − 1."""
    return tf.range(length)


def cast_like(x, like):
    """`x` in the dtype of `like`."""
    return tf.cast(x, like.dtype)


def is_floating(x):
    """Whether the dtype is a floating one."""
    return x.dtype.is_floating


def clip(x, low, high):
    """`x` from `low` to `high`, which may be a scalar tensor."""
    return tf.clip_by_value(x, low, tf.cast(high, x.dtype))


def as_bool(x):
    """Whether each element is not 0; `x` may be of booleans."""
    return tf.cast(x, tf.bool)


def at_least_float32(x):
    """`x` in float32, or in its own dtype where that is wider."""
    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


def check_shape(x, expected, name, given=None):
    """`x`, whose shape has to be `expected`; a dimension not known in a graph is checked when the graph runs."""
    known = tuple(size if isinstance(size, int) else None for size in expected)
    if _has_other_rows(given, known) or not x.shape.is_compatible_with(known):
        raise ValueError(f"{name} has the shape {list(x.shape if given is None else given)}, expected {list(known)}")
    if not x.shape.is_fully_defined() or None in known:
        message = f"{name} has another shape than the logits need"
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(x), tf.stack(expected), message)]):
            x = tf.ensure_shape(tf.identity(x), known)
    return x


def _has_other_rows(given, known):
    """Whether a row of what was reshaped has another number of elements, where a graph does not know how many rows."""
    if given is None or not given.rank or given[0] is not None:
        return False
    sizes = {given[1:].num_elements(), tf.TensorShape(known[1:]).num_elements()}
    return None not in sizes and len(sizes) > 1


def class_numbers(labels, name):
    """The integers that say a class each, as int32; floats are taken too: Keras gives class numbers as such."""
    return tf.cast(labels, tf.int32) if labels.dtype == tf.bool else tf.saturate_cast(labels, tf.int32)


def lowest(x):
    """The lowest finite number of the dtype of `x`."""
    return float(x.dtype.min)


def take_last(x, index):
    """x [..., L], index [...] → x[..., index] [...]."""
    return tf.gather(x, index, axis=-1, batch_dims=index.shape.rank)


def take_positions(x, positions):
    """x [B, T, H], positions [B, K] → x at these positions [B, K, H]."""
    return tf.gather(x, positions, axis=1, batch_dims=1)


def top_k(x, count):
    """The largest along the last axis and their indices, of equal ones the first first."""
    return tf.math.top_k(x, tf.minimum(count, shape(x)[-1]))


def write_positions(buffer, new, index):
    """The value of a tf.Variable [B, N, S, D] with new [B, N, T, D] written at positions `index` and on."""
    buffer[:, :, index : index + shape(new)[2]].assign(new)
    return tf.convert_to_tensor(buffer)
