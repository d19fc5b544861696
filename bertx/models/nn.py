"""The building blocks of the models, in NumPy: the contract that each backend's `nn` fulfils, and the oracle.

A backend offers these names over its own framework. Blocks hold parameters under the schema's names
and in the schema's layout (a Linear's `weight` is [out, in]) or declare how theirs differ. Run on
float64 parameters, this module is what every backend is measured against.

A block also says what its parameters are: `kind` is "linear", "embedding", "norm" or "bias", and `axes` names each
axis, so that a model can be spread over devices: "vocab", "embed", "heads", "mlp", "pooled", "label", …
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..parameters import named_parameters

# --- blocks ---------------------------------------------------------------------------------------


class Parameter:
    """One tensor of the schema; `value` is None until the model is filled."""

    def __init__(self, *shape: int, axes: tuple[str, ...], kind: str = "bias"):
        self.shape = shape
        self.axes = axes
        self.kind = kind
        self.value: Any = None  # an array


class Module:
    """A block made of blocks; calling it calls `forward`."""

    forward: Callable[..., Any]

    def __call__(self, *args, **kwargs):
        """See `forward`."""
        return self.forward(*args, **kwargs)


ModuleList = list


class Linear(Module):
    """x Wᵀ + b; weight [out, in], bias [out]."""

    def __init__(self, in_features: int, out_features: int, axes: tuple[str, str]):
        self.weight = Parameter(out_features, in_features, axes=axes, kind="linear")
        self.bias = Parameter(out_features, axes=axes[:1])

    def forward(self, x):
        """[..., in] → [..., out]."""
        # One large product: NumPy multiplies a stack of matrices one by one.
        flat = x.reshape(-1, x.shape[-1]) @ self.weight.value.T
        flat += self.bias.value
        return flat.reshape(*x.shape[:-1], len(self.bias.value))


def linear(dense, x):
    """dense(x), by what is fastest on a backend."""
    return dense(x)


def activated(dense, activation, x):
    """activation(dense(x)), which a backend may compute at once."""
    return activation(dense(x))


def rowwise(block, *states):
    """block(*states) [..., H], of a block that treats each position alone: a backend may merge the leading axes."""
    return block(*states)


class Decoder(Linear):
    """The Linear to the vocabulary, with the bias it is given and, where tied, the embedding's table as weight."""

    def __init__(self, in_features: int, out_features: int, bias: Parameter, embedding: Embedding | None):
        if embedding is None:
            self.weight = Parameter(out_features, in_features, axes=("vocab", "embed"), kind="linear")
        else:
            self.weight = embedding.weight
        self.bias = bias


class Embedding(Module):
    """Rows of a table; weight [num, dim]."""

    def __init__(self, num_embeddings: int, embedding_dim: int, axes: tuple[str, str]):
        self.weight = Parameter(num_embeddings, embedding_dim, axes=axes, kind="embedding")

    def forward(self, ids):
        """[...] integers → [..., dim]."""
        return self.weight.value[ids]


class LayerNorm(Module):
    """(x − mean) / √(variance + eps) · weight + bias over the last axis, variance biased (Ba et al. 2016)."""

    def __init__(self, features: int, eps: float):
        self.weight = Parameter(features, axes=("embed",), kind="norm")
        self.bias = Parameter(features, axes=("embed",))
        self.eps = eps

    def forward(self, x):
        """[..., features] → [..., features]."""
        centred = x - x.mean(-1, keepdims=True)
        variance = np.mean(centred * centred, -1, keepdims=True)
        return centred / np.sqrt(variance + self.eps) * self.weight.value + self.bias.value


class Dropout(Module):
    """Nothing: NumPy only runs models, it does not train them."""

    def __init__(self, rate: float):
        self.rate = rate

    def forward(self, x):
        """[...] → [...]."""
        return x


class Model(Module):
    """A whole model. What a user's model can do beside its forward pass, bertx.pretrained adds in a backend's own."""

    # What a class says of its head, for other parts of bertx: see bertx.models.heads.
    task: str
    labels: Mapping[str, tuple[str, str | int]]
    label_aliases: Mapping[str, str]
    logit_names: tuple[str, ...]
    scores: str
    causal: bool
    needs_labels: bool = True
    reads_pooler: bool = False
    base_model_prefix: str
    output_class: type[dict[str, Any]]

    def __init__(self, config):
        self.config = config

    def post_init(self):
        """What the constructor of each model calls at its end."""

    def keep_problem_type(self, problem):
        """Called with what the labels of the first loss mean, where the config's `problem_type` does not say it."""

    def returned(self, output, return_dict):
        """What a call gives of its ModelOutput: that, or where `return_dict` is False the tuple of its fields."""
        return output.to_tuple() if return_dict is False else output


