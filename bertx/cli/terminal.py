"""What is printed for people: on stdout reports and tables, on stderr messages; either may be closed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from ..printable import printable


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; None is one that the caller has closed."""
    return stream is not None and stream.isatty()


def console(**options: Any) -> Console:
    """Stdout for people; a pipe has no width, so that a table is not cut for it."""
    width = None if is_terminal(sys.stdout) else 200
    return Console(**{"highlight": False, "soft_wrap": True, "width": width} | options)


def messages() -> Console:
    """Stderr for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show(*values: Any, out: Console | None = None, style: str | None = None) -> None:
    """Prints to stdout: texts as they are, but for what would command the terminal, and what rich draws."""
    with named_stdout():
        (out or console()).print(
            *(Text(printable(value)) if isinstance(value, str) else value for value in values), style=style
        )


def tell(message: str, style: str, out: Console | None = None) -> None:
    """A message on stderr."""
    (out or messages()).print(f"bertx: {printable(message)}", style=style, markup=False, emoji=False)


def working(what: str) -> Status:
    """A sign of life on stderr, where that is a terminal."""
    return Console(stderr=True).status(Text(printable(what)))


@contextmanager
def named_stdout() -> Iterator[None]:
    """An error of writing to stdout says so: a full disk names no file."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # What is still in the buffer would fail again at the end of the process, with a traceback.
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "stdout") from error


def open_standard_streams() -> None:
    """Puts /dev/null where a standard stream is closed: else the first file that is opened takes its number."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
