"""The service that the command uses, if there is one for its configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cinderlib import service_address

if TYPE_CHECKING:
    from cinderlib.cli.configuration import Configuration
    from cinderlib.progress import Progress


def controller(configuration: Configuration, tell: Callable[[Progress], None]) -> Any:
    """The controller of the service that has been started with this configuration file.

    :param tell: gets how far the service's work is.
    :returns: ``None`` if there is none, or it does not let this user in.
    """
    for socket in service_address.sockets():
        found = _connected(socket, tell)
        if found is not None and _is_same(found.configuration, configuration):
            return found
    return None


def _connected(socket: str, tell: Callable[[Progress], None]) -> Any:
    if not os.access(socket, os.W_OK):
        return None
    import cinderlib as cl

    try:
        return cl.connect(f"unix://{os.path.abspath(socket)}", progress=tell)
    except cl.errors.CinderlibError:
        return None


def _is_same(served: str | None, configuration: Configuration) -> bool:
    if configuration.file is None or served is None:
        # A user who has no configuration of their own is served as the host is configured.
        return configuration.file is None
    try:
        return os.path.samefile(served, configuration.file.path)
    except OSError:
        return False
