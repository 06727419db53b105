"""The programs that the service runs for clients."""

from __future__ import annotations

from typing import NamedTuple

from cinderlib import service_address


class Program(NamedTuple):
    """A program.

    :ivar name: the end of the path of the socket.
    :ivar preload: ``MODULE:FUNCTION`` that imports everything that the program can need.
    :ivar mains: for each name by which a client can start it, ``MODULE:FUNCTION`` that runs it on
        ``sys.argv`` and the standard streams, and exits.
    :ivar eager: whether to preload before the first client; otherwise the memory is only used if
        there is one.
    """

    name: str
    preload: str
    mains: dict[str, str]
    eager: bool


PROGRAMS = (
    Program(
        service_address.COMMAND,
        "cinderlib.cli.preloading:preload",
        {
            "cinderlib": "cinderlib.cli.main:main",
            "managedvolume-helper-cinderlib": "cinderlib.ovirt.helper:main",
        },
        eager=True,
    ),
    Program(
        service_address.ADAPTER,
        "cinderlib.service.warm.preloading:preload",
        {"cinderlib-adapter": "cinderlib.ovirt.adapter:main"},
        eager=False,
    ),
)
