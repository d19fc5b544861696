"""bertx.convert: a checkpoint in another format, and the proof that it is the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bertx_weights import (
    FORMATS,
    Checkpoint,
    CheckpointError,
    StoredTensor,
    check_family,
    contiguous,
    dtype_name,
    dtype_of,
    head_of_decoder,
    open_checkpoint,
    release,
    schema_name,
    write_atomically,
)
from bertx_weights.naming.rules import HUBS_OWN

from ..backend import get_backend, meant_dtype
from ..configs.base import ModelConfig
from ..hub.bases import base_folder, files_folder
from ..hub.sources import resolve
from ..registry import head_of, is_base, names_of, options_of, prefix_of, shared_names
from ..tasks.files import copy_task_files
from ..tasks.keras_embedders import write_embedder
from ..tasks.sentence_transformers import settings_folder
from ..tokenizers.files import copy_tokenizer
from .adapters import open_merged
from .files import REPORT
from .load import config_of, plan
from .replacing import new_folder

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
        files: the files that are not weights, by their path in the target: the SHA-256 of each.
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
    files: dict[str, str] = field(default_factory=dict)
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
        target: a folder outside of the source, which appears when it is whole, with the report in it as
            conversion_report.json.
        format: "safetensors", "pytorch", "tensorflow" (tf_model.h5), "flax", "npz", "keras-hub", "tf1", "tf2", "orbax".
        task: a pipeline tag: only this head's tensors; None takes all that the checkpoint has of any head.
        dtype: what floating tensors are cast to; None keeps each as it is.
        verify: reads the target back: every tensor bit-equal, and a forward pass on NumPy from both, equal.
        overwrite: replaces a checkpoint that is there, and nothing else: a folder that holds any other file is refused.
        revision: the branch, tag or commit on the hub.
        progress: called with how many bytes were written.

    Returns:
        The report.

    Raises:
        CheckpointError: the source does not load, the format has no place for a tensor or cannot say what the config
            says, or the target read back is another; nothing is left then.
        FileExistsError: there is a target, and `overwrite` is False or it holds more than a checkpoint; or another job
            writes it.
        MissingExtraError: the library of a format is not installed.
        OSError: the target cannot be written; the error names it.
        ValueError: an unknown format, task or dtype; a target inside the source; a revision of a local source.
    """
    start = time.perf_counter()
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}, expected one of {', '.join(FORMATS)}")
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}{meant_dtype(dtype, DTYPES)}")
    folder, target = resolve(source, revision=revision), Path(target)
    for read in {folder, base_folder(folder)}:
        _check_apart(settings_folder(read) or read, target)
    with new_folder(target, overwrite) as temporary:
        report = _write(folder, temporary, target, format, task, dtype, verify, progress)
        report.seconds = time.perf_counter() - start
        report.to_json(temporary / REPORT)
    return report


def _write(
    folder: Path,
    temporary: Path,
    target: Path,
    form: str,
    task: str | None,
    dtype: str | None,
    verify: bool,
    progress: Progress | None,
) -> ConversionReport:
    """Writes what `target` will be to a temporary folder, and reads it back."""
    checkpoint = open_merged(folder)
    beside = files_folder(folder)
    config = config_of(checkpoint)
    report, tensors = _chosen(checkpoint, config, task)
    report.target, report.format = str(target), form
    if dtype is not None:
        tensors = {name: tensor.cast(dtype_of(dtype)) for name, tensor in tensors.items()}
    shared = shared_names(report.architecture, config)
    other = {shared[name]: tensor for name, tensor in tensors.items() if name in shared}
    if other:
        # The classes of TensorFlow and Flax share nothing between an encoder and a decoder.
        kept = tensors if form not in HUBS_OWN else {name: one for name, one in tensors.items() if name not in shared}
        tensors = {**kept, **other}
    dtypes = {dtype_name(tensor.dtype) for tensor in tensors.values()}
    config = config.replace(
        architectures=(report.architecture,), dtype=dtypes.pop() if len(dtypes) == 1 else config.dtype
    )
    names = names_of(config.to_dict())
    check_family(form, names, target)
    hashes: dict[str, str] = {}
    hashed = [_hashed(name, tensor, hashes, report.notes) for name, tensor in tensors.items()]
    if progress is not None:
        hashed = _counted(hashed, progress)
    report.notes += FORMATS[form].write(temporary, config.to_dict(), hashed, names)
    report.notes += copy_tokenizer(beside, temporary, form == "keras-hub")
    copy_task_files(beside, temporary)
    if form == "keras-hub" and is_base(report.architecture):
        write_embedder(beside, temporary)
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
    weights = FORMATS[form].files(temporary)
    report.files = {
        path.relative_to(temporary).as_posix(): hash_of_file(path)
        for path in sorted(temporary.rglob("*"))
        if path.is_file() and path not in weights
    }
    if verify:
        expected = _outputs(report.architecture, config, tensors)
        del checkpoint, stored, tensors, hashed  # both checkpoints together would need the memory of both
        _verify(report, expected, temporary)
        report.verified = True
    return report


