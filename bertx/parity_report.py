"""bertx.parity: every backend against the float64 oracle, on the user's own checkpoint."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import CheckpointError, write_atomically

from .backend import backend_versions, check_device, check_dtype, get_backend, installed_backends, meant_dtype
from .checkpoints.load import load
from .configs.base import ModelConfig
from .exporting.runtime import EMBEDDING
from .model import Model
from .registry import class_in, head_of, is_base, model_of
from .tasks.sentence_transformers import SentenceSettings, read_embedding_settings

TEXTS = (
    "A happy person.",
    "Parity is measured, not promised: each backend runs the same batch and is compared, layer by layer.",
    "The second sentence of this pair follows the first one.",
    "It rained; nobody minded the 42 umbrellas left behind in Zürich, as they were all of them broken anyway.",
)
"""What runs where the caller gives no texts: of different length, so that there is padding."""

# The noise of float32 depends on the checkpoint. So it is measured anew on each, as max |Δ| / (epsilon · largest value)
# of the spec in NumPy float32 to the oracle, and a backend may be MARGIN times as far as that: PyTorch's erf and
# LayerNorm round more. FLOOR counts where NumPy happens to be exact; CEILING is never passed.
MARGIN, FLOOR, CEILING = 8, 16, 256

# A dtype of fewer digits is another model, a little: what counts is that its vectors point where the oracle's do.
LEAST_COSINE = 0.995
LEAST_RANK = 0.95
EXACT = ("float32", "float64")

Measure = Callable[[dict[str, list[np.ndarray]], dict[str, list[np.ndarray]]], dict[str, float]]
"""What is found and what is expected, output → an array of each batch; → the figures by their names."""


@dataclass(frozen=True)
class ParityRow:
    """One output of one backend.

    Attributes:
        backend: its name.
        output: "embeddings", "layer 1", "attention 1", … or the hub's name of a head's output; "sentence_embedding" of
            a sentence-transformers folder; of a dtype other than float32 also "order of the texts", or "first choice".
        difference: max |Δ| to the oracle over all batches; of another dtype 1 − the mean cosine of its vectors to the
            oracle's, 1 − the rank correlation of the texts' similarities, or the share of other first choices.
        tolerance: what it may be.
    """

    backend: str
    output: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is a number within the tolerance."""
        return self.difference <= self.tolerance


