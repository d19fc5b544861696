"""Files of torch.save, zip or legacy pickle: read with weights_only, no pickle is executed."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import contiguous
from ..checkpoint import StoredTensor
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import atomic_path
from . import pickles
from .libraries import needs

# The keys under which trainings save a model's state dict.
_STATE_DICTS = ("state_dict", "model_state_dict", "model", "module")
_DEEPEST = 3
_END = 22  # bytes of a zip's last record
_IN_ZIP64 = 2**32 - 1  # it says that a larger number is in another record


def write_file(path: Path, tensors: Mapping[str, StoredTensor]) -> None:
    """Writes a zip; the library needs all tensors at once."""
    torch = needs("torch", "torch")
    state = {name: _to_torch(torch, tensor.read()) for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def read_file(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one file, without executing a pickle.

    Raises:
        CheckpointError: it is broken, or needs more than tensors to be unpickled.
        MissingExtraError: torch is not installed.
    """
    torch = needs("torch", "torch")
    try:
        mapped = _check_pickles(torch, path)
        return _tensors(torch, torch.load(path, map_location="cpu", weights_only=True, mmap=mapped), path)
    except CheckpointError:
        raise
    except Exception as error:  # the unpickler's errors are of every kind
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: cannot be read as plain tensors, and bertx executes no pickle: {said[:200]}\n  If you trust the "
            "file, load it with torch.load(…, weights_only=False) where it was made and save its tensors alone, "
            "with torch.save(model.state_dict(), …) or safetensors"
        ) from error


def _tensors(torch: Any, state: Any, path: Path) -> dict[str, StoredTensor]:
    state = _state_dict(state, path)
    foreign = sorted(str(name)[:80] for name, value in state.items() if not _is_dense(torch, name, value))
    if foreign:
        raise CheckpointError(f"{path}: expected dense tensors by name, these are not: {', '.join(foreign[:20])}")
    return {name: _stored(torch, name, tensor) for name, tensor in state.items()}


def _state_dict(state: Any, path: Path) -> Mapping[Any, Any]:
    """The state dict of what was saved: itself, or the one that a training saved beside its optimizer's."""
    for _ in range(_DEEPEST):
        if not isinstance(state, Mapping):
            raise CheckpointError(f"{path}: expected a state dict, found {type(state).__name__}")
        within = [key for key in _STATE_DICTS if isinstance(state.get(key), Mapping)]
        if not within:
            break
        if len(within) > 1:
            raise CheckpointError(f"{path} holds several state dicts: {', '.join(within)}: save the one alone")
        state = state[within[0]]
    return state


def _check_pickles(torch: Any, path: Path) -> bool:
    """Looks through what torch.load would unpickle; says whether the file is a zip, which can be mapped."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        is_zip = file.read(4) == b"PK\3\4"  # as torch tells them apart
        if not is_zip:
            file.seek(0)
            for largest in (2**128, 2**128, 2**128, size, size):  # magic number, version, system, state dict, keys
                pickles.check(file, largest)
            return False
        file.seek(-_END, os.SEEK_END)
        end = file.read(_END)
    # zipfile and torch's own reader must see the same directory: the one at the end, with nothing after it.
    directory_size, directory = struct.unpack("<II", end[12:20])
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        begins_there = directory in (archive.start_dir, _IN_ZIP64)
    ends_there = _IN_ZIP64 in (directory, directory_size) or directory + directory_size in (
        size - _END,
        size - _END - 76,
    )
    if end[:4] != b"PK\5\6" or end[20:] != b"\0\0" or not begins_there or not ends_there:
        raise ValueError("a zip with more than its entries and one directory")
    strange = [e.filename for e in entries if e.compress_type != zipfile.ZIP_STORED or e.compress_size != e.file_size]
    if strange or len({entry.filename for entry in entries}) < len(entries):
        raise ValueError(f"{strange[:1] or 'a name'} is compressed or there twice, as torch.save never does")
    pickles.check(io.BytesIO(torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")), size)
    return True


def _is_dense(torch: Any, name: Any, value: Any) -> bool:
    if not isinstance(name, str) or type(value) not in (torch.Tensor, torch.nn.Parameter):
        return False
    if value.layout != torch.strided or value.is_neg() or value.is_conj():
        return False
    # With a stride of 0 a few bytes would be a tensor of any size.
    fits = value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    return _numpy_dtype(value.dtype) is not None and value.device.type == "cpu" and fits


def _stored(torch: Any, name: str, tensor: Any) -> StoredTensor:
    tensor = tensor.detach()
    bits = tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor

    def read() -> np.ndarray:
        array = bits.numpy()
        return array.view(BFLOAT16) if tensor.dtype == torch.bfloat16 else array

    return StoredTensor(name, name, tuple(tensor.shape), _numpy_dtype(tensor.dtype), read)


def _numpy_dtype(dtype: Any) -> Any:
    name = str(dtype).removeprefix("torch.")
    try:
        return BFLOAT16 if name == "bfloat16" else np.dtype(name)
    except TypeError:
        return None  # quantised, or of eight bits


def _to_torch(torch: Any, array: np.ndarray) -> Any:
    array = np.require(contiguous(array), requirements="W")
    return (
        torch.from_numpy(array.view("<i2")).view(torch.bfloat16) if array.dtype == BFLOAT16 else torch.from_numpy(array)
    )
