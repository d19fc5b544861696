"""The names of dtypes."""

from __future__ import annotations

from typing import Any


def name_of_dtype(dtype: Any) -> Any:
    """The name of a dtype: "bfloat16" for torch.bfloat16, tf.bfloat16, jnp.bfloat16, np.dtype and "bfloat16"."""
    if isinstance(dtype, str):
        return dtype.removeprefix("torch.")
    found = getattr(dtype, "name", None) or getattr(dtype, "__name__", None)
    if not isinstance(found, str) and type(dtype).__name__ == "dtype":
        found = str(dtype).rpartition(".")[2]
    return found if isinstance(found, str) else dtype