@dataclass(frozen=True)
class ParityReport:
    """What `bertx.parity` found."""

    source: str
    architecture: str
    rows: tuple[ParityRow, ...]
    versions: dict[str, dict[str, str]]
    dtype: str = "float32"

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    @property
    def measure(self) -> str:
        """What the figures are."""
        return "max |Δ| to the float64 oracle" if self.dtype in EXACT else f"{self.dtype}, 1 − cosine to the oracle"

    @property
    def backends(self) -> list[str]:
        """The backends that were compared."""
        return list(self.versions)

    def outputs(self) -> dict[str, dict[str, ParityRow]]:
        """output → backend → row."""
        table: dict[str, dict[str, ParityRow]] = {}
        for row in self.rows:
            table.setdefault(row.output, {})[row.backend] = row
        return table

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as JSON, also written to `path` if given."""
        rows = [dataclasses.asdict(row) | {"passed": row.passed} for row in self.rows]
        report = dataclasses.asdict(self) | {"passed": self.passed, "rows": rows}
        text = json.dumps(report, indent=2) + "\n"
        if path is not None:
            write_atomically(Path(path), text.encode())
        return text

    def __str__(self) -> str:
        width = max(len(row.output) for row in self.rows)
        lines = [f"{self.source} as {self.architecture}: {self.measure}"]
        lines.append(" ".join(["output".ljust(width), "tolerance".rjust(10), *(b.rjust(12) for b in self.backends)]))
        for output, row in self.outputs().items():
            tolerance = next(iter(row.values())).tolerance
            cells = [f"{row[b].difference:.1e}{' ' if row[b].passed else '!'}".rjust(12) for b in self.backends]
            lines.append(" ".join([output.ljust(width), f"{tolerance:.1e}".rjust(10), *cells]))
        failed = [row for row in self.rows if not row.passed]
        lines.append(f"{len(failed)} of {len(self.rows)} outside their tolerance (!)" if failed else "parity holds")
        return "\n".join(lines)


def parity(
    source: str | os.PathLike[str],
    backends: Sequence[str] | None = None,
    task: str | None = None,
    texts: Sequence[str] | None = None,
    dtype: str = "float32",
    device: str | None = None,
    revision: str | None = None,
) -> ParityReport:
    """Compares backends with the spec in float64, on every output, layer and attention of a checkpoint.

    The texts run as pairs and by themselves padded on the right, padded on the left, and the longest
    alone without padding; with the layers asked for and, since a backend may then take a faster path, without.

    Args:
        source: as in `bertx.load`.
        backends: the backends to compare, or one by its name; None takes all that are installed. "onnxruntime" compares
            the file beside the weights of the checkpoint, model.onnx or onnx/model.onnx, in the outputs that it gives,
            "openvino" its openvino_model.xml or openvino/openvino_model.xml.
        task: as in `bertx.load`.
        texts: at least one; None takes a few of bertx's own. A checkpoint without a tokenizer runs random ids.
        dtype: what the backends run in. Of "bfloat16", "float16" and "int8" the report says what they cost: how far
            vectors turn from the oracle's, and whether texts keep their order and logits their largest.
        device: what the backends run on, as they name it; without `backends`, those that see it. The oracle runs on
            the processor.
        revision: the branch, tag or commit on the hub.

    Raises:
        CheckpointError, MissingExtraError, ValueError: as `bertx.load`.
    """
    return _compared(source, _backends(backends, dtype, device), task, texts, dtype, device, revision)


def parity_of_one_batch(source: str | os.PathLike[str], backend: str, device: str | None = None) -> ParityReport:
    """`parity` of one backend in float32 on the first of the batches alone, pairs of texts padded on the right."""
    return _compared(source, _backends([backend], "float32", device), device=device, count=1)


def _compared(
    source: str | os.PathLike[str],
    names: Sequence[str],
    task: str | None = None,
    texts: Sequence[str] | None = None,
    dtype: str = "float32",
    device: str | None = None,
    revision: str | None = None,
    count: int | None = None,
) -> ParityReport:
    """What these backends differ by; `count`: in the first so many batches, None in all."""
    oracle = _oracle(source, task, revision, names)
    batches = list(itertools.islice(batches_of(oracle, list(TEXTS if texts is None else texts)), count))
    expected = _run(oracle, batches)
    measure, tolerances = judged_by(
        dtype, batches, expected, lambda: _run(oracle.to("numpy", dtype="float32"), batches)
    )
    rows = []
    for name in names:
        model = load(source, task, backend=name, dtype=dtype, device=device, revision=revision)
        made, wanted = _run(model, batches), expected
        if model.outputs is not None:  # a file is compared in what it gives
            wanted = {output: value for output, value in expected.items() if output in made}
        found = measure(made, wanted)
        rows += [ParityRow(name, output, value, tolerances[output]) for output, value in found.items()]
    versions = {name: backend_versions(name) for name in names}
    return ParityReport(os.fspath(source), oracle.architecture, tuple(rows), versions, dtype)


def judged_by(
    dtype: str,
    batches: Sequence[Mapping[str, np.ndarray]],
    expected: dict[str, list[np.ndarray]],
    in_float32: Callable[[], dict[str, list[np.ndarray]]],
) -> tuple[Measure, Mapping[str, float]]:
    """What outputs of a dtype are compared with the oracle's by, and how large each of its figures may be.

    in_float32: gives what NumPy makes of the batches in float32.
    """
    if dtype not in EXACT:
        costs: dict[str, float] = collections.defaultdict(lambda: 1 - LEAST_COSINE)
        costs |= dict.fromkeys(_RANKS, 1 - LEAST_RANK)
        return functools.partial(_disagreements, [batch["attention_mask"] for batch in batches]), costs
    noise = differences(in_float32(), expected)
    return differences, {output: _tolerance(noise[output], _largest(expected, output)) for output in expected}


def _oracle(source: str | os.PathLike[str], task: str | None, revision: str | None, names: Sequence[str]) -> Model:
    try:
        return load(source, task, backend="numpy", dtype="float64", revision=revision)
    except CheckpointError as error:
        files = [files[0] for name in names if (files := get_backend(name).files)]
        if not files:
            raise
        raise CheckpointError(
            f"{error}\n  the oracle is made of the weights that {' and '.join(files)} was exported from: put it "
            "beside them"
        ) from error


def _backends(names: Sequence[str] | None, dtype: str, device: str | None) -> list[str]:
    """The backends that are compared; all problems with them come before the work."""
    if isinstance(names, str):
        names = [names]
    if names:
        for name in names:
            check_dtype(get_backend(name), dtype)
            check_device(get_backend(name), device)
        return list(names)
    found = [name for name in installed_backends() if dtype in get_backend(name).dtypes]
    if not found:
        known = sorted({known for name in installed_backends() for known in get_backend(name).dtypes})
        raise ValueError(
            f"no installed backend runs dtype {dtype!r}, only {', '.join(known)}{meant_dtype(dtype, known)}"
        )
    seen = [name for name in found if device is None or device in get_backend(name).devices()]
    if not seen:
        devices = "; ".join(f"{name} sees {', '.join(get_backend(name).devices())}" for name in found)
        raise ValueError(f"no installed backend sees the device {device!r}: {devices}")
    return seen


def output_names(
    config: ModelConfig, architecture: str, add_pooling_layer: bool = True, embeds: bool = False
) -> list[str]:
    """The outputs that a report on this model has, known before anything runs.

    embeds: whether its folder says how sentence embeddings are made.
    """
    if parts := model_of(architecture).parts:
        of_parts = {part: getattr(config, part) for part in parts}
        names = [
            f"{part} {name}"
            for part, of_part in of_parts.items()
            for name in output_names(of_part, class_in(architecture, config, part))
            if name.startswith(("embeddings", "layer", "attention"))
        ]
        return [*names, *_cross_attentions(of_parts["decoder"]), "encoder_last_hidden_state", "logits"]
    layers = range(1, config.num_hidden_layers + 1)
    names = ["embeddings", *(f"layer {i}" for i in layers), *(f"attention {i}" for i in layers)]
    names += _cross_attentions(config)
    if is_base(architecture):
        names += ["last_hidden_state", *(["pooler_output"] if add_pooling_layer else [])]
        return [*names, *([EMBEDDING] if embeds else [])]
    return [*names, *head_of(architecture).logit_names]


def _cross_attentions(config: ModelConfig) -> list[str]:
    return [f"cross-attention {i + 1}" for i in range(config.num_hidden_layers if config.add_cross_attention else 0)]


def embedding_settings(model: Model) -> SentenceSettings:
    """What the folder of a model without a head says of sentence embeddings; without modules for any other.

    Raises:
        CheckpointError: modules or settings that bertx does not run.
    """
    return read_embedding_settings(model.folder if is_base(model.architecture) else None, model.config.hidden_size)


def _tolerance(noise: float, most: float) -> float:
    """What a float32 output may differ by, of which NumPy's differs by `noise`, and whose largest value is `most`."""
    unit = float(np.finfo(np.float32).eps) * most
    return min(max(MARGIN * noise, FLOOR * unit), CEILING * unit)


