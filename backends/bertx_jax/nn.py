"""The building blocks of the spec on Flax NNX; `bertx.models.nn` says what each does."""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn import log_softmax, relu, sigmoid, silu, softmax, softplus

from bertx.compat.transformers4 import FLAX, show_arguments
from bertx.models.nn import OutputBase, activated, check_shape, class_numbers, linear, mean_loss, rank, rowwise
from bertx.parameters import named_parameters
from bertx.pretrained import PreTrainedModel, base_of
from bertx.rates import STEPS, steps_of
from bertx_weights import BFLOAT16

from . import cpu_kernels, cudnn
from .arrays import from_numpy
from .functional import Functional
from .structure import config_hash

# --- blocks ---------------------------------------------------------------------------------------


def _valueless(key, shape, dtype):
    """An initialiser that draws nothing: `fill_parameters` gives the value."""
    return jax.ShapeDtypeStruct(shape, dtype)


_NO_RNGS: Any = SimpleNamespace(params=lambda: None)  # no key is needed where nothing is drawn


class Module(nnx.Module):
    """A block made of blocks; calling it calls `forward`."""

    def __call__(self, *args, **kwargs):
        """See `forward`."""
        return self.forward(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]


ModuleList = nnx.List


def Parameter(*shape, axes=()):
    """An nnx.Param of that shape, without a value."""
    return nnx.Param(_valueless(None, shape, jnp.float32))


class Linear(nnx.Linear):
    """nnx.Linear; its kernel is the schema's weight transposed."""

    layout = {"weight": ("kernel", "kernel"), "bias": ("bias", "")}

    def __init__(self, in_features, out_features, axes):
        super().__init__(in_features, out_features, kernel_init=_valueless, bias_init=_valueless, rngs=_NO_RNGS)


class Embedding(nnx.Embed):
    """nnx.Embed."""

    layout = {"weight": ("embedding", "")}

    def __init__(self, num_embeddings, embedding_dim, axes):
        super().__init__(num_embeddings, embedding_dim, embedding_init=_valueless, rngs=_NO_RNGS)
        self.dtype = None  # that of the table, which is not there yet


class LayerNorm(nnx.LayerNorm):
    """nnx.LayerNorm, with the variance about the mean."""

    layout = {"weight": ("scale", ""), "bias": ("bias", "")}

    def __init__(self, features, eps):
        # The fast variance, E[x²] − E[x]², loses digits where the mean is large.
        super().__init__(
            features, epsilon=eps, use_fast_variance=False, scale_init=_valueless, bias_init=_valueless, rngs=_NO_RNGS
        )

    def __call__(self, x, *, mask=None):
        """x [..., H] → of the same shape."""
        scale, bias = self.scale[...], self.bias[...]  # pyright: ignore[reportOptionalSubscript]  # both are there
        if mask is None and self.dtype in (None, jnp.float32) and cpu_kernels.takes(x, scale, bias):
            return cpu_kernels.standardized(x, self.epsilon) * scale + bias
        return super().__call__(x, mask=mask)


