"""What a checkpoint is, without building it: config, head, parameters, dtypes, files, and what loads."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bertx_weights import LoadReport, dtype_name, write_atomically

from ..configs.base import ModelConfig
from ..hub.bases import files_folder
from ..hub.sources import resolve
from ..registry import prefix_of, task_of_architecture
from ..tokenizers.names import TOKENIZER_CONFIG, VOCABULARIES
from .adapters import open_merged
from .load import config_of, plan


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes:
        source: the folder.
        format, files: how the weights are stored; file → bytes.
        architecture, task: the head that was looked at, the checkpoint's own unless another was asked for.
        config: its config.
        tensors, parameters: how many of each are stored.
        parts: the same parameters by block, the layers together.
        dtypes: dtype → how many tensors.
        tokenizer: its files; none where the checkpoint has none.
        report: what a load would use, leave out, or fail for.
    """

    source: str
    format: str
    files: dict[str, int]
    architecture: str
    config: ModelConfig
    tensors: int
    parameters: int
    parts: dict[str, int]
    dtypes: dict[str, int]
    tokenizer: list[str]
    report: LoadReport

    @property
    def task(self) -> str:
        """The pipeline tag of the head."""
        return task_of_architecture(self.architecture)

    @property
    def loads(self) -> bool:
        """Whether `bertx.load` would take it."""
        return not self.report.problems

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All of it as JSON; also written to `path` if one is given."""
        values = dataclasses.asdict(self) | {"task": self.task, "loads": self.loads}
        values |= {"config": json.loads(self.config.to_json_string())}
        text = json.dumps(values, indent=2, ensure_ascii=False)
        if path is not None:
            write_atomically(Path(path), text.encode())
        return text

    def __str__(self) -> str:
        config = self.config
        sizes = (
            f"{config.num_hidden_layers} layers, hidden {config.hidden_size}, {config.num_attention_heads} heads, "
            f"feed-forward {config.intermediate_size}, vocabulary {config.vocab_size}, "
            f"positions {config.max_position_embeddings} ({config.position_embedding_type}), {config.hidden_act}"
        )
        lines = {
            "source": self.source,
            "head": f"{self.architecture} ({self.task})",
            "config": sizes,
            "labels": ", ".join((config.id2label or {}).values()) if "classification" in self.task else "",
            "parameters": f"{self.parameters:,} in {self.tensors} tensors",
            "": ", ".join(f"{part} {count:,}" for part, count in self.parts.items()),
            "dtypes": ", ".join(f"{dtype} ({count} tensors)" for dtype, count in self.dtypes.items()),
            "format": f"{self.format}: " + ", ".join(f"{name} ({size:,} bytes)" for name, size in self.files.items()),
            "tokenizer": ", ".join(self.tokenizer) or "none",
            "loads": "yes" if self.loads else "no",
        }
        shown = [f"{name:<11}{text}" for name, text in lines.items() if text]
        return "\n".join([*shown, f"{'report':<11}{self.report}"])


def inspect(source: str | os.PathLike[str], task: str | None = None, revision: str | None = None) -> Inspection:
    """Reads a checkpoint's config and the names, shapes and dtypes of its tensors; `source` as in `bertx.load`.

    Raises:
        CheckpointError: there is no such checkpoint, or its files are broken; one that only does not fit is reported.
        ValueError: an unknown task, or a config that cannot be.
    """
    folder = resolve(source, revision=revision)
    checkpoint = open_merged(folder)
    beside = files_folder(folder)
    config = config_of(checkpoint)
    report, _ = plan(checkpoint, task, config)
    stored = checkpoint.tensors
    parts: Counter[str] = Counter()
    for tensor in stored.values():
        parts[_part(tensor.schema_name, prefix_of(report.target))] += tensor.size
    return Inspection(
        source=str(folder),
        format=checkpoint.format,
        files={
            str(path.relative_to(folder) if path.is_relative_to(folder) else path): path.stat().st_size
            for path in checkpoint.files
        },
        architecture=report.target,
        config=config,
        tensors=len(stored),
        parameters=sum(tensor.size for tensor in stored.values()),
        parts=dict(parts),
        dtypes=dict(Counter(dtype_name(tensor.dtype) for tensor in stored.values())),
        tokenizer=[name for name in (*VOCABULARIES, TOKENIZER_CONFIG) if (beside / name).is_file()],
        report=report,
    )


def _part(name: str, prefix: str) -> str:
    parts = name.removeprefix(prefix).split(".")
    return ".".join(parts[:1] if name.startswith(prefix) else parts[:2])
