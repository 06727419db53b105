"""Where the service of this host is, for those who look for it.

Imported by the launcher of the command, which must start fast: nothing is imported here that takes
long.
"""

from __future__ import annotations

import os

#: Names the service: the path of its socket, or ``none`` for no service.
VARIABLE = "CINDERLIB_SERVICE"


def default_socket() -> str:
    """Where the service listens if the configuration does not say: root's is for the host, a
    user's for that user."""
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


def command_socket(socket: str) -> str:
    """Where the warm process of a service takes commands."""
    return f"{socket.removesuffix('.sock')}.command.sock"
