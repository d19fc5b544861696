"""bertx.convert: a checkpoint in another format, and the proof that it is the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bertx_weights import (
    FORMATS,
    Checkpoint,
    CheckpointError,
    StoredTensor,
    contiguous,
    dtype_name,
    dtype_of,
    format_of,
    open_checkpoint,
    release,
    schema_name,
    write_atomically,
)

from .adapters import files_folder, open_merged
from .architectures import architecture_of_task
from .config import BertConfig
from .loading import config_of, plan
from .sources import resolve
from .tasks import copy_task_files
from .tokenizer_files import copy_tokenizer

Progress = Callable[[int, int], None]
"""Called with the bytes that were written and those that will be."""

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class ConvertedTensor:
    """One tensor: its schema name, what it was called, its dtype before and after, and the hash of its values."""

    name: str
    stored_name: str
    shape: tuple[int, ...]
    stored_dtype: str
    dtype: str
    sha256: str


@dataclass
class ConversionReport:
    """What a conversion did.

    Attributes:
        source, source_format, target, format: from where and what, to where and what.
        architecture: the head.
        tensors: what came from where.
        skipped: what did not come along, and why.
        notes: what else a reader should know.
        verified: whether the target was read back, every tensor bit-equal and a forward pass on NumPy equal.
        seconds: how long it took, in all.
    """

    source: str
    source_format: str
    target: str
    format: str
    architecture: str
    tensors: list[ConvertedTensor] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verified: bool = False
    seconds: float = 0.0

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All of it as JSON; also written to `path` if one is given."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False)
        if path is not None:
            write_atomically(Path(path), text.encode())
        return text

    def __str__(self) -> str:
        cast = {(tensor.stored_dtype, tensor.dtype) for tensor in self.tensors if tensor.stored_dtype != tensor.dtype}
        lines = [
            f"{self.source} ({self.source_format}) → {self.target} ({self.format}), {self.architecture}: "
            f"{len(self.tensors)} tensors in {self.seconds:.1f} s"
        ]
        lines += [f"cast: {before} to {after}" for before, after in sorted(cast)]
        reasons = Counter(line.rpartition(": ")[2] for line in self.skipped)
        for reason, count in reasons.items():
            example = next(line for line in self.skipped if line.endswith(reason))
            lines.append(f"skipped: {example}" + (f", and {count - 1} more" if count > 1 else ""))
        lines += [f"note: {line}" for line in self.notes]
        lines.append(
            "verified: read back, every tensor bit-equal and a forward pass on NumPy equal"
            if self.verified
            else "not verified"
        )
        return "\n  ".join(lines)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    format: str = "safetensors",  # noqa: A002
    *,
    task: str | None = None,
    dtype: str | None = None,
    verify: bool = True,
    overwrite: bool = False,
    revision: str | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Writes a checkpoint in another format, tensor by tensor, with its config, labels and tokenizer.

    Args:
        source: as in `bertx.load`; its format is found out.
        target: a folder, which appears when it is whole.
        format: "safetensors", "pytorch", "tensorflow" (tf_model.h5), "flax", "npz", "keras-hub", "tf1", "tf2", "orbax".
        task: a pipeline tag: only this head's tensors; None takes all that the checkpoint has of any head.
        dtype: what floating tensors are cast to; None keeps each as it is.
        verify: reads the target back: every tensor bit-equal, and a forward pass on NumPy from both, equal.
        overwrite: replaces a checkpoint that is there.
        revision: the branch, tag or commit on the hub.
        progress: told how many bytes are written.

    Returns:
        The report.

    Raises:
        CheckpointError: the source does not load, the format has no place for a tensor or cannot say what the config
            says, or the target read back is another; nothing is left then.
        FileExistsError: there is a target, and `overwrite` is False or it is no checkpoint.
        MissingExtraError: the library of a format is not installed.
        ValueError: an unknown format, task or dtype.
    """
    start = time.perf_counter()
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}, expected one of {', '.join(FORMATS)}")
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
    folder, target = resolve(source, revision=revision), Path(target)
    _check_target(folder, target, overwrite)
    checkpoint = open_merged(folder)
    beside = files_folder(folder)
    config = config_of(checkpoint)
    report, tensors = _chosen(checkpoint, config, task)
    report.target, report.format = str(target), format
    if dtype is not None:
        tensors = {name: tensor.cast(dtype_of(dtype)) for name, tensor in tensors.items()}
    written = {dtype_name(tensor.dtype) for tensor in tensors.values()}
    config = config.replace(
        architectures=(report.architecture,), dtype=written.pop() if len(written) == 1 else config.dtype
    )
    hashes: dict[str, str] = {}
    hashed = [_hashed(name, tensor, hashes, report.notes) for name, tensor in tensors.items()]
    if progress is not None:
        hashed = _counted(hashed, progress)
    with _folder_beside(target) as temporary:
        report.notes += FORMATS[format].write(temporary, config.to_dict(), hashed)
        report.notes += copy_tokenizer(beside, temporary, format == "keras-hub")
        copy_task_files(beside, temporary)
        stored = checkpoint.tensors
        report.tensors += [
            ConvertedTensor(
                name,
                tensor.name,
                tensor.shape,
                dtype_name(stored[tensor.name].dtype),
                dtype_name(tensor.dtype),
                hashes[name],
            )
            for name, tensor in tensors.items()
        ]
        if verify:
            expected = _outputs(report.architecture, config, tensors)
            del checkpoint, stored, tensors, hashed  # both checkpoints together would need the memory of both
            _verify(report, expected, temporary)
            report.verified = True
        _put(temporary, target, overwrite)
    report.seconds = time.perf_counter() - start
    return report


