"""The sockets of the service of this host.

The launchers of the programs import this module and must start fast, so it imports only ``os``.
"""

from __future__ import annotations

import os

#: The environment variable with the path of a service's socket, or ``none`` for no service.
VARIABLE = "CINDERLIB_SERVICE"
#: The sockets on which a service runs programs: the command, and oVirt's adapter.
COMMAND, ADAPTER = "command", "adapter"


def default_socket() -> str:
    """The default socket: root's service is for the host, a user's service for that user."""
    if os.geteuid() == 0:
        return "/run/cinderlib/cinderlib.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return f"{runtime}/cinderlib/cinderlib.sock"


def sockets() -> list[str]:
    """The sockets to try, in this order: that of the environment, or the user's and the host's."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return [] if chosen == "none" else [chosen.removeprefix("unix://")]
    places = [default_socket(), "/run/cinderlib/cinderlib.sock"]
    return [path for path in dict.fromkeys(places) if os.path.exists(path)]


def program_socket(socket: str, program: str) -> str:
    """Where a service runs programs for clients.

    :param socket: the service's socket.
    :param program: :data:`COMMAND` or :data:`ADAPTER`.
    """
    return f"{socket.removesuffix('.sock')}.{program}.sock"
