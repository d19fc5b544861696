"""What a run leaves to read beside the model: metrics.jsonl, TensorBoard's event files, its curves, a model card."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertx_weights import write_atomically
from bertx_weights.files import atomic_path

from ..model import Model
from ..parity_report import ParityReport
from ..printable import printable
from .recipe import Recipe

if TYPE_CHECKING:
    from .run import Watch

METRICS, CURVES, CARD = "metrics.jsonl", "curves.png", "README.md"
_log = logging.getLogger("bertx")
_ALWAYS = ("bertx", "numpy", "tokenizers")


# --- while it runs ----------------------------------------------------------------------------------


class Lines:
    """The numbers of updates and evaluations, written as they come: to metrics.jsonl, and for TensorBoard.

    Event files are written where tensorboardX is installed; those of steps that a killed process wrote and that are
    done once more count no longer.
    """

    def __init__(self, path: Path | None, events: Path | None, step: int):
        """Without a path nothing is written."""
        self._path, self._events, self._step = path, events, step
        self._writer: Any = None

    def __enter__(self) -> Lines:
        self._file = open(self._path or os.devnull, "a", encoding="utf-8")
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
        if self._writer is not None:
            self._writer.close()

    def write(self, values: Mapping[str, Any]) -> None:
        """A line: "step", and numbers by their names."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        if self._writer is None and self._events and (library := _library("tensorboardX")) is not None:
            purge = self._step + 1 if self._step else None
            # the library's names tell seconds: a run resumed within one would write over its own earlier file
            self._writer = library.SummaryWriter(
                str(self._events), purge_step=purge, filename_suffix=f".{time.time_ns()}"
            )
        if self._writer is not None:
            for name, value in values.items():
                if name != "step" and value is not None:
                    kind = "evaluation" if name.startswith("eval_") else "training"
                    self._writer.add_scalar(f"{kind}/{name.removeprefix('eval_')}", value, values["step"])


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a metrics.jsonl."""
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        yield json.loads(line)


# --- when it has ended ------------------------------------------------------------------------------


def draw_curves(out: Path) -> None:
    """curves.png: the losses, and beside them what else was evaluated; without matplotlib a line in the log."""
    found = _library("matplotlib.figure")
    if found is None:
        _log.warning("no %s was drawn: it needs matplotlib: pip install 'bertx[train]'", CURVES)
        return
    lines = list(read_lines(out / METRICS))
    names = dict.fromkeys(name for line in lines for name in line if name.startswith("eval_") and name != "eval_loss")
    panels: list[tuple[str, Sequence[str]]] = [("loss", ("loss", "eval_loss"))]
    panels += [("evaluation", tuple(names))] if names else []
    figure = found.Figure(figsize=(5.5 * len(panels), 4), layout="constrained")
    for axes, (title, shown) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in shown:
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, marker="" if name == "loss" else "o", markersize=3)
        axes.set(title=title, xlabel="update")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    with atomic_path(out / CURVES) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def write_card(
    out: Path,
    model: Model,
    source: str | os.PathLike[str],
    data: Mapping[str, tuple[Any, Sequence[Any]]],
    recipe: Recipe,
    steps: int,
    watch: Watch,
    parity: ParityReport,
) -> None:
    """README.md: data, recipe, figures, parity and versions, and no text of the data.

    `data`: "training" or "evaluation" → (what was given, its rows). `parity`: of the model in `out`.
    """
    name = printable(out.resolve().name)
    header = {
        "library_name": "bertx",
        "pipeline_tag": model.task,
        "tags": [model.config.model_type, model.backend],
    }
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in header.items()),
        "---",
        "",
        f"# {name}",
        "",
        f"A {model.architecture} for {model.task}, trained from `{_name_of(source)}` with bertx on {model.backend}.",
        "",
        "```python",
        "import bertx",
        "",
        f"model = bertx.load({name!r})",
        "```",
        "",
        "## Data",
        "",
        *_table(("", "file", "rows"), ((of, _name_of(given), f"{len(rows):,}") for of, (given, rows) in data.items())),
        "",
        "## Recipe",
        "",
        f"{steps:,} updates of AdamW.",
        "",
        *_table(("field", "value"), ((field, value) for field, value in recipe.to_dict().items() if value is not None)),
        "",
        "## Figures",
        "",
        *_figures(out, watch),
        "",
        "## Parity",
        "",
        *_parity(name, model, parity),
        "",
        "## Versions",
        "",
        *_table(("library", "version"), _versions(model.backend)),
    ]
    write_atomically(out / CARD, ("\n".join(lines) + "\n").encode())


def _figures(out: Path, watch: Watch) -> Iterator[str]:
    lines = list(read_lines(out / METRICS))
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    evaluations = [line for line in lines if "loss" not in line]
    if losses:
        yield f"The loss of the first update was {losses[0][1]:.4g}, that of the last {losses[-1][1]:.4g}."
    if watch.best is not None:
        yield f"The weights are those after update {watch.best.step:,}, where {watch.metric} was best."
    if evaluations:
        names = [name for name in evaluations[-1] if name != "step"]
        yield ""
        yield from _table(
            ("update", *(name.removeprefix("eval_") for name in names)),
            ((line["step"], *(_number(line.get(name)) for name in names)) for line in evaluations),
        )
    if (out / CURVES).exists():
        yield ""
        yield f"![The curves of the losses and of the evaluations]({CURVES})"


def _parity(name: str, model: Model, report: ParityReport) -> Iterator[str]:
    failed = [row for row in report.rows if not row.passed]
    yield (
        f"These weights on {model.backend} in float32 beside bertx's oracle, the same model on NumPy in float64, on a "
        "padded batch of pairs of texts:"
    )
    yield ""
    # hidden states and attention have their layer's number, and are not what the model is used for
    shown = [row for row in report.rows if row in failed or not re.search(r"\d$|embeddings$", row.output)]
    yield from _table(
        ("output", "max |Δ|", "tolerance"),
        ((row.output, f"{row.difference:.1e}", f"{row.tolerance:.1e}") for row in shown),
    )
    yield ""
    judged = f"{len(failed)} are outside" if failed else "all are within"
    yield f"Of {len(report.rows)} outputs, hidden states and attention among them, {judged} their tolerance."
    yield f"`bertx parity {shlex.quote(name)} --backend {model.backend}` compares each of them, on more batches."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(header: Sequence[str], rows: Any) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _name_of(given: Any) -> str:
    """What was given: the last part of a path, else its words."""
    if not isinstance(given, (str, os.PathLike)):
        return "rows in memory"
    path = Path(given)
    return printable(path.name if path.exists() else os.fspath(given))


def _versions(backend: str) -> Iterator[tuple[str, str]]:
    """Of Python, of bertx, and of the libraries that the backend's extra names."""
    yield "Python", platform.python_version()
    try:
        wanted = importlib.metadata.requires("bertx") or []
    except importlib.metadata.PackageNotFoundError:  # a source tree that is not installed
        wanted = []
    extra = re.compile(rf"""([\w.-]+).*extra == ['"]{re.escape(backend)}['"]""")
    for name in dict.fromkeys([*_ALWAYS, *(found[1] for each in wanted if (found := extra.match(each)))]):
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
