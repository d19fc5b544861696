"""The building blocks of the spec on PyTorch; `bertx.models.nn` says what each does."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.utils.checkpoint
from torch.nn import Module, ModuleList
from torch.nn.functional import relu, scaled_dot_product_attention, silu, softplus
from torch.utils import _pytree

from bertx.compat.transformers4 import show_arguments
from bertx.models.nn import check_shape, class_numbers, mean_loss, rank, rowwise
from bertx.pretrained import PreTrainedModel, base_of
from bertx_weights import BFLOAT16

from . import cpu_kernels, varlen
from .dropout import Dropout
from .hugging_face import HuggingFaceModel
from .tensors import first_parameter, from_numpy
from .virtual_subclasses import VirtualSubclass

# --- blocks ---------------------------------------------------------------------------------------


# Functions, so that users find torch.nn's own classes in a model, as quantization and adapters expect.


def Parameter(*shape, axes):
    """A parameter of that shape, its values not set."""
    return torch.nn.Parameter(torch.empty(shape))


def Linear(in_features, out_features, axes):
    """A torch.nn.Linear."""
    return torch.nn.Linear(in_features, out_features)


def Embedding(num_embeddings, embedding_dim, axes):
    """A torch.nn.Embedding."""
    return torch.nn.Embedding(num_embeddings, embedding_dim)


def LayerNorm(features, eps):
    """A torch.nn.LayerNorm."""
    return torch.nn.LayerNorm(features, eps)


def Decoder(in_features, out_features, bias, embedding):
    """A torch.nn.Linear whose bias, and where tied also its weight, is the parameter of another module."""
    decoder = torch.nn.Linear(in_features, out_features, bias=False, device="meta")
    decoder.weight = (
        torch.nn.Parameter(torch.empty(out_features, in_features)) if embedding is None else embedding.weight
    )
    decoder.bias = bias
    return decoder


class Model(HuggingFaceModel, PreTrainedModel, Module):
    """A whole model: a torch.nn.Module whose state_dict keys are the schema's names."""

    backend_name = "torch"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls):
            show_arguments(cls)

    def __init__(self, config):
        super().__init__()
        self.config = config

    def fill_parameters(self, value_of):
        """Gives each parameter `value_of(schema name, shape)`, but those of a model inside that has its own already."""
        for name, parameter in self.named_parameters():
            if not getattr(parameter, "_is_filled", False):
                with torch.no_grad():
                    parameter.copy_(torch.from_numpy(value_of(name, tuple(parameter.shape))))
                parameter._is_filled = True  # pyright: ignore[reportAttributeAccessIssue]

    def replace_parameter(self, name, value):
        """Gives a parameter a value of another length; what is tied to it stays so."""
        parameter, block = self.get_parameter(name), self.get_submodule(name.rpartition(".")[0])
        parameter.data = from_numpy(value).to(parameter)
        for size in ("num_embeddings", "out_features"):
            if hasattr(block, size):
                setattr(block, size, len(value))

    def keep_problem_type(self, problem):
        """As PreTrainedModel, by what torch.compile can trace."""
        if torch.compiler.is_compiling():
            object.__setattr__(self.config, "problem_type", problem)
        else:
            super().keep_problem_type(problem)

    @property
    def device(self):
        """That of the first parameter."""
        return first_parameter(self).device

    @property
    def dtype(self):
        """That of the first floating-point parameter."""
        return next(parameter.dtype for parameter in self.parameters() if parameter.is_floating_point())

    @property
    def base_model(self):
        """The model without a head inside, or the model itself."""
        return base_of(self)

    def parameter_sizes(self):
        """Yields (name, number of values, whether it requires gradients), a shared one once."""
        for name, parameter in self.named_parameters():
            yield name, parameter.numel(), parameter.requires_grad

    @staticmethod
    def to_array(tensor):
        """The tensor's values, bfloat16 as its bits."""
        if not isinstance(tensor, torch.Tensor):
            return np.asarray(tensor)
        tensor = tensor.detach().cpu().contiguous()
        return tensor.view(torch.int16).numpy().view(BFLOAT16) if tensor.dtype == torch.bfloat16 else tensor.numpy()

    def table_shape(self, embedding):
        """That of the weight."""
        return tuple(embedding.weight.shape)

    def tie_decoder(self, decoder, embedding):
        """Gives a decoder the weight of an embedding."""
        decoder.weight = embedding.weight


def linear(dense, x):
    """As the spec has it; in plain inference on the CPU as is fastest there."""
    return cpu_kernels.linear(dense, x)


def activated(dense, activation, x):
    """As the spec has it; in plain inference oneDNN does both at once where that is faster here."""
    approximate = _GELUS.get(activation)
    if approximate is not None and cpu_kernels.takes_gelu(dense, x):
        return cpu_kernels.linear_gelu(dense, x, approximate)
    return activation(linear(dense, x))


