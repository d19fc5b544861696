"""What a pickle of tensors may hold, checked without executing it.

torch.load(weights_only=True) executes no code, but allows more than a state dict needs: constructors that leave memory
unset or take any amount of it, and tuples that take 2ⁿ steps to hash. They are refused before it sees the file.
"""

from __future__ import annotations

import pickletools
from typing import BinaryIO

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_GLOBALS = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {name}Storage" for name in _STORAGES),
}
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_CODE = ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")


def check(stream: BinaryIO, pickles: int = 1) -> None:
    """Reads so many pickles of a stream.

    Raises:
        ValueError: one holds what no state dict does; the message names it.
    """
    for _ in range(pickles):
        tuples: set[int] = set()
        before, memo = "", 0
        for opcode, argument, _ in pickletools.genops(stream):
            name = opcode.name
            if name in _CODE or (name == "GLOBAL" and argument not in _GLOBALS):
                raise ValueError(f"it asks for {argument or name}, which no state dict needs")
            if name in _PUTS:
                if before.startswith("TUPLE"):
                    tuples.add(memo if name == "MEMOIZE" else int(argument))
                memo += 1
            elif name in _GETS and int(argument) in tuples:
                raise ValueError("a tuple that is used twice, which no state dict has")
            before = name