def _check_apart(folder: Path, target: Path) -> None:
    """Raises where the target lies in the source, which might no longer load then, or the source in the target."""
    inner, outer = target.resolve(), folder.resolve()
    if inner.exists() and outer.is_relative_to(inner):
        raise FileExistsError(f"{target} is the source, or holds it: give another target")
    if inner.is_relative_to(outer):
        raise ValueError(f"{target} lies in the source {folder}: give a target outside of it")


def _chosen(
    checkpoint: Checkpoint, config: ModelConfig, task: str | None
) -> tuple[ConversionReport, dict[str, StoredTensor]]:
    """The tensors that come along, by schema name, and the beginning of the report."""
    loaded, _ = plan(checkpoint, task, config)
    loaded.raise_for_problems()
    if loaded.initialised:
        raise CheckpointError(f"{checkpoint.folder} has no {', '.join(loaded.initialised)}: there is no {task} in it")
    tensors = {schema_name(name, checkpoint.prefix): checkpoint.tensors[stored] for name, stored in loaded.used.items()}
    report = ConversionReport(str(checkpoint.folder), checkpoint.format, "", "", loaded.target)
    for stored in loaded.unused:
        name = checkpoint.tensors[stored].schema_name
        # A tied tensor that the config does not tie, and the other way round, is of this head, and told already.
        if task is None and head_of_decoder(name) is None:
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
    written = open_checkpoint(folder, names_of)
    problems = differing_tensors(written, report.tensors)
    if not problems:
        found = {tensor.schema_name: tensor for tensor in written.tensors.values()}
        after = _outputs(report.architecture, config_of(written), found)
        problems = [f"the output {name} differs" for name in outputs if not _same(outputs[name], after[name])]
    if problems:
        raise CheckpointError("\n  ".join(["the target read back is not the source; it was removed:", *problems]))


def differing_tensors(checkpoint: Checkpoint, expected: Iterable[ConvertedTensor]) -> list[str]:
    """What of a checkpoint's tensors is not as it was converted."""
    found = {tensor.schema_name: tensor for tensor in checkpoint.tensors.values()}
    problems = []
    for converted in expected:
        tensor = found.get(converted.name)
        if tensor is None:
            problems.append(f"{converted.name} is not there")
        elif dtype_name(tensor.dtype) != converted.dtype or tuple(tensor.shape) != tuple(converted.shape):
            problems.append(f"{converted.name} is {dtype_name(tensor.dtype)} {list(tensor.shape)}")
        else:
            array = tensor.read()
            if _sha256(array) != converted.sha256:
                problems.append(f"{converted.name} has other values")
            release(array)
    return problems


def hash_of_file(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(before: np.ndarray, after: np.ndarray) -> bool:
    return np.array_equal(before, after, equal_nan=True)


def _outputs(architecture: str, config: ModelConfig, tensors: Mapping[str, StoredTensor]) -> dict[str, np.ndarray]:
    """What the model says on NumPy of a small batch with padding."""
    if head_of(architecture).task == "text-generation":
        config = config.replace(is_decoder=True)
    options, prefix = options_of(architecture, tensors), prefix_of(architecture)
    shared = shared_names(architecture, config)
    backend = get_backend("numpy")
    read = []

    def value_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
        # A transposed array would be multiplied in another order, and rounded otherwise.
        own = schema_name(name, prefix)
        read.append(_contiguous(tensors[own if own in tensors else shared[own]].read()))
        return read[-1]

    module = backend.build(backend.model_class(architecture), config, value_of, "float32", None, options)
    length = min(8, config.max_sequence_length)
    ids = np.arange(2 * length).reshape(2, length) % config.vocab_size
    mask = np.ones_like(ids)
    mask[1, length // 2 :] = 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if head_of(architecture).scores == "targets":
        inputs["decoder_input_ids"] = np.arange(2, 6).reshape(2, 2) % config.decoder_vocab_size
    if head_of(architecture).scores == "choices":
        inputs = {name: value[None] for name, value in inputs.items()}
    outputs = backend.forward(module, inputs, {"use_cache": False})
    for array in read:
        release(array)
    return outputs
