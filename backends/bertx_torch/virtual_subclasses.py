"""Classes whose instances are those of a class of transformers for `isinstance`, and inherit nothing of it.

transformers' Trainer and pipelines ask `isinstance(model, PreTrainedModel)` and `isinstance(output, ModelOutput)`, and
treat everything else worse. Its classes have no `register`, as those of abc.ABC have, but `isinstance` also looks at
`__class__`, by which proxies say what they stand for (unittest.mock and weakref do so).
"""

from __future__ import annotations

import functools
import sys

_CLASS = object.__dict__["__class__"]


class VirtualSubclass:
    """A base of classes whose `virtual_base` names the module and the class that their instances pass for."""

    virtual_base = ("", "")

    @property
    def __class__(self):
        """A subclass of `type(self)` and of the virtual base, where that is imported; else `type(self)`."""
        module, name = self.virtual_base
        base = getattr(sys.modules.get(module), name, None)
        return type(self) if base is None or issubclass(type(self), base) else _alias(type(self), base)

    @__class__.setter
    def __class__(self, cls):
        _CLASS.__set__(self, cls)

    def __init_subclass__(cls, **kwargs):
        """For an alias nothing: transformers would evaluate the annotations of all bases."""
        if "_alias_of" not in vars(cls):
            super().__init_subclass__(**kwargs)

    def __reduce_ex__(self, protocol):
        """Pickles by `type(self)`."""
        _, _, *state = super().__reduce_ex__(max(protocol, 2))
        return _new, (type(self),), *state


def _new(cls):
    return cls.__new__(cls)


@functools.cache
def _alias(cls, base):
    """A subclass of both whose instances are those of `cls`: `model.__class__(config)` makes what it always did."""

    def call(alias, *args, **kwargs):
        return cls(*args, **kwargs) if "_alias_of" in vars(alias) else type(cls).__call__(alias, *args, **kwargs)

    def new(alias, *args, **kwargs):
        return cls.__new__(cls if "_alias_of" in vars(alias) else alias)

    names = {"_alias_of": cls, "__new__": new, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type("Alias", (type(cls),), {"__call__": call})(cls.__name__, (cls, base), names)
