"""Finds the service that uses the same configuration as the command."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cinderlib import service_address

if TYPE_CHECKING:
    from cinderlib.cli.configuration import Configuration
    from cinderlib.progress import Progress


def controller(configuration: Configuration, on_progress: Callable[[Progress], None]) -> Any:
    """The controller of the service that uses this configuration file.

    :param on_progress: called with the progress of the service's operations.
    :returns: ``None`` if no such service runs, or it does not permit access for this user.
    """
    for socket in service_address.sockets():
        found = _connected(socket, configuration, on_progress)
        if found is not None and _is_same(found.configuration, configuration):
            return found
    return None


def _connected(
    socket: str, configuration: Configuration, on_progress: Callable[[Progress], None]
) -> Any:
    if not os.access(socket, os.W_OK):
        return None
    import cinderlib as cl

    here = configuration.this_host()
    try:
        return cl.connect(f"unix://{os.path.abspath(socket)}", progress=on_progress, **here)
    except cl.errors.CinderlibError:
        return None


def _is_same(served: str | None, configuration: Configuration) -> bool:
    if configuration.file is None or served is None:
        # A user without a configuration uses the service with the configuration of the host.
        return configuration.file is None
    try:
        return os.path.samefile(served, configuration.file.path)
    except OSError:
        return False