def mean_loss(losses, counted=None, name="labels"):
    """The mean of `losses`, 0 where `counted` is 0, over what is counted, of one shape: → []; `name`: of the labels.

    A backend may give the loss in the shape that its users expect, as long as the mean of it is this.
    """
    return losses.mean() if counted is None else losses.sum() / counted.sum()


def attention(query, key, value, bias, scale, dropout, output_attentions):
    """softmax(Q Kᵀ · scale + bias) V (Vaswani et al. 2017, equation 1).

    query, key, value [B, N, T, D], bias broadcast to [B, N, T, T] or None → context [B, N, T, D] and
    the probabilities [B, N, T, T], which a backend may leave None unless `output_attentions`.
    """
    scores = query @ np.swapaxes(key, -1, -2) * scale
    if bias is not None:
        scores = scores + bias
    probabilities = np.exp(scores - scores.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    probabilities = dropout(probabilities)
    return probabilities @ value, probabilities


def packed_attention(query, key, value, segments, scale, dropout, output_attentions):
    """`attention` of the rows of a packed batch, each by itself: query, key, value [1, N, S, D] → [1, N, S, D], None.

    segments: a `layers.segments.Segments`. What a backend has no kernel for its `in_padded_rows` computes.
    """
    context = np.empty_like(query)
    for row in segments.index:
        own = row[row >= 0]
        of_row, keys, values = (states[:, :, own] for states in (query, key, value))
        context[:, :, own], _ = attention(of_row, keys, values, None, scale, dropout, False)
    return context, None


# --- parameters -----------------------------------------------------------------------------------


def checkpointed(layer):
    """The layer, its activations computed again in the backward pass rather than kept; NumPy has none."""
    return layer


def parameters(module):
    """Yields (schema name, Parameter), a tied one once under each of its names."""
    for name, block, attribute, _ in named_parameters(module, Module, Parameter):
        yield name, getattr(block, attribute)


OutputBase = dict
"""What outputs are made of: a dict, or a backend's subclass of it."""


def register_output(cls):
    """Tells the framework that a ModelOutput is a container of tensors; NumPy need not know."""


# --- functions ------------------------------------------------------------------------------------

reshape, transpose, einsum, where, concat = np.reshape, np.transpose, np.einsum, np.where, np.concatenate
zeros_like, tanh, exp, clip, cumsum = np.zeros_like, np.tanh, np.exp, np.clip, np.cumsum
mean, amax, searchsorted = np.mean, np.max, np.searchsorted
softplus = functools.partial(np.logaddexp, 0)


def shape(x) -> tuple[Any, ...]:
    """The shape as a tuple; a dimension unknown while a graph is traced is a scalar tensor."""
    return x.shape


def rank(x):
    """The number of dimensions; None where a traced graph does not know it."""
    return len(x.shape)


def arange(length, like):
    """0 … length − 1, on the device of `like`."""
    return np.arange(length)


def cast_like(x, like):
    """`x` in the dtype of `like`."""
    return x.astype(like.dtype)


def is_floating(x):
    """Whether the dtype is a floating one."""
    return np.issubdtype(x.dtype, np.floating)


def as_bool(x):
    """Whether each element is not 0; `x` may be of booleans."""
    return x.astype(bool)


def at_least_float32(x):
    """`x` in float32, or in its own dtype where that is wider."""
    return x.astype(np.promote_types(x.dtype, np.float32))


def check_shape(x, expected, name, given=None):
    """`x`, whose shape has to be `expected`; in a traced graph a dimension that is not known is checked when it runs.

    given: the shape that the user gave, for the error, where `x` is reshaped.

    Raises:
        ValueError: it is another.
    """
    if tuple(x.shape) != tuple(expected):
        raise ValueError(f"{name} has the shape {list(x.shape if given is None else given)}, expected {list(expected)}")
    return x


def class_numbers(labels, name):
    """The integers that say a class each, booleans as 0 and 1; TensorFlow takes floats too, as Keras gives them.

    Raises:
        ValueError: they are floats.
    """
    if "float" in str(labels.dtype):
        raise ValueError(f"{name} are {labels.dtype} {list(labels.shape)}, expected class numbers: integers")
    return labels + 0 if "bool" in str(labels.dtype) else labels


def lowest(x):
    """The lowest finite number of the dtype of `x`."""
    return float(np.finfo(x.dtype).min)


def take_last(x, index):
    """x [..., L], index [...] → x[..., index] [...]."""
    return np.take_along_axis(x, index[..., None], axis=-1)[..., 0]


def take_positions(x, positions):
    """x [B, T, H], positions [B, K] → x at these positions [B, K, H]."""
    return np.take_along_axis(x, positions[..., None], axis=1)


def write_positions(buffer, new, index):
    """buffer [B, N, S, D] with new [B, N, T, D] at positions `index` and on; where a framework can, the same memory."""
    buffer[:, :, index : index + new.shape[2]] = new
    return buffer


def log_softmax(x):
    """Over the last axis."""
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def softmax(x):
    """Over the last axis."""
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def top_k(x, count):
    """The `count` largest along the last axis in falling order, all where there are fewer, and their indices.

    Of equal ones the first come first. Shapes: x [..., L] → [..., count], [..., count].
    """
    rows = x.reshape(-1, x.shape[-1])
    indices = np.stack([_largest(row, count) for row in rows]).reshape(*x.shape[:-1], -1)
    return np.take_along_axis(x, indices, -1), indices


def _largest(row, count):
    """The indices of the largest of [L], without sorting the others."""
    indices = np.arange(len(row))
    if count < len(row):
        least = -np.partition(-row, count - 1)[count - 1]
        indices = np.flatnonzero(~(row < least))  # those that are equal to the last, too
    return indices[np.argsort(-row[indices], kind="stable")[:count]]


def sigmoid(x):
    """1 / (1 + e⁻ˣ), by way of tanh, which does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


# log 2Φ(-a) ≈ a P(a) / Q(a): the coefficients of P and of Q, from that of 1 upwards, by `tools/fit_gelu.py`.
_GELU_FLOAT32 = (
    (-0.7978841270287648, -0.6120177256949272, -0.19554553745203845, -0.025437732002243495, -4.3841150797136404e-05),
    (1.0, 0.368100552376754, 0.052724612081263625),
)
_GELU_FLOAT64 = (
    (
        *(-0.7978845608028818, -1.0341844024395666, -0.6367248397793907, -0.2320881305451815),
        *(-0.05270846066742859, -0.007184486983977855, -0.0004995854938457877, -9.17447645188541e-06),
    ),
    (
        *(1.0, 0.8972156517681711, 0.39453906101095204, 0.09861537807328645),
        *(0.014174935705326451, 0.0009990173508984785, 1.834702182608918e-05),
    ),
)


def gelu(x):
    """x Φ(x), exact (Hendrycks and Gimpel 2016).

    Within 1e-15 in float64, and as close as float32 can be: max(x, 0) - |x| Φ(-|x|), with log 2Φ(-a) as a P(a) / Q(a),
    fitted by `tools/fit_gelu.py`. NumPy has no erf, and SciPy's takes 0.2 s to import and three times as long to run.
    """
    p, q = _GELU_FLOAT64 if x.dtype == np.float64 else _GELU_FLOAT32
    a = np.minimum(np.abs(x), x.dtype.type(40), dtype=np.result_type(x.dtype, np.float32))  # Φ(-40) is 0
    lower = _polynomial(p, a)
    lower *= a
    lower /= _polynomial(q, a)
    np.exp(lower, out=lower)
    lower *= a
    lower *= a.dtype.type(0.5)
    return np.subtract(np.maximum(x, 0), lower, out=lower)


def _polynomial(coefficients, x):
    """Σ coefficients[i] xⁱ."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += x.dtype.type(coefficient)
    return total


def gelu_tanh(x):
    """x Φ(x), by the tanh approximation of the same paper."""
    return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * (x * x * x))))


def relu(x):
    """max(x, 0)."""
    return np.maximum(x, 0)


def silu(x):
    """x σ(x)."""
    return x * sigmoid(x)