def _check_target(folder: Path, target: Path, overwrite: bool) -> None:
    if target.exists() and folder.resolve().is_relative_to(target.resolve()):
        raise FileExistsError(f"{target} is the source, or holds it: give another target")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{target} is there already: give overwrite=True to replace it, or another target")
    try:
        format_of(target)
    except (CheckpointError, OSError):
        raise FileExistsError(f"{target} is no checkpoint folder: it is not overwritten; give another target") from None


def _chosen(
    checkpoint: Checkpoint, config: BertConfig, task: str | None
) -> tuple[ConversionReport, dict[str, StoredTensor]]:
    """The tensors that come along, by schema name, and the beginning of the report."""
    loaded, _ = plan(checkpoint, None if task is None else architecture_of_task(task), config)
    loaded.raise_for_problems()
    if loaded.initialised:
        raise CheckpointError(f"{checkpoint.folder} has no {', '.join(loaded.initialised)}: there is no {task} in it")
    tensors = {schema_name(name): checkpoint.tensors[stored] for name, stored in loaded.used.items()}
    report = ConversionReport(str(checkpoint.folder), checkpoint.format, "", "", loaded.target)
    for stored in loaded.unused:
        name = checkpoint.tensors[stored].schema_name
        # A tied tensor that the config does not tie, and the other way round, is of this head, and told already.
        if task is None and not name.startswith("cls.predictions.decoder."):
            tensors[name] = checkpoint.tensors[stored]
        else:
            report.skipped.append(f"{stored}: of another head")
    report.skipped += [f"{stored}: a buffer, or stored twice" for stored in loaded.ignored]
    report.skipped += loaded.skipped
    report.notes += loaded.notes
    return report, tensors


def _hashed(name: str, tensor: StoredTensor, hashes: dict[str, str], notes: list[str]) -> StoredTensor:
    """The same tensor under its schema name; reading it notes the hash of its values, and what became infinite."""

    def read() -> np.ndarray:
        array = _contiguous(tensor.read())
        if name not in hashes and array.dtype == np.float16 and np.isinf(array).any():
            notes.append(f"{name} has values that are infinite in float16")
        hashes[name] = _sha256(array)
        return array

    return StoredTensor(tensor.name, name, tensor.shape, tensor.dtype, read)


