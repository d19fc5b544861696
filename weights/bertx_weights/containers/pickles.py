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


def check(stream: BinaryIO, largest: int) -> None:
    """Reads one pickle of a stream.

    `largest`: a number above it is of no tensor in the file, such as a storage that would be larger than that.

    Raises:
        ValueError: it holds what no state dict does; the message names it.
    """
    tuples: set[int] = set()
    before, memo = "", 0
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _CODE or (name == "GLOBAL" and argument not in _GLOBALS) or (name == "PROTO" and before):
            raise ValueError(f"it asks for {argument or name}, which no state dict needs")
        if isinstance(argument, int) and argument > largest:
            raise ValueError(f"it has the number {argument}, the file {largest} bytes")
        if name in _PUTS:
            if before.startswith("TUPLE"):
                tuples.add(memo if name == "MEMOIZE" else int(argument or 0))
            memo += 1
        elif name in _GETS and int(argument or 0) in tuples:
            raise ValueError("a tuple that is used twice, which no state dict has")
        before = name
