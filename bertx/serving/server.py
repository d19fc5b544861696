"""The server: loads the models, listens, and ends when the requests that it has are answered."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn

from .. import collector
from .app import create_app
from .logs import log, start_logs
from .served import load_models
from .service import Service
from .settings import Settings

_BACKLOG = 2048
# Longer than load balancers keep a connection that nobody uses, so that it is they who end it, between two requests.
_KEEP_ALIVE = 75


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket with the address of the settings; it refuses connections until the server takes them.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host} port {settings.port}"
            raise OSError(error.errno, f"{error.strerror}: give another --host or --port", where) from None
        listener.set_inheritable(True)
        yield listener


def run_worker(settings: Settings, listener: socket.socket, started: Any = None) -> None:
    """One process of a server; `started` is called when it takes requests.

    Raises:
        CheckpointError, ValueError: a model that cannot be loaded, or does not answer.
    """
    start_logs()
    service = Service(settings, load_models(settings))
    try:
        service.warm_up()
        collector.leave_alone()  # else it looks all of that through while requests wait
        Server(service, listener, started).run()
    finally:
        service.close()


class Server(uvicorn.Server):
    """uvicorn's, over a service: signals end it without being raised again, and it says when it is ready."""

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        started: Any = None,
        environment: Mapping[str, str] = os.environ,
    ):
        config = uvicorn.Config(
            create_app(service, environment),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE,
            server_header=False,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=round(service.settings.timeout) + 1,
        )
        super().__init__(config)
        self._service, self._listener, self._started = service, listener, started

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until it is told to end."""
        super().run([self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's; says then that it takes requests."""
        await super().startup(sockets)
        host, port = self._listener.getsockname()[:2]
        log("ready", host=host, port=port, pid=os.getpid(), models=[one.name for one in self._service.models])
        if self._started is not None:
            self._started()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Ends when all requests are answered; at a second signal at once."""
        self._service.draining = True
        log("draining", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the server while this lasts; uvicorn would raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