def _contiguous(stored: np.ndarray) -> np.ndarray:
    """The array itself, or where it is transposed a copy in its stead."""
    array = contiguous(stored)
    if array is not stored:
        release(stored)
    return array


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(contiguous(array).data.cast("B") if array.size else b"").hexdigest()


def _counted(tensors: list[StoredTensor], progress: Progress) -> list[StoredTensor]:
    total = sum(tensor.nbytes for tensor in tensors)
    done = 0

    def counted(tensor: StoredTensor) -> StoredTensor:
        def read() -> np.ndarray:
            nonlocal done
            array = tensor.read()
            done += tensor.nbytes
            progress(done, total)
            return array

        return dataclasses.replace(tensor, read=read)

    return [counted(tensor) for tensor in tensors]


def _verify(report: ConversionReport, outputs: Mapping[str, np.ndarray], folder: Path) -> None:
    """Raises CheckpointError where the folder's tensors are not the report's, or its outputs not these."""
    written = open_checkpoint(folder)
    found = {tensor.schema_name: tensor for tensor in written.tensors.values()}
    problems = []
    for expected in report.tensors:
        tensor = found.get(expected.name)
        if tensor is None:
            problems.append(f"{expected.name} is not there")
        elif dtype_name(tensor.dtype) != expected.dtype or tuple(tensor.shape) != tuple(expected.shape):
            problems.append(f"{expected.name} is {dtype_name(tensor.dtype)} {list(tensor.shape)}")
        else:
            array = tensor.read()
            if _sha256(array) != expected.sha256:
                problems.append(f"{expected.name} has other values")
            release(array)
    if not problems:
        after = _outputs(report.architecture, config_of(written), found)
        problems = [f"the output {name} differs" for name in outputs if not _same(outputs[name], after[name])]
    if problems:
        raise CheckpointError("\n  ".join(["the target read back is not the source; it was removed:", *problems]))


def _same(before: np.ndarray, after: np.ndarray) -> bool:
    return np.array_equal(before, after, equal_nan=True)


def _outputs(architecture: str, config: BertConfig, tensors: Mapping[str, StoredTensor]) -> dict[str, np.ndarray]:
    """What the model says on NumPy of a small batch with padding."""
    from .backend import get_backend

    config = config.replace(is_decoder=config.is_decoder or architecture == "BertLMHeadModel")
    options = {}
    if architecture == "BertModel":
        options["add_pooling_layer"] = any(name.startswith("bert.pooler.") for name in tensors)
    backend = get_backend("numpy")
    read = []

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # A transposed array would be multiplied in another order, and rounded otherwise.
        read.append(_contiguous(tensors[schema_name(name)].read()))
        return read[-1]

    module = backend.build(backend.model_class(architecture), config, value_of, "float32", None, options)
    length = min(8, config.max_position_embeddings)
    ids = np.arange(2 * length).reshape(2, length) % config.vocab_size
    mask = np.ones_like(ids)
    mask[1, length // 2 :] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if architecture == "BertForMultipleChoice":
        inputs = {name: value[None] for name, value in inputs.items()}
    outputs = backend.forward(module, inputs, {"use_cache": False})
    for array in read:
        release(array)
    return outputs


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """A folder that becomes the target if the block puts it there; else it goes, with the parents made for it."""
    parent = target.absolute().parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=parent))
    mask = os.umask(0)
    os.umask(mask)
    temporary.chmod(0o777 & ~mask)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:
            with suppress(OSError):  # it holds the target, or what another has put there
                folder.rmdir()


def _put(temporary: Path, target: Path, overwrite: bool) -> None:
    is_there = target.is_dir() and any(target.iterdir())
    if is_there and not overwrite:
        raise FileExistsError(f"{target} has appeared meanwhile: it is not replaced")
    if not is_there:
        temporary.rename(target)  # an empty folder is replaced
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.absolute().parent))
    try:
        target.rename(old / target.name)
        temporary.rename(target)
    except BaseException:
        if (old / target.name).exists():
            (old / target.name).replace(target)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
