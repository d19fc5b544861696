"""bfloat16 in plain NumPy, which has no such dtype: a record of its sixteen bits."""

from __future__ import annotations

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""The dtype of a bfloat16 array here: the bits, under a name that says what they are."""

SAFETENSORS_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def is_float(dtype: np.dtype) -> bool:
    """Whether a weight can have this dtype."""
    return dtype == BFLOAT16 or np.issubdtype(dtype, np.floating)


def dtype_name(dtype: np.dtype) -> str:
    """The name of a dtype, as config.json writes it."""
    return "bfloat16" if dtype == BFLOAT16 else dtype.name


def as_float(array: np.ndarray, dtype: str) -> np.ndarray:
    """A tensor in a NumPy floating dtype; the same memory where it has that dtype already."""
    if array.dtype == BFLOAT16:
        array = (array.view("<u2").astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # what is too large for half precision becomes infinite, as in every framework
        return array.astype(dtype, copy=False)


def dtype_of(name: str) -> np.dtype:
    """The dtype of a name as config.json writes it."""
    return BFLOAT16 if name == "bfloat16" else np.dtype(name)
