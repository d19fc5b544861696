"""Labels: which there are in the data, and the class number of each."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .columns import LABEL, TAGS, Field, as_list
from .rows import Row, listed

_log = logging.getLogger(__name__)
_ANY = Field("label", tuple(dict.fromkeys((*LABEL.candidates, *TAGS.candidates))))


def labels_of(rows: Sequence[Row], column: str | None = None) -> tuple[str, ...]:
    """The names of all labels in the data, sorted, numbers by their value: what `id2label` of a new classifier is.

    A table of `datasets` whose column has names for its numbers gives those, in their order.

    Args:
        rows: of which each has a label, or a list of labels (of words, or several of a text).
        column: where the labels are; None is the one of the columns that the collators look in.

    Raises:
        ValueError: no row, no such column, or a label that is neither text nor an integer.
    """
    if (named := _named_classes(rows, column)) is not None:
        return named
    field = _ANY if column is None else Field("label", (column,))
    found = {}
    for label in _each(rows, field):
        if not isinstance(label, (str, int)):
            raise ValueError(f"a label is {label!r:.40}, expected text or an integer: numbers are no classes")
        found[str(label)] = label
    if all(_is_integer(name) for name in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def problem_type_of(rows: Sequence[Row], column: str | None = None) -> str:
    """What `problem_type` of a new classifier of texts is, by the kind of its labels in the first row.

    A list is "multi_label_classification", a number with a fraction "regression", else it is
    "single_label_classification".
    """
    field = _ANY if column is None else Field("label", (column,))
    label = as_list(field.value(rows[0]))
    if isinstance(label, list):
        return "multi_label_classification"
    return "regression" if isinstance(label, float) else "single_label_classification"


class Classes:
    """The classes of a config, and the number of each label of the data.

    A label is a class's name, or its number: an integer, or text of digits where no class is named so. Where every
    class is named by an integer, as the stars of a review are, an integer too is a name.
    """

    def __init__(self, config: Any):
        self.names: tuple[str, ...] = config.labels
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._named_by_integers = all(map(_is_integer, self.names))

    def number(self, label: Any) -> int | None:
        """The class's number; None where there is none of that name or number."""
        if isinstance(label, bool) or not isinstance(label, (str, int)):
            return self._numbers.get(str(label)) if isinstance(label, bool) else None
        if isinstance(label, str) or self._named_by_integers:
            if (number := self._numbers.get(str(label))) is not None:
                return number
            if self._named_by_integers or not _is_integer(str(label)):
                return None
        return int(label) if 0 <= int(label) < len(self.names) else None

    def problem(self, label: Any) -> str | None:
        """What is wrong with a label that has no number."""
        if self.number(label) is not None:
            return None
        shown = listed(self.names[:SHOWN_NAMES]) + (", …" if len(self.names) > SHOWN_NAMES else "")
        return f"has the label {label!r:.40}, which the config does not know: its labels are {shown}"

    def warn_of_unseen(self, seen: Iterable[int], rows: int) -> None:
        """Logs the classes that no row has."""
        if unseen := sorted(set(range(len(self.names))) - set(seen)):
            shown = listed(self.names[i] for i in unseen[:SHOWN_NAMES]) + (", …" if len(unseen) > SHOWN_NAMES else "")
            _log.warning("of %d rows none has the label %s: the model cannot learn it", rows, shown)


SHOWN_NAMES = 20


def as_number(value: Any) -> float | None:
    """A finite number, also one that a table has as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_integer(name: str) -> bool:
    return name.isascii() and name.removeprefix("-").isdigit()


def _each(rows: Sequence[Row], field: Field) -> Iterator[Any]:
    if not len(rows):
        raise ValueError("there are no rows to find labels in")
    field.check(rows)
    for index in range(len(rows)):
        label = as_list(field.value(rows[index]))
        yield from label if isinstance(label, list) else [label]


def _named_classes(rows: Any, column: str | None) -> tuple[str, ...] | None:
    """The names that a `datasets.Dataset` has for the numbers of its labels."""
    features = getattr(rows, "features", None)
    if not isinstance(features, Mapping):
        return None
    columns = _ANY.candidates if column is None else (column,)
    feature = next((features[name] for name in columns if name in features), None)
    for inner in (feature, getattr(feature, "feature", None)):  # of a list of labels, its parts' class
        if (names := getattr(inner, "names", None)) is not None:
            return tuple(names)
    return None