class Dropout(nnx.Dropout):
    """nnx.Dropout, off until `train()`; all of a model draw from the model's own stream, 16 bits for an element."""

    def __init__(self, rate):
        super().__init__(rate, deterministic=True)

    def __call__(self, inputs, *, deterministic=None, rngs=None):
        """x of any shape → of the same shape."""
        dropped, off = steps_of(self.rate), self.deterministic if deterministic is None else deterministic
        if off or dropped is None or rngs is not None or self.rngs is None:
            return super().__call__(inputs, deterministic=deterministic, rngs=rngs)
        *shape, size = inputs.shape
        # Two numbers of a draw; without the barrier XLA draws anew wherever it needs one of them.
        draws = jax.lax.optimization_barrier(jax.random.bits(self.rngs(), (*shape, -(-size // 2)), jnp.uint32))
        numbers = jax.lax.bitcast_convert_type(draws, jnp.uint16).reshape(*shape, -1)[..., :size]
        return jnp.where(numbers >= dropped, inputs * (STEPS / (STEPS - dropped)), 0)


class Decoder(Module):
    """A product with the transposed table of an embedding, or with a table of its own, and a shared bias."""

    layout = {"weight": ("weight", ""), "bias": ("bias", "")}
    dtype = None

    def __init__(self, in_features, out_features, bias, embedding):
        self.weight = Parameter(out_features, in_features) if embedding is None else embedding.embedding
        self.bias = bias

    def forward(self, x):
        """[..., in] → [..., out]."""
        weight, bias = self.weight[...], self.bias[...]
        if self.dtype is not None:
            x, weight, bias = (value.astype(self.dtype) for value in (x, weight, bias))
        # Not x @ weight.T: of one position XLA would write out the transposed table first.
        return jax.lax.dot_general(x, weight, (((x.ndim - 1,), (1,)), ((), ()))) + bias


class Model(PreTrainedModel, Functional, Module):
    """A whole model: an nnx.Module in inference mode."""

    backend_name = "jax"
    conventions = FLAX

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls):
            show_arguments(cls, "params", "dropout_rng", "train")
        if "__init__" in vars(cls):
            cls.__init__ = _with_arguments(cls.__init__)

    def __init__(self, config):
        self.config = config

    # A compiled function remembers the config object, which would equal itself after an assignment to it: the hash at
    # the time of the call tells it from what was compiled. These are the ways in which Flax takes a module apart.

    def _note_config(self):
        vars(self)["_config_hash"] = config_hash(self.config)

    def keep_problem_type(self, problem):
        """As PreTrainedModel; the hash stays, so that neither jit nor a loop's carry sees another model."""
        before = hash(self.config)
        super().keep_problem_type(problem)
        vars(self.config)["_hashes_before_loss"] = {hash(self.config): before}

    def _graph_node_flatten(self):
        self._note_config()
        return super()._graph_node_flatten()

    def _pytree__flatten(self):
        self._note_config()
        return super()._pytree__flatten()

    def _pytree__flatten_with_paths(self):
        self._note_config()
        return super()._pytree__flatten_with_paths()

    def post_init(self):
        """Draws the parameters, unless they come from a checkpoint, and gives the dropouts a stream."""
        super().post_init(_seed.get())
        self.seed(_seed.get())

    def replace_parameter(self, name, value):
        """Gives a parameter a value of another length."""
        block, attribute, _ = next(row[1:] for row in named_parameters(self, nnx.Module, nnx.Param) if row[0] == name)
        parameter = getattr(block, attribute)
        parameter.set_value(jnp.asarray(from_numpy(value), parameter.dtype))
        if hasattr(block, "num_embeddings"):
            block.num_embeddings = len(value)

    @property
    def dtype(self):
        """That of the first parameter."""
        return next(parameters(self))[1].get_value().dtype

    @property
    def base_model(self):
        """The model without a head inside, or the model itself."""
        return base_of(self)

    def parameter_sizes(self):
        """Yields (schema name, number of values, True), a shared one once."""
        seen = set()
        for name, parameter, _ in parameters(self):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter.get_value().size, True

    def with_params(self, params):
        """A copy of the model with these parameters."""
        model = nnx.clone(self)
        model.set_params(params)
        return model

    @staticmethod
    def to_array(tensor):
        """The array's values, bfloat16 as its bits."""
        array = np.asarray(tensor)
        return array.view(BFLOAT16) if array.dtype == jnp.bfloat16 else array

    def table_shape(self, embedding):
        """That of the nnx.Param."""
        return tuple(embedding.embedding.get_value().shape)

    def tie_decoder(self, decoder, embedding):
        """Gives a decoder the nnx.Param of an embedding."""
        decoder.weight = embedding.embedding

    def compute_in(self, dtype):
        """Lets all layers compute in a dtype; parameters stay as they are."""
        for _, block in nnx.iter_modules(self):
            if isinstance(block, (Linear, Embedding, LayerNorm, Decoder)):
                block.dtype = jnp.dtype(dtype)  # pyright: ignore[reportAttributeAccessIssue]

    def fill_parameters(self, value_of, put=jnp.asarray):
        """Gives each nnx.Param without a value `value_of(schema name, shape)`; `put` makes a jax.Array of it."""
        for name, parameter, kind in parameters(self):
            if isinstance(parameter.get_value(), jax.ShapeDtypeStruct):
                value = value_of(name, parameter.shape[:: -1 if kind == "kernel" else 1])
                parameter.set_value(put(value.T if kind == "kernel" else value))


_seed = ContextVar("seed", default=0)
# What FlaxBert's constructors take beside the spec's.
_OF_FLAX_BERT = {"input_shape": None, "seed": None, "dtype": None, "_do_init": True}


def _with_arguments(init):
    """A constructor with the arguments of FlaxBert's.

    seed: of the initial values. dtype: in which the model computes; parameters stay float32. input_shape has no
    effect: the shapes of parameters follow from the config.
    """
    signature = inspect.signature(init)
    added = {name: default for name, default in _OF_FLAX_BERT.items() if name not in signature.parameters}

    @functools.wraps(init)
    def construct(self, *args, **kwargs):
        given = {name: kwargs.pop(name, default) for name, default in added.items()}
        if not given.get("_do_init", True):
            raise TypeError(
                f"{type(self).__name__} has no _do_init=False: a model here holds its parameters; flax.nnx.split("
                "model) gives them apart, and model(…, params=params) runs with others"
            )
        seed, dtype = given.get("seed"), given.get("dtype")
        token = _seed.set(_seed.get() if seed is None else seed)  # that of a head is its base's too
        try:
            init(self, *args, **kwargs)
        finally:
            _seed.reset(token)
        if dtype is not None:
            self.compute_in(dtype)

    if "dtype" in added:  # the others are not shown: from_pretrained, which reads the signature, does not take them
        dtype = inspect.Parameter("dtype", inspect.Parameter.KEYWORD_ONLY, default=None)
        named = [each for each in signature.parameters.values() if each.kind != inspect.Parameter.VAR_KEYWORD]
        others = [each for each in signature.parameters.values() if each.kind == inspect.Parameter.VAR_KEYWORD]
        construct.__signature__ = signature.replace(parameters=[*named, dtype, *others])  # pyright: ignore[reportAttributeAccessIssue]
    return construct


def parameters(module):
    """Yields (schema name, nnx.Param, kind of layout)."""
    for name, block, attribute, kind in named_parameters(module, nnx.Module, nnx.Param):
        yield name, getattr(block, attribute), kind


def attention(query, key, value, bias, scale, dropout, output_attentions):
    """As the spec has it, or by cuDNN where that is for it."""
    if output_attentions:
        probabilities = dropout(jax.nn.softmax(_scores(query, key, bias, scale), -1))
        return _product(probabilities, value), probabilities
    plain = functools.partial(_context, scale, dropout)
    if cudnn.takes(query, key, bias, dropout):
        return cudnn.attention(query, key, value, bias, scale, plain), None
    return plain(query, key, value, bias), None


def _scores(query, key, bias, scale):
    scores = _product(query * scale, jnp.swapaxes(key, -1, -2))
    return scores if bias is None else scores + bias


def _context(scale, dropout, query, key, value, bias):
    """Without probabilities: their sums divide the context, which is smaller."""
    scores = _scores(query, key, bias, scale)
    weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
    return _product(dropout(weights), value) / weights.sum(-1, keepdims=True)


def _product(a, b):
    return cpu_kernels.product(a, b) if cpu_kernels.takes_product(a, b) else a @ b


def packed_attention(query, key, value, segments, scale, dropout, output_attentions):
    """That of padded rows."""
    return segments.in_padded_rows(attention, query, key, value, scale, dropout), None


def checkpointed(layer):
    """See nnx.remat."""
    return lambda states, **others: nnx.remat(lambda layer, states: layer(states, **others))(layer, states)


def register_output(cls):
    """Makes an output a pytree."""
    jax.tree_util.register_pytree_with_keys(
        cls,
        lambda output: ([(jax.tree_util.DictKey(key), value) for key, value in output.items()], tuple(output)),
        lambda keys, values: cls(zip(keys, values, strict=True)),
    )


# --- functions ------------------------------------------------------------------------------------

reshape, transpose, einsum, where, concat = jnp.reshape, jnp.transpose, jnp.einsum, jnp.where, jnp.concatenate
zeros_like, tanh, exp, clip, mean, cumsum = jnp.zeros_like, jnp.tanh, jnp.exp, jnp.clip, jnp.mean, jnp.cumsum
amax, searchsorted = jnp.max, jnp.searchsorted
gelu, gelu_tanh = functools.partial(jax.nn.gelu, approximate=False), jax.nn.gelu


def shape(x):
    """The shape as a tuple."""
    return x.shape


def arange(length, like):
    """0 … length − 1."""
    return jnp.arange(length)


def cast_like(x, like):
    """`x` in the dtype of `like`."""
    return x.astype(like.dtype)


def is_floating(x):
    """Whether the dtype is a floating one."""
    return jnp.issubdtype(x.dtype, jnp.floating)


def as_bool(x):
    """Whether each element is not 0; `x` may be of booleans."""
    return x.astype(bool)


def at_least_float32(x):
    """`x` in float32, or in its own dtype where that is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def lowest(x):
    """The lowest finite number of the dtype of `x`."""
    return float(jnp.finfo(x.dtype).min)


def take_last(x, index):
    """x [..., L], index [...] → x[..., index] [...]."""
    return jnp.take_along_axis(x, index[..., None], axis=-1)[..., 0]


def take_positions(x, positions):
    """x [B, T, H], positions [B, K] → x at these positions [B, K, H]."""
    return jnp.take_along_axis(x, positions[..., None], axis=1)


def top_k(x, count):
    """The largest along the last axis and their indices, of equal ones the first first."""
    found = jax.lax.top_k(x.reshape(-1, x.shape[-1]), min(count, x.shape[-1]))  # XLA is fast with matrices
    return tuple(part.reshape(*x.shape[:-1], -1) for part in found)


def write_positions(buffer, new, index):
    """buffer [B, N, S, D] with new [B, N, T, D] at positions `index` and on; donated memory is reused."""
    return jax.lax.dynamic_update_slice_in_dim(buffer, new.astype(buffer.dtype), index, 2)
