"""Runs the command line after its first two arguments, and kills itself at a step of a handover.

The first argument is the step, as :data:`FUNCTIONS` names them with ``before`` or ``after``, the
second a file that it creates when it reaches the step.
"""

from __future__ import annotations

import functools
import importlib
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

#: Where the functions are whose calls are steps.
FUNCTIONS = {
    "Successor.of": "cinderlib.service.handover",
    "Successor.listening": "cinderlib.service.handover",
    "Predecessor._hand_over": "cinderlib.service.handover",
    "Predecessor.close": "cinderlib.service.handover",
    "Sockets.take_over": "cinderlib.service.sockets",
    "Sockets.offer": "cinderlib.service.sockets",
    "Sockets.close": "cinderlib.service.sockets",
    "PathSocket.remove": "cinderlib.service.listeners",
    "UnixListener.permit": "cinderlib.service.listeners",
    "Server._load": "cinderlib.service.server",
    "Server._replaced": "cinderlib.service.server",
    "WarmProcesses.publish": "cinderlib.service.warm.process",
    "WarmProcesses.stop": "cinderlib.service.warm.process",
    "send_fds": "socket",
    "notify": "cinderlib.service.systemd",
}


def _die(reached: pathlib.Path) -> NoReturn:
    reached.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


def _watch(name: str, when: str, reached: pathlib.Path) -> None:
    owner: Any = importlib.import_module(FUNCTIONS[name])
    *classes, method = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    work: Callable[..., Any] = getattr(owner, method)

    @functools.wraps(work)
    def watched(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            _die(reached)
        result = work(*arguments, **named)
        _die(reached)
        return result

    setattr(owner, method, staticmethod(watched) if name == "Successor.of" else watched)


class _Connection:
    """The new service's connection to the running one. The process dies between the message that
    it listens and the answer."""

    def __init__(self, connection: Any, reached: pathlib.Path) -> None:
        self._connection = connection
        self._reached = reached

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def sendall(self, data: bytes) -> None:
        self._connection.sendall(data)
        _die(self._reached)


def _watch_message(reached: pathlib.Path) -> None:
    from cinderlib.service.handover import Successor

    listening = Successor.listening

    def watched(successor: Any) -> None:
        successor._connection = _Connection(successor._connection, reached)
        listening(successor)

    Successor.listening = watched  # type: ignore[method-assign]


if __name__ == "__main__":
    step, file, *command = sys.argv[1:]
    name, when = step.rsplit(" ", 1)
    if name == "the message":
        _watch_message(pathlib.Path(file))
    else:
        _watch(name, when, pathlib.Path(file))
    # The interpreter, -c and the program come before the arguments of the command.
    sys.argv = ["cinderlib", *command[3:]]
    from cinderlib.launcher import main

    main()
