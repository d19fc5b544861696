"""Checkpoints: the schema's rows, the formats, and the report of a load. Needs numpy and safetensors only."""

from .arrays import contiguous
from .checkpoint import Checkpoint, StoredTensor, as_dtype
from .containers.safetensors import open_safetensors, release, write_safetensors
from .dtypes import BFLOAT16, as_float, dtype_name, dtype_of
from .errors import CheckpointError, MissingExtraError
from .files import read_json, write_atomically
from .formats import FORMATS, check_family, format_of, open_checkpoint
from .match import LoadReport, match
from .naming import ModelNames
from .schema import Row, base_prefix, head_of_decoder, schema_name

__all__ = [
    "BFLOAT16",
    "FORMATS",
    "Checkpoint",
    "CheckpointError",
    "LoadReport",
    "MissingExtraError",
    "ModelNames",
    "Row",
    "StoredTensor",
    "as_dtype",
    "as_float",
    "base_prefix",
    "check_family",
    "contiguous",
    "dtype_name",
    "dtype_of",
    "format_of",
    "head_of_decoder",
    "match",
    "open_checkpoint",
    "open_safetensors",
    "read_json",
    "release",
    "schema_name",
    "write_atomically",
    "write_safetensors",
]