def batches_of(model: Model, texts: list[str]) -> Iterator[dict[str, np.ndarray]]:
    """What runs of these texts: pairs and single ones padded on the right, single ones on the left, the longest."""
    if not texts:
        raise ValueError("parity needs at least one text")
    try:
        tokenizer = model.tokenizer
    except FileNotFoundError:
        made = _random_batches(model.config)
    else:
        length = min(tokenizer.model_max_length or 10**9, model.config.max_sequence_length)
        second = [*texts[1:], texts[0]]
        options = {"padding": True, "truncation": True, "max_length": length, "return_tensors": "np"}
        options |= {"return_token_type_ids": True, "return_attention_mask": True}
        tokens = [
            tokenizer(texts, second, padding_side="right", **options),
            tokenizer(texts, padding_side="right", **options),
            tokenizer(texts, padding_side="left", **options),
            tokenizer(max(texts, key=len), **options),
        ]
        made = [
            dict(batch) | {"token_type_ids": batch["token_type_ids"] % model.config.type_vocab_size} for batch in tokens
        ]
    for batch in made:
        if head_of(model.architecture).scores == "targets":
            batch = batch | _random_targets(model.config, len(batch["input_ids"]))
        if model.config.add_cross_attention:
            batch = batch | _random_states(model.config, len(batch["input_ids"]))
        # The texts stand for the choices of one question.
        yield {k: v[None] for k, v in batch.items()} if model.task == "multiple-choice" else batch


def _random_batches(config: ModelConfig) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    shape = (4, min(16, config.max_sequence_length))
    ids = generator.integers(0, config.vocab_size, shape)
    types = generator.integers(0, config.type_vocab_size, shape)
    right = np.arange(shape[1])[None] < generator.integers(1, shape[1] + 1, shape[0])[:, None]
    masks = [right.astype(np.int64), right[:, ::-1].astype(np.int64), np.ones(shape, np.int64)]
    return [{"input_ids": ids, "token_type_ids": types, "attention_mask": mask} for mask in masks]


def _random_states(config: ModelConfig, count: int) -> dict[str, np.ndarray]:
    """What a decoder attends to: the states of an encoder, rows of different length padded on the right."""
    generator = np.random.default_rng(0)
    states = generator.normal(size=(count, 11, config.hidden_size)).astype(np.float32)
    shown = np.arange(11) < generator.integers(1, 12, (count, 1))
    return {"encoder_hidden_states": states, "encoder_attention_mask": shown.astype(np.int64)}


