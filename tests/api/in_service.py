"""A service in a thread of this process, with drivers that tests control, and a client of it.

The client uses a socket and HTTP as in another process. ``tests/service`` runs services and
clients in separate processes.
"""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import cinderlib as cl
from cinderlib.client.controller import RemoteController
from cinderlib.objects.backend import Backend
from cinderlib.service.app import Application
from cinderlib.service.backends import Backends
from cinderlib.service.metrics import Metrics
from cinderlib.service.options import Options
from cinderlib.service.server import Server


class _Server(Server):
    def _handle_signals(self) -> None:
        """The signals are pytest's."""

    def stop_soon(self) -> None:
        self._loop.call_soon_threadsafe(self.stop)


class InService:
    """A running service and its client.

    :ivar library: the service's own controller.
    :ivar client: a connection to the service.
    """

    def __init__(self, library: cl.Controller, client: RemoteController, backends: Backends):
        self.library = library
        self.client = client
        self._backends = backends
        self._configured: dict[str, dict[str, Any]] = {}

    def load(self, name: str, **options: Any) -> Backend:
        """Add a backend to the configuration of the service, and load it there.

        :returns: the client's backend.
        """
        self._configured[name] = options
        self._backends.replace(
            list(self._configured), self._configured.__getitem__, settled=lambda: None
        )
        self._backends.loaded(name)
        return self.client.loaded(name)


@contextlib.contextmanager
def run(library: cl.Controller, folder: pathlib.Path) -> Iterator[InService]:
    """Serve a controller, and connect to it.

    :param folder: has the state of this host in ``state``, and links to its devices.
    """
    backends = Backends(library, [], lambda name: {}, links=folder / "by-name")
    application = Application(backends, Metrics(), threads=8)
    listening = threading.Event()
    # The path of a test's folder is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="cl-") as short:
        path = pathlib.Path(short, "s.sock")
        server = _Server(
            application, Options(socket=path), reload=lambda: None, listening=listening.set
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert listening.wait(60)
            with cl.connect(f"unix://{path}", state_path=str(folder / "state/node")) as client:
                yield InService(library, client, backends)
        finally:
            server.stop_soon()
            thread.join(60)
            assert not thread.is_alive()
