"""How far a job is, on stderr: a bar where that is a terminal, else a line now and then; and what failed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import rich.progress
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .formats import Row
from .inputs import Input
from .records import ENCODING_HINT, Record
from .terminal import is_terminal, messages, tell

EVERY = 30  # seconds between the lines where there is no bar
_TOLD = 20  # failed records that are reported one by one


def bar(name: str, shown: str, console: Any, enabled: bool = True) -> rich.progress.Progress:
    """A bar: the share, what is `shown` of the task's fields, the time left; disabled without a terminal."""
    return rich.progress.Progress(
        TextColumn(name),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn(shown),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not enabled or not is_terminal(sys.stderr),
        speed_estimate_period=300,
    )


class Progress:
    """A bar with the rate and the time left, or a line every 30 seconds; and messages that leave the bar whole."""

    def __init__(self, name: str, records: Iterable[Record]):
        self._name = name
        self._source = records if isinstance(records, Input) else None
        self._console = messages()
        shown = "{task.fields[done]:,} done, {task.fields[rate]}"
        self._bar = bar(name, shown, self._console, enabled=self._source is not None)
        self._size = self._source.size if self._source else None
        self._task = self._bar.add_task(name, total=self._size, done=0, rate="")
        self.records = 0
        self._before = 0
        self._other_encoding = False
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()

    def advance(self, records: int, counts: bool = True) -> None:
        """So many more are done; `counts` is False for those that an earlier run did."""
        self.records += records
        if not counts:
            self._before = self.records
        now = time.monotonic()
        elapsed = now - self._start
        rate = f"{(self.records - self._before) / elapsed:,.0f} a second" if elapsed and counts else ""
        position = self._source.position if self._source else 0
        self._bar.update(self._task, completed=position, done=self.records, rate=rate)
        if self._bar.disable and self._source and counts and now - self._last >= EVERY:
            self._last = now
            share = f"{100 * position / self._size:.0f}%, " if self._size else ""
            self._tell(f"{self._name}: {share}{self.records:,} done, {rate}", "dim")

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, the bar is off the terminal: something else writes there."""
        self._bar.live.transient = True
        self._bar.stop()
        yield
        self._bar.start()

    def tell_failures(self, records: Sequence[Record], rows: Sequence[Row], before: int) -> int:
        """Reports the rows that have an error, but no more than the first few of a job; gives their number."""
        failed = [(record, row["error"]) for record, row in zip(records, rows, strict=True) if "error" in row]
        self._other_encoding |= any("not UTF-8" in problem for _, problem in failed)
        for number, (record, problem) in enumerate(failed, before):
            if number < _TOLD:
                self._tell(f"{record.place} {problem}")
            elif number == _TOLD:
                self._tell("more lines failed: they are counted at the end")
        return len(failed)

    def tell_end(self, failed: int) -> None:
        """How many failed of all, where any did."""
        if failed:
            hint = f"; some are not UTF-8: {ENCODING_HINT}" if self._other_encoding and self._source else ""
            self._tell(f"{failed} of {self.records} lines failed; the others are done{hint}")

    def _tell(self, message: str, style: str = "red") -> None:
        tell(message, style, self._console)
