"""Text that comes from files and arguments, made safe to print: it must not command the terminal."""

from __future__ import annotations

import re

# Control characters but the tab and the line feed, among them the escape and its one-character forms; the marks that
# show text in another order than it has; and lone surrogates, which no terminal takes.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    """The text with every character that a terminal would act on as its escape, such as \\x1b."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], str(text))