def _random_targets(config: Any, count: int) -> dict[str, np.ndarray]:
    """What a decoder has written: rows of random ids."""
    ids = np.random.default_rng(1).integers(0, config.decoder_vocab_size, (count, 7))
    return {"decoder_input_ids": ids[:, : config.decoder.max_sequence_length]}


def _run(model: Model, batches: list[dict[str, np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """output name → its values, one for each batch and way to run it."""
    found: dict[str, list[np.ndarray]] = {}
    settings = embedding_settings(model)
    pooled = model.outputs == (EMBEDDING,)
    for batch in batches:
        for layers in () if pooled else (True, False):
            asked = layers and model.outputs is None
            flags: dict[str, Any] = {"output_hidden_states": asked, "output_attentions": asked}
            outputs = model.forward(**batch, **flags)
            for name, value in _named(outputs):
                found.setdefault(name, []).append(value)
        if settings.modules:
            embed = model.embedder(settings.modules, settings.truncate_dim)
            # The first token stands for a prompt, which a Pooling may leave out.
            prompts = batch["attention_mask"].sum(1) > 1
            tokens = {name: value for name, value in batch.items() if not name.startswith("encoder_")}
            found.setdefault(EMBEDDING, []).append(embed(**tokens, prompt_lengths=prompts))
    return found


def _named(outputs: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for part in ("", "encoder_", "decoder_"):
        of = part.replace("_", " ")
        for i, value in enumerate(outputs.get(f"{part}hidden_states", ())):
            yield f"{of}layer {i}" if i else f"{of}embeddings", value
        for i, value in enumerate(outputs.get(f"{part}attentions", ())):
            yield f"{of}attention {i + 1}", value
    for i, value in enumerate(outputs.get("cross_attentions", ())):
        yield f"cross-attention {i + 1}", value
    for name, value in outputs.items():
        if not isinstance(value, tuple):
            yield name, value


def differences(found: dict[str, list[np.ndarray]], expected: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Output → max |Δ| over all batches."""
    # np.max passes a NaN on, and a NaN is within no tolerance.
    return {
        name: float(np.max([_largest_difference(a, b) for a, b in zip(found[name], expected[name], strict=True)]))
        for name in expected
    }


def _largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    return np.abs(a - b).max() if a.shape == b.shape else np.inf


def _disagreements(
    masks: list[np.ndarray], found: dict[str, list[np.ndarray]], expected: dict[str, list[np.ndarray]]
) -> dict[str, float]:
    """1 − the mean cosine of each output's vectors, where there is no padding; and what is lost of order (_RANKS)."""
    made, chosen = {}, []
    for name in expected:
        times = len(expected[name]) // len(masks)  # a batch runs with all layers and without; these come once
        counted = [
            (_counted(a, mask), _counted(b, mask))
            for a, b, mask in zip(found[name], expected[name], (m for m in masks for _ in range(times)), strict=True)
        ]
        made[name] = float(np.concatenate([1 - _cosines(a, b).ravel() for a, b in counted]).mean())
        if name.endswith("logits"):
            chosen += [(a.argmax(-1) != b.argmax(-1)).ravel() for a, b in counted]
    if {"last_hidden_state", EMBEDDING} & {*expected}:
        similar = []
        for outputs in (found, expected):
            if "last_hidden_state" in expected:  # their sum: the cosine takes the length out
                vectors = (outputs["last_hidden_state"][0] * masks[0][..., None]).sum(1)
            else:
                vectors = outputs[EMBEDDING][0]
            similar.append(_cosines(vectors[:, None], vectors[None])[np.triu_indices(len(vectors), 1)])
        ranks: Any = np.corrcoef([np.argsort(np.argsort(values)) for values in similar])
        made[_RANKS[0]] = float(1 - ranks[0, 1])
    else:
        made[_RANKS[1]] = float(np.concatenate(chosen).mean())
    return made


def _counted(value: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """[B, T, F] or [B, N, T, F] without the places that are padding; others as they are."""
    by_place = np.moveaxis(value, 1, 2) if value.ndim == 4 else value
    return by_place[mask != 0] if by_place.ndim > 2 and by_place.shape[:2] == mask.shape else value


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return (a * b).sum(-1) / np.maximum(lengths, 1e-30)


_RANKS = ("order of the texts", "first choice")


def _largest(expected: dict[str, list[np.ndarray]], output: str) -> float:
    """The largest absolute value of an output in all batches."""
    return max(float(np.abs(value).max()) for value in expected[output])