def attention(query, key, value, bias, scale, dropout, output_attentions):
    """PyTorch's fused attention, but where the probabilities are asked for, or dropped by our own dropout."""
    if not (output_attentions or dropout.takes(query)):
        rate = dropout.p if dropout.training else 0.0
        return scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=rate, scale=scale), None
    scores = (query * scale) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    probabilities = dropout(torch.softmax(scores, -1))
    return probabilities @ value, probabilities if output_attentions else None


def packed_attention(query, key, value, segments, scale, dropout, output_attentions):
    """PyTorch's kernel for rows of any length where it runs, else `attention` of padded rows."""
    if varlen.takes(query, scale, dropout):
        return varlen.attention(query, key, value, segments), None
    return segments.in_padded_rows(attention, query, key, value, scale, dropout), None


def checkpointed(layer):
    """See torch.utils.checkpoint; `gradient_checkpointing_enable` gives a layer its own `checkpoint`, or None."""
    run = getattr(layer, "checkpoint", _checkpoint)
    if run is None or not torch.is_grad_enabled():
        return layer
    return lambda states, **others: run(functools.partial(layer, **others), states)


_checkpoint = functools.partial(torch.utils.checkpoint.checkpoint, use_reentrant=False)


class OutputBase(VirtualSubclass, dict):
    """A dict that transformers' pipelines take for an output of its own models."""

    virtual_base = ("transformers.utils.generic", "ModelOutput")


def register_output(cls):
    """Makes an output a container of tensors for torch.export and torch.func, and a dict for torch.jit.trace."""
    torch.jit.ignore(cls)  # else TorchScript would compile the class rather than see a dict
    _pytree.register_pytree_node(
        cls,
        lambda output: (list(output.values()), list(output)),
        lambda values, keys: cls(zip(keys, values, strict=True)),
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
    )


# --- functions ------------------------------------------------------------------------------------

reshape, transpose, einsum, where, concat = torch.reshape, torch.permute, torch.einsum, torch.where, torch.cat
zeros_like, tanh, sigmoid, clip, cumsum = torch.zeros_like, torch.tanh, torch.sigmoid, torch.clip, torch.cumsum
mean, amax, exp, searchsorted = torch.mean, torch.amax, torch.exp, torch.searchsorted
gelu = torch.nn.functional.gelu


def shape(x):
    """The shape as a tuple."""
    return tuple(x.shape)


def arange(length, like):
    """0 … length − 1, on the device of `like`."""
    return torch.arange(length, device=like.device)


def cast_like(x, like):
    """`x` in the dtype of `like`."""
    return x.to(like.dtype)


def is_floating(x):
    """Whether the dtype is a floating one."""
    return x.is_floating_point()


def as_bool(x):
    """Whether each element is not 0; `x` may be of booleans."""
    return x.bool()


def at_least_float32(x):
    """`x` in float32, or in its own dtype where that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def lowest(x):
    """The lowest finite number of the dtype of `x`."""
    return torch.finfo(x.dtype).min


def take_last(x, index):
    """x [..., L], index [...] → x[..., index] [...]."""
    return x.gather(-1, index[..., None].long())[..., 0]


def take_positions(x, positions):
    """x [B, T, H], positions [B, K] → x at these positions [B, K, H]."""
    return x.gather(1, positions[..., None].long().expand(-1, -1, x.shape[-1]))


def write_positions(buffer, new, index):
    """buffer [B, N, S, D] with new [B, N, T, D] at positions `index` and on, in the same memory."""
    buffer[:, :, index : index + new.shape[2]] = new
    return buffer


def log_softmax(x):
    """Over the last axis."""
    return torch.log_softmax(x, -1)


def softmax(x):
    """Over the last axis."""
    return torch.softmax(x, -1)


def top_k(x, count):
    """The largest along the last axis and their indices, of equal ones the first first, which torch.topk does not do.

    Of float32 or float64, without −0.
    """
    length = x.shape[-1]
    if x.dtype == torch.float64:
        values, indices = x.sort(-1, descending=True, stable=True)
        return values[..., :count], indices[..., :count]
    # Numbers of 64 bits without two equal ones: a value, by its bits in the order of floats, and behind it its index.
    bits = x.view(torch.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    keys.mul_(2**32).add_(torch.arange(length - 1, -1, -1, device=x.device))
    indices = length - 1 - (keys.topk(min(count, length)).values & 0xFFFFFFFF)
    return x.gather(-1, indices), indices


def gelu_tanh(x):
    """The tanh approximation of gelu."""
    return gelu(x, approximate="tanh")


_GELUS = {gelu: "none", gelu_tanh: "tanh"}
