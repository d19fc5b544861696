"""Which stored tensor is which row of the schema, and one report of all that does not fit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .checkpoint import StoredTensor
from .dtypes import as_float, dtype_name, is_float
from .errors import CheckpointError
from .naming import wrappers
from .schema import BERT, Row, head_of_decoder, schema_name

_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
_MOST_HINTS = 50
_MOST_PARTS = 8  # of an unread prefix


@dataclass
class LoadReport:
    """What a load found. The lists of `problems` make it fail; the others are for information.

    Attributes:
        source: the checkpoint.
        target: the class it was loaded into.
        used: schema name → stored name.
        missing, unexpected, wrong_shape, wrong_dtype, conflicting: the problems, a line each.
        initialised: schema names that the checkpoint lacks and that were drawn at random instead.
        resized: those of them that are stored in another shape, a line each.
        unused: stored tensors of another head.
        ignored: stored buffers that a model does not need, and tensors that are stored twice.
        skipped: what is stored and is no weight, such as an optimizer's slots, and why.
        notes: choices that were made between stored variants.
        unread_prefixes: what stands before names of the model in unexpected tensors.
    """

    source: str
    target: str
    used: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_shape: list[str] = field(default_factory=list)
    wrong_dtype: list[str] = field(default_factory=list)
    conflicting: list[str] = field(default_factory=list)
    initialised: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread_prefixes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Every reason not to use the checkpoint, a line each."""
        kinds = ("missing", "unexpected", "wrong_shape", "wrong_dtype", "conflicting")
        return [f"{kind.replace('_', ' ')}: {line}" for kind in kinds for line in getattr(self, kind)]

    def __str__(self) -> str:
        lines = [f"{self.source} → {self.target}: {len(self.used)} tensors loaded"]
        lines += self.problems
        for kind in ("initialised", "resized", "unused", "ignored", "skipped", "notes"):
            lines += [f"{kind}: {line}" for line in getattr(self, kind)]
        return "\n  ".join(lines)

    def raise_for_problems(self) -> None:
        """Raises one CheckpointError that lists all problems, if there are any."""
        if self.problems:
            line = f"{self.source} does not fit {self.target}, as its config describes it"
            if self.unread_prefixes:
                prefixes = ", ".join(f"{prefix:.80}" for prefix in self.unread_prefixes[:9])
                line += (
                    f" (names of the model with {prefixes} before them: bertx leaves out {wrappers.READ}; rename the "
                    "tensors without other prefixes)"
                )
            elif self.unexpected and not self.initialised:
                line += " (the tensors of a head that bertx does not know are left out where task= names the head)"
            raise CheckpointError("\n  ".join([line, *self.problems]))


def match(
    rows: Iterable[Row],
    stored: Mapping[str, StoredTensor],
    *,
    source: str,
    target: str,
    known_names: Callable[[], Collection[str]],
    may_initialise: Callable[[str], bool],
    may_leave: Callable[[str], bool] = lambda name: False,
    may_resize: Callable[[str], bool] = lambda name: False,
    prefix: str = BERT,
) -> LoadReport:
    """Finds each row's stored tensor under any of its published names.

    `known_names` gives the schema names of all heads, where one is needed: what is stored and not wanted is `unused`
    if it is one of them, or `may_leave` allows, and `unexpected` if not. A missing row is `initialised` where
    `may_initialise` allows, one that is stored in another shape where `may_resize` does.
    """
    rows = list(rows)
    report = LoadReport(source, target)
    by_name = _by_schema_name(stored, report)
    wanted = {schema_name(row.name, prefix) for row in rows}
    spare = {name: stored_name for name, stored_name in by_name.items() if name not in wanted}
    for name, stored_name in by_name.items():
        if name.removeprefix(prefix) in _BUFFERS:
            report.ignored.append(stored_name)
        elif name not in wanted and (name in known_names() or may_leave(name)):
            report.unused.append(stored_name)
        elif name not in wanted:
            hinted = len(report.unexpected) < _MOST_HINTS
            report.unexpected.append(_describe_unexpected(stored_name, name, stored, known_names(), hinted))
            unread = _unread_prefix(name, known_names(), prefix)
            if unread and unread not in report.unread_prefixes:
                report.unread_prefixes.append(unread)
    groups: dict[str, list[Row]] = {row.name: [row] for row in rows if row.tied_to is None}
    for row in rows:
        if row.tied_to is not None:
            groups[row.tied_to].append(row)
    for group in groups.values():
        _match_row(group, by_name, spare, stored, report, may_initialise, may_resize, prefix)
    for lines in (report.missing, report.unexpected, report.wrong_shape, report.wrong_dtype, report.unused):
        lines.sort()
    return report


