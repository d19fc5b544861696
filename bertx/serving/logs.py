"""Logs: one JSON object a line on stderr, without the texts of requests."""

from __future__ import annotations

import datetime
import json
import logging
import traceback
import warnings
from typing import Any

LOGGER = logging.getLogger("bertx.serving")


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The time, the level, the event and its fields; of an error where it was, and not what it says."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["at"] = [f"{one.filename}:{one.lineno}" for one in traceback.extract_tb(record.exc_info[2])]
        return json.dumps(line, ensure_ascii=True)


def log(event: str, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """Writes a line."""
    LOGGER.log(level, event, exc_info=error, extra={"fields": fields})


def start_logs() -> None:
    """Sends the lines of this process, uvicorn's errors and warnings to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    for name, level in (("bertx.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    # A warning may quote a text.
    warnings.showwarning = lambda message, category, *_, **__: log("warning", logging.WARNING, kind=category.__name__)
