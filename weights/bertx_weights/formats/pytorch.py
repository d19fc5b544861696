"""The hub's pytorch_model.bin, whole or in shards, zip or legacy pickle: read with weights_only, under the schema's names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import Checkpoint, StoredTensor
from ..dtypes import BFLOAT16
from ..errors import CheckpointError
from ..files import atomic_path, check_index, inside, shards
from ..schema import schema_name
from . import hub, pickles
from .libraries import needs
from .names import hub_name, is_base

FILE = "pytorch_model.bin"
INDEX = "pytorch_model.bin.index.json"


def files(folder: Path) -> list[Path]:
    """The files that hold the weights; none where the folder has none of this format."""
    return hub.files(folder, FILE, INDEX)


def read(folder: Path) -> Checkpoint:
    """The checkpoint; of a zip file the tensors are mapped.

    Raises:
        CheckpointError: a file is broken, or needs more than tensors to be unpickled, which bertx never does.
        MissingExtraError: torch is not installed.
    """
    if (folder / FILE).is_file():
        tensors = _read_file(inside(folder, FILE))
    else:
        weight_map = shards(folder, INDEX)
        held = {path: _read_file(path) for path in sorted(set(weight_map.values()))}
        check_index(folder, INDEX, weight_map, {name: path for path, of_file in held.items() for name in of_file})
        tensors = {name: held[path][name] for name, path in weight_map.items()}
    return Checkpoint(folder, "pytorch", tuple(files(folder)), hub.read_config(folder), tensors)


def write(folder: Path, config: Mapping[str, Any], tensors: Iterable[StoredTensor]) -> list[str]:
    """Writes config.json and pytorch_model.bin, a zip; the library needs all tensors at once."""
    torch = needs("torch", "torch")
    tensors = list(tensors)
    base = is_base(tensors)
    state = {hub_name(tensor.schema_name, base): _to_torch(torch, tensor.read()) for tensor in tensors}
    with atomic_path(folder / FILE) as temporary:
        torch.save(state, temporary)
    hub.write_config(folder, config)
    return []


def _read_file(path: Path) -> dict[str, StoredTensor]:
    torch = needs("torch", "torch")
    try:
        mapped = _is_plain_zip(path)
        _check_pickles(path, mapped)
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
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: expected a state dict, found {type(state).__name__}")
    foreign = sorted(str(name)[:80] for name, value in state.items() if not _is_dense(torch, name, value))
    if foreign:
        raise CheckpointError(f"{path}: expected dense tensors by name, these are not: {', '.join(foreign[:20])}")
    return {name: _stored(torch, name, tensor) for name, tensor in state.items()}


def _is_plain_zip(path: Path) -> bool:
    """Whether the file can be mapped; a compressed entry could unfold to any size."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        folded = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    if folded:
        raise CheckpointError(f"{path}: {folded[0]!r} is compressed, which torch.save never does")
    return True


def _check_pickles(path: Path, is_zip: bool) -> None:
    if not is_zip:
        with open(path, "rb") as file:
            pickles.check(file, 5)  # magic number, version, system, state dict, storage keys
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".pkl"):
                with archive.open(entry) as file:
                    pickles.check(file)


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

    return StoredTensor(name, schema_name(name), tuple(tensor.shape), _numpy_dtype(tensor.dtype), read)


def _numpy_dtype(dtype: Any) -> np.dtype | None:
    name = str(dtype).removeprefix("torch.")
    try:
        return BFLOAT16 if name == "bfloat16" else np.dtype(name)
    except TypeError:
        return None  # quantised, or of eight bits


def _to_torch(torch: Any, array: np.ndarray) -> Any:
    array = np.require(array, requirements=("C", "W"))
    return (
        torch.from_numpy(array.view("<i2")).view(torch.bfloat16) if array.dtype == BFLOAT16 else torch.from_numpy(array)
    )
