"""Rows: what a reader gives and a collator takes, and the error that names those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..printable import printable

SHOWN = 20  # of the rows that an error is about

Row = Mapping[str, Any]
"""Column → value."""


class DataError(ValueError):
    """Rows that cannot be trained on.

    Attributes:
        problems: the index of each such row → what is wrong with it.
    """

    def __init__(self, problems: Mapping[int, str], rows: Any = None):
        """The message shows the first `SHOWN`; `rows` says what file and lines they are of."""
        self.problems = dict(problems)
        shown = list(self.problems.items())[:SHOWN]
        more = len(self.problems) - len(shown)
        count = "1 row" if len(self.problems) == 1 else f"{len(self.problems)} rows"
        lines = [f"{source_of(rows)}{count} cannot be used:"]
        lines += [f"  {place_of(rows, index)} {printable(problem)}" for index, problem in shown]
        super().__init__("\n".join([*lines, f"  … and {more} more"] if more else lines))


def check_rows(rows: Sequence[Row], problem_of: Callable[[Row], str | None]) -> None:
    """Reads every row once.

    Raises:
        DataError: all rows of which `problem_of` says what is wrong.
        ValueError: there are no rows.
    """
    if not len(rows):
        raise ValueError(f"{source_of(rows)}there are no rows to train on")
    problems = {}
    for index in range(len(rows)):
        try:
            problem = problem_of(rows[index])
        except DataError as error:  # of a reader, which was asked for this row alone
            problem = error.problems[index]
        if problem is not None:
            problems[index] = problem
    if problems:
        raise DataError(problems, rows)


def source_of(rows: Any) -> str:
    """How a message about rows begins: "FILE: ", or nothing where they are of no file."""
    path = getattr(rows, "path", None)
    return "" if path is None else f"{printable(path)}: "


def place_of(rows: Any, index: int) -> str:
    """What a message calls a row: its line where it is of a file with lines."""
    place = getattr(rows, "place", None)
    return f"row {index}" if place is None else place(index)


def columns_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The names of the columns: those of a table, else those of the first row."""
    names = getattr(rows, "column_names", None)
    return tuple(rows[0] if names is None else names)


def listed(names: Iterable[Any]) -> str:
    """Names for a message."""
    return ", ".join(map(repr, names)) or "none"
