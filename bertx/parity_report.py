"""bertx.parity: every backend against the float64 oracle, on the user's own checkpoint."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertx_weights import write_atomically

from .backend import backend_versions, installed_backends
from .config import BertConfig
from .loading import load
from .model import Model

TEXTS = (
    "A happy person.",
    "Parity is measured, not promised: each backend runs the same batch and is compared, layer by layer.",
    "The second sentence of this pair follows the first one.",
    "It rained; nobody minded the 42 umbrellas left behind in Zürich, as they were all of them broken anyway.",
)
"""What runs where the caller gives no texts: of different length, so that there is padding."""

# The noise of float32 depends on the checkpoint: as max |Δ| / (epsilon · largest value), the spec in NumPy
# float32 is 4 to 40 from the oracle. So it is measured anew on each, and a backend may be MARGIN times as far as
# NumPy: seen are 2.5 for jax and tensorflow, and 5.2 for torch, as for transformers on torch (all-MiniLM, layer 2;
# its erf and LayerNorm round more). FLOOR counts where NumPy happens to be exact; CEILING is never passed.
MARGIN, FLOOR, CEILING = 8, 16, 256


@dataclass(frozen=True)
class ParityRow:
    """One output of one backend.

    Attributes:
        backend: its name.
        output: "embeddings", "layer 1", "attention 1", … or the hub's name of a head's output.
        difference: max |Δ| to the oracle over all batches.
        tolerance: what float32 may differ here.
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

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

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
        lines = [f"{self.source} as {self.architecture}: max |Δ| to the float64 oracle"]
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
) -> ParityReport:
    """Compares backends with the spec in float64, on every output, layer and attention of a checkpoint.

    The texts run as pairs and by themselves padded on the right, padded on the left, and the longest
    alone without padding; with the layers asked for and, since a backend may then take a faster path, without.

    Args:
        source: as in `bertx.load`.
        backends: the backends to compare; None takes all that are installed.
        task: as in `bertx.load`.
        texts: at least one; None takes a few of bertx's own. A checkpoint without a tokenizer runs random ids.

    Raises:
        CheckpointError, MissingExtraError, ValueError: as `bertx.load`.
    """
    names = list(backends or installed_backends())
    oracle = load(source, task, backend="numpy", dtype="float64")
    batches = list(_batches(oracle, TEXTS if texts is None else list(texts)))
    expected = _run(oracle, batches)
    noise = _differences(_run(oracle.to("numpy", dtype="float32"), batches), expected)
    rows = []
    for name in names:
        found = _differences(_run(load(source, task, backend=name), batches), expected)
        for output, difference in found.items():
            rows.append(ParityRow(name, output, difference, _tolerance(noise[output], _largest(expected, output))))
    versions = {name: backend_versions(name) for name in names}
    return ParityReport(os.fspath(source), oracle.architecture, tuple(rows), versions)


def output_names(config: BertConfig, architecture: str, add_pooling_layer: bool) -> list[str]:
    """The outputs that a report on this model has, known before anything runs."""
    layers = range(1, config.num_hidden_layers + 1)
    names = ["embeddings", *(f"layer {i}" for i in layers), *(f"attention {i}" for i in layers)]
    own = {
        "BertModel": ["pooler_output"] if add_pooling_layer else [],
        "BertForPreTraining": ["prediction_logits", "seq_relationship_logits"],
        "BertForQuestionAnswering": ["start_logits", "end_logits"],
    }.get(architecture, ["logits"])
    return [*names, *(["last_hidden_state"] if architecture == "BertModel" else []), *own]


def _tolerance(noise: float, largest: float) -> float:
    unit = float(np.finfo(np.float32).eps) * largest
    return min(max(MARGIN * noise, FLOOR * unit), CEILING * unit)


def _batches(model: Model, texts: list[str]) -> Iterator[dict[str, np.ndarray]]:
    if not texts:
        raise ValueError("parity needs at least one text")
    try:
        tokenizer = model.tokenizer
    except FileNotFoundError:
        made = _random_batches(model.config)
    else:
        length = min(tokenizer.model_max_length or 10**9, model.config.max_position_embeddings)
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
        # The texts stand for the choices of one question.
        yield {k: v[None] for k, v in batch.items()} if model.task == "multiple-choice" else batch


def _random_batches(config: BertConfig) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    shape = (4, min(16, config.max_position_embeddings))
    ids = generator.integers(0, config.vocab_size, shape)
    types = generator.integers(0, config.type_vocab_size, shape)
    right = np.arange(shape[1])[None] < generator.integers(1, shape[1] + 1, shape[0])[:, None]
    masks = [right.astype(np.int64), right[:, ::-1].astype(np.int64), np.ones(shape, np.int64)]
    return [{"input_ids": ids, "token_type_ids": types, "attention_mask": mask} for mask in masks]


def _run(model: Model, batches: list[dict[str, np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """output name → its values, one for each batch and way to run it."""
    found: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        for layers in (True, False):
            outputs = model.forward(**batch, output_hidden_states=layers, output_attentions=layers)
            for name, value in _named(outputs):
                found.setdefault(name, []).append(value)
    return found


def _named(outputs: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for i, value in enumerate(outputs.get("hidden_states", ())):
        yield f"layer {i}" if i else "embeddings", value
    for i, value in enumerate(outputs.get("attentions", ())):
        yield f"attention {i + 1}", value
    for name, value in outputs.items():
        if name not in ("hidden_states", "attentions"):
            yield name, value


def _differences(found: dict[str, list[np.ndarray]], expected: dict[str, list[np.ndarray]]) -> dict[str, float]:
    # np.max passes a NaN on, and a NaN is within no tolerance.
    return {
        name: float(np.max([np.abs(a - b).max() for a, b in zip(found[name], expected[name], strict=True)]))
        for name in expected
    }


def _largest(expected: dict[str, list[np.ndarray]], output: str) -> float:
    return max(float(np.abs(value).max()) for value in expected[output])
