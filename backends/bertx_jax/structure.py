"""A model as what jax.jit takes: its structure, which a function is compiled for, and its arrays.

To take a module apart takes some milliseconds; here that is done once, and again where anything but the values of its
variables has changed.
"""

from __future__ import annotations

import itertools
import operator
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import jax
from flax import nnx

# How many compiled functions of a kind are kept, those used last.
MOST_SHAPES = 256


class Structure:
    """All of a module but its arrays. There is one object for equal structures, so that it is a key of compiled code.

    JAX says what is equal.

    Attributes:
        kinds: the classes of its blocks.
    """

    def __init__(self, treedef: Any, places: tuple[int, ...], kinds: frozenset[type]):
        self._treedef = treedef
        self._places = places
        self.kinds = kinds

    @classmethod
    def of(cls, treedef: Any, places: Iterable[int], kinds: Iterable[type]) -> Structure:
        """The one object of that structure.

        places: of each leaf of the module, which of the arrays it is; blocks may share one, as dropouts share a stream.
        """
        key = treedef, tuple(places)
        return _structures.setdefault(key, cls(*key, frozenset(kinds)))

    def leaves(self, values: Any) -> list[Any]:
        """The leaves of a module with these arrays."""
        return [values[place] for place in self._places]

    def put_together(self, values: Any) -> Any:
        """A module with these arrays, or with what stands for them while a function is traced."""
        return jax.tree.unflatten(self._treedef, self.leaves(values))


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """jax.jit of a function, whose float32 products are not rounded to TF32 on a GPU."""

    def run(*args: Any, **inputs: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(*args, **inputs)

    return jax.jit(run, **options)


def config_hash(config: Any) -> int:
    """That of its fields, a `problem_type` that the first loss set left out: with it no other code is compiled."""
    found = hash(config)
    return vars(config).get("_hashes_before_loss", {}).get(found, found)


_structures: weakref.WeakValueDictionary[Any, Structure] = weakref.WeakValueDictionary()
_parts: weakref.WeakKeyDictionary[Any, _Parts] = weakref.WeakKeyDictionary()


def take_apart(module: Any) -> tuple[Structure, list[Any]]:
    """The structure of a module, and its arrays as they are now."""
    parts = _parts.get(module)
    if parts is None or parts.are_stale():
        leaves, treedef = jax.tree.flatten(module)
        parts = _Parts(module, treedef)
        if not parts.give(leaves):
            return Structure.of(treedef, range(len(leaves)), map(type, _nodes(module))), leaves
        _parts[module] = parts
    return parts.structure, parts.values()


class _Parts:
    """The variables of a module, and what its attributes are while they are all that changes."""

    def __init__(self, module: Any, treedef: Any):
        of_leaves = [
            leaf
            for leaf in jax.tree.leaves(module, is_leaf=lambda node: isinstance(node, nnx.Variable))
            if isinstance(leaf, nnx.Variable)
        ]
        self._variables = list({id(variable): variable for variable in of_leaves}.values())
        number = {id(variable): index for index, variable in enumerate(self._variables)}
        nodes = list(_nodes(module))
        places = (number[id(variable)] for variable in of_leaves)
        self.structure = Structure.of(treedef, places, map(type, nodes))
        configs = {id(node.config): node.config for node in nodes if hasattr(node, "config")}
        self._configs = [(config, config_hash(config)) for config in configs.values()]
        self._attributes = [vars(node) for node in nodes]
        self._before = list(self._now())

    def values(self) -> list[Any]:
        """The arrays of the variables as they are now."""
        return [variable.get_raw_value() for variable in self._variables]

    def give(self, leaves: list[Any]) -> bool:
        """Whether the variables are where these leaves are from: all of them, each variable one."""
        own = self.structure.leaves(self.values())
        return len(own) == len(leaves) and all(map(operator.is_, own, leaves))

    def are_stale(self) -> bool:
        """Whether an attribute of a block is another, or a config has changed."""
        return (
            sum(map(len, self._attributes)) != len(self._before)
            or not all(map(operator.is_, self._now(), self._before))
            or any(config_hash(config) != before for config, before in self._configs)
        )

    def _now(self):
        return itertools.chain.from_iterable(map(dict.values, self._attributes))


def _nodes(node):
    """Yields a module and all modules in it; one that several hold, as often."""
    yield node
    for value in vars(node).values():
        if isinstance(value, nnx.Pytree):
            yield from _nodes(value)
