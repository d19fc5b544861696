"""A model as what jax.jit takes: its structure, which a function is compiled for, and its arrays.

To take a module apart takes some milliseconds; here that is done once, and again where anything but the values of its
variables has changed.
"""

from __future__ import annotations

import itertools
import operator
import weakref
from typing import Any

import jax
from flax import nnx

# How many compiled functions of a kind are kept, those used last.
MOST_SHAPES = 256


class Structure:
    """All of a module but its arrays. There is one object for equal structures, so that it is a key of compiled code.

    JAX says what is equal.
    """

    def __init__(self, treedef: Any):
        self._treedef = treedef

    def put_together(self, values: Any) -> Any:
        """A module with these arrays, or with what stands for them while a function is traced."""
        return jax.tree.unflatten(self._treedef, values)


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
        values, treedef = jax.tree.flatten(module)
        structure = _structures.setdefault(treedef, Structure(treedef))
        parts = _Parts(module, structure)
        if not parts.give(values):
            return structure, values
        _parts[module] = parts
    return parts.structure, [variable.get_raw_value() for variable in parts.variables]


class _Parts:
    """The variables of a module, and what its attributes are while they are all that changes."""

    def __init__(self, module: Any, structure: Structure):
        self.structure = structure
        self.variables = [
            leaf
            for leaf in jax.tree.leaves(module, is_leaf=lambda node: isinstance(node, nnx.Variable))
            if isinstance(leaf, nnx.Variable)
        ]
        nodes = list(_nodes(module))
        configs = {id(node.config): node.config for node in nodes if hasattr(node, "config")}
        self._configs = [(config, config_hash(config)) for config in configs.values()]
        self._attributes = [vars(node) for node in nodes]
        self._before = self._now()

    def give(self, values: list[Any]) -> bool:
        """Whether the variables are where these arrays are from: all of them, each variable one."""
        own = [variable.get_raw_value() for variable in self.variables]
        return len(own) == len(values) and all(map(operator.is_, own, values))

    def are_stale(self) -> bool:
        """Whether an attribute of a block is another, or a config has changed."""
        now = self._now()
        return (
            len(now) != len(self._before)
            or not all(map(operator.is_, now, self._before))
            or any(config_hash(config) != before for config, before in self._configs)
        )

    def _now(self):
        return list(itertools.chain.from_iterable(map(dict.values, self._attributes)))


def _nodes(node):
    """Yields a module and all modules in it; one that several hold, as often."""
    yield node
    for value in vars(node).values():
        if isinstance(value, nnx.Pytree):
            yield from _nodes(value)