def _by_schema_name(stored: Mapping[str, StoredTensor], report: LoadReport) -> dict[str, str]:
    by_name: dict[str, str] = {}
    for stored_name in sorted(stored):
        name = stored[stored_name].schema_name
        if name not in by_name:
            by_name[name] = stored_name
        elif stored[stored_name].shape == stored[by_name[name]].shape and _equal(
            stored[stored_name], stored[by_name[name]]
        ):
            report.ignored.append(f"{stored_name}, the same as {by_name[name]}")
        else:
            report.conflicting.append(f"{by_name[name]} and {stored_name} both mean {name}")
    return by_name


def _match_row(
    group: list[Row],
    by_name: Mapping[str, str],
    spare: Mapping[str, str],
    stored: Mapping[str, StoredTensor],
    report: LoadReport,
    may_initialise: Callable[[str], bool],
    may_resize: Callable[[str], bool],
    prefix: str,
) -> None:
    """Matches a row and the rows tied to it, of which the checkpoint may hold one or several."""
    row = group[0]
    names = [by_name[name] for member in group if (name := schema_name(member.name, prefix)) in by_name]
    if not names:
        if may_initialise(row.name):
            report.initialised.append(row.name)
        else:
            hint = _nearest(schema_name(row.name, prefix), spare) if len(report.missing) < _MOST_HINTS else ""
            report.missing.append(f"{row.name}, expected {list(row.shape)}{hint}")
        return
    if may_resize(row.name) and all(stored[name].shape != row.shape for name in names):
        report.initialised.append(row.name)
        report.resized += [f"{name}, expected {list(row.shape)}, found {list(stored[name].shape)}" for name in names]
        return
    fitting = True
    for name in names:
        tensor = stored[name]
        if tensor.shape != row.shape:
            fitting = False
            report.wrong_shape.append(f"{name}, expected {list(row.shape)}, found {list(tensor.shape)}")
        if not is_float(tensor.dtype):
            fitting = False
            report.wrong_dtype.append(f"{name}, expected a floating dtype, found {dtype_name(tensor.dtype)}")
    chosen = names[0]
    if fitting and len(names) > 1 and not _equal(stored[names[0]], stored[names[1]]):
        if group[0].name == f"{head_of_decoder(group[1].name)}.bias":
            # transformers 5 computes with the decoder's own bias where the word embeddings are not tied.
            chosen = names[1]
            report.notes.append(f"{names[0]} and {chosen} differ: {chosen} is used, as in transformers")
        else:
            report.conflicting.append(
                f"{names[0]} and {names[1]} differ, but the config ties them: set "
                f"{'tie_word_embeddings' if head_of_decoder(group[1].name) else 'tie_encoder_decoder'} to false"
            )
    report.used[row.name] = chosen


def _describe_unexpected(
    stored_name: str, name: str, stored: Mapping[str, StoredTensor], known: Collection[str], hinted: bool
) -> str:
    tensor = stored[stored_name]
    nearest = difflib.get_close_matches(name, known, n=1) if hinted and len(name) < 200 else []
    hint = f", nearest schema name {nearest[0]}" if nearest else ""
    return f"{stored_name:.200} {list(tensor.shape)} {dtype_name(tensor.dtype)}{hint}"


def _unread_prefix(name: str, known: Collection[str], prefix: str) -> str | None:
    """What stands before a name of the model, if that is what this is: "student." of "student.bert.pooler.…"."""
    parts = name.split(".")[: _MOST_PARTS + 1]
    for i in range(1, len(parts)):
        rest = name.split(".", i)[i]
        if rest in known or f"{prefix}{rest}" in known:
            return name.removesuffix(rest)
    return None


def _nearest(name: str, spare: Mapping[str, str]) -> str:
    # The search takes long where there are many strange names: a file may be made of them.
    nearest = difflib.get_close_matches(name, spare, n=1) if len(spare) <= _MOST_HINTS else []
    return f", nearest in the checkpoint {spare[nearest[0]]}" if nearest else ""


def _equal(a: StoredTensor, b: StoredTensor) -> bool:
    return np.array_equal(as_float(a.read(), "float64"), as_float(b.read(), "float64"))
