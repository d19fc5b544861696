"""A model as a function of its parameters, and on several devices: what users of FlaxBert and of jax.jit write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx
from jax.core import Tracer

from bertx.compat.transformers4 import first_arguments
from bertx.inputs import check_values, indices_of
from bertx.parameters import named_parameters

# Tensor parallelism as in Megatron-LM: heads, the feed-forward and the vocabulary are split, all else is whole.
TENSOR_PARALLEL = {"heads": "model", "mlp": "model", "vocab": "model"}


if TYPE_CHECKING:

    class _Native(nnx.Module):
        config: Any
        architecture: Callable[[], str]
        schema_rows: Callable[[], Any]
        forward: Callable[..., Any]
else:
    _Native = object


class Functional(_Native):
    """What every model class of JAX has further: its parameters as a tree, and calls that take such a tree."""

    def __call__(self, *args, params=None, train=None, dropout_rng=None, **inputs):
        """The outputs of a batch; the inputs are those of `forward`, by name or in their order.

        Args:
            params: parameters to use for the model's own, as `params` has them; the model is left as it is.
            train: True drops out, as drawn with `dropout_rng`; None is as `train()` or `eval()` left it.
            dropout_rng: a JAX key.

        Raises:
            ValueError: `train` is True without `dropout_rng`, `params` are not those of this model, or an id, a token
                type, a position or a label is out of range. Under jit, vmap and the like the values of traced inputs
                are not known and not checked: there JAX takes the nearest row or gives NaN.
        """
        args = tuple(map(_as_jax_does, args))
        inputs = {name: _as_jax_does(value) for name, value in inputs.items()}
        self._check_values(args, inputs)
        if params is None and train is None and dropout_rng is None:
            return self.forward(*args, **inputs)
        model = nnx.clone(self)
        if params is not None:
            model.set_params(params)
        if train and dropout_rng is None:
            raise ValueError("train=True needs dropout_rng, a JAX key: model(…, train=True, dropout_rng=key)")
        if dropout_rng is not None:
            model.seed(dropout_rng)
        if train is not None:
            model.train() if train else model.eval()
        return model.forward(*args, **inputs)

    def _check_values(self, args, inputs):
        """Raises ValueError for values out of range among the inputs that are not traced: JAX itself refuses none."""
        given = dict(zip(first_arguments(self), args, strict=False)) | inputs
        indices = indices_of(self.architecture())
        check_values(
            self.architecture(),
            self.config,
            {name: np.asarray(value) for name, value in given.items() if name in indices and _is_known(value)},
            length=next((np.shape(given[name])[1] for name in _TOKENS if np.ndim(given.get(name)) > 1), None),
        )

    def apply(self, params, batch, train=False, dropout_rng=None):
        """The outputs of a batch, a mapping of inputs, with these parameters: a pure function, for jax.jit and grad."""
        return self(**batch, params=params, train=train, dropout_rng=dropout_rng)

    @property
    def params(self):
        """The parameters as a nested dict by schema name, each [in, out] kernel, scale and embedding as Flax has it."""
        tree = {}
        for *parents, leaf, parameter, _ in self._rows():
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[leaf] = parameter.get_value()
        return tree

    def __setattr__(self, name, value):
        """`model.params = params` is `set_params`."""
        self.set_params(value) if name == "params" else super().__setattr__(name, value)

    def set_params(self, params):
        """Takes parameters as `params` has them, in place.

        Raises:
            ValueError: they are not those of this model.
        """
        found = {tuple(str(key.key) for key in path): value for path, value in jax.tree.leaves_with_path(params)}
        rows = {tuple(path): parameter for *path, parameter, _ in self._rows()}
        if rows.keys() != found.keys():
            wrong = sorted("/".join(path) for path in rows.keys() ^ found.keys())
            raise ValueError(f"params and the model do not have the same parameters: {', '.join(wrong)}")
        shapes = {path: (tuple(np.shape(found[path])), tuple(row.shape)) for path, row in rows.items()}
        if wrong := [
            f"{'/'.join(path)} is {list(shape)}, expected {list(own)}"
            for path, (shape, own) in shapes.items()
            if shape != own
        ]:
            raise ValueError(f"params and the model do not have the same shapes: {'; '.join(wrong)}")
        for path, parameter in rows.items():
            parameter.set_value(found[path])

    def seed(self, key):
        """Lets all dropouts draw from a JAX key."""
        stream = nnx.Rngs(dropout=key).dropout
        for _, block in nnx.iter_modules(self):
            if isinstance(block, nnx.Dropout):
                block.rngs = stream

    def shard(self, mesh, rules=TENSOR_PARALLEL):
        """Spreads the parameters over a mesh, in place; gives the model.

        `rules`: name of an axis in `bertx.models` → axis of the mesh. An axis that is not named, or that the mesh does
        not divide, stays whole on each device. ValueError for a mesh whose axes are not of the type Auto.
        """
        if any(kind != jax.sharding.AxisType.Auto for kind in mesh.axis_types):
            auto = "axis_types=(jax.sharding.AxisType.Auto,) * n"
            raise ValueError(f"the axes of the mesh are {mesh.axis_types}, expected Auto: jax.make_mesh(…, {auto})")
        axes = {row.name: row.axes for row in self.schema_rows()}
        for *_, parameter, (name, kind) in self._rows():
            names = axes[name][:: -1 if kind == "kernel" else 1]
            spec = [
                rules.get(axis) if rules.get(axis) and size % mesh.shape[rules[axis]] == 0 else None
                for axis, size in zip(names, parameter.shape, strict=True)
            ]
            sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
            parameter.set_value(jax.device_put(parameter.get_value(), sharding))
        return self

    def _rows(self):
        """Yields (the names of the blocks and of the attribute, the nnx.Param, (schema name, layout)), each once."""
        seen = set()
        for name, block, attribute, kind in named_parameters(self, nnx.Module, nnx.Param):
            parameter = getattr(block, attribute)
            if id(parameter) not in seen:
                seen.add(id(parameter))
                parents = name.split(".")[:-1]
                yield *parents, attribute, parameter, (name, kind)


def _is_known(value):
    """Whether the values of an array can be read here: it is not traced, nor spread over several hosts."""
    if isinstance(value, jax.Array):
        return not isinstance(value, Tracer) and value.is_fully_addressable
    return isinstance(value, np.ndarray)


def _as_jax_does(value):
    """Lists as arrays; integers of NumPy that JAX would cut to 32 bits, and thereby wrap, cut to their range."""
    if isinstance(value, list):
        value = np.asarray(value)
    wide = isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.dtype.itemsize > 4
    return to_int32(value) if wide and not jax.config.jax_enable_x64 else value  # pyright: ignore[reportAttributeAccessIssue]


def to_int32(array):
    """Integers and truth values of NumPy as int32; what is beyond its range becomes its end rather than wraps."""
    found = array.astype(np.int32)
    wraps = array.dtype.itemsize > 4 and (found != array).any()
    return np.clip(array, *_INT32).astype(np.int32) if wraps else found


def input_array(array, dtype):
    """An input of a model: what is no integer in its dtype, integers as `to_int32`."""
    return array.astype(dtype) if array.dtype.kind == "f" else to_int32(array)


_TOKENS = ("input_ids", "inputs_embeds")
_INT32 = np.iinfo(np.int32).min, np.iinfo(np.int32).max
