"""Checkpoints: the schema's rows, the safetensors store, and the report of a load. Needs numpy and safetensors only."""

from .dtypes import BFLOAT16, as_float, dtype_name
from .errors import CheckpointError
from .files import write_atomically
from .match import LoadReport, match
from .safetensors_store import open_safetensors, release, write_safetensors
from .schema import Row, schema_name

__all__ = [
    "BFLOAT16",
    "CheckpointError",
    "LoadReport",
    "Row",
    "as_float",
    "dtype_name",
    "match",
    "open_safetensors",
    "release",
    "schema_name",
    "write_atomically",
    "write_safetensors",
]
