"""serve: checks the models, takes the address, and runs one process or several."""

from __future__ import annotations

from .served import check_models
from .server import listening, run_worker
from .settings import Settings
from .workers import supervise


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or Ctrl-C, and then until all requests that have come are answered.

    Raises:
        CheckpointError, ValueError: a model that cannot be loaded, all of them at once.
        OSError: an address that cannot be had.
    """
    check_models(settings)
    with listening(settings) as listener:
        if settings.workers > 1:
            supervise(settings, listener)
        else:
            run_worker(settings, listener)
