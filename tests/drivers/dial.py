"""Loads one driver and says how far it gets: ``python dial.py CLASS FOLDER``.

Prints one line of JSON and ends at the driver's first call to its array, since drivers try again
for minutes. Commands are noted and not run.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from typing import Any

import plausible

from cinderlib import drivers, errors
from cinderlib.persistence.memory import MemoryStore

_COMMANDS: list[str] = []
_connect, _popen = socket.socket.connect, subprocess.Popen
_output = os.dup(1)


def end(outcome: str, detail: str) -> None:
    """Say what came of it, and end whatever the driver does by now."""
    for place in (sys.argv[2], sys.prefix):
        detail = detail.replace(place, "...")
    os.write(_output, json.dumps({"outcome": outcome, "detail": detail}).encode() + b"\n")
    os._exit(0)


def connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        end("reaches its array", f"{address[0]}:{address[1]}")
    _connect(self, address)


class Popen(_popen):  # type: ignore[type-arg]
    def __init__(self, args: Any, *rest: Any, **kwargs: Any) -> None:
        words = args.split() if isinstance(args, str) else [os.fsdecode(word) for word in args]
        names = [os.path.basename(word) for word in words]
        _COMMANDS.append(next(name for name in names if name not in ("sudo", "env", "LC_ALL=C")))
        kwargs |= {"shell": False, "executable": None}
        super().__init__(["/bin/false"], *rest, **kwargs)


def main(path: str, folder: pathlib.Path) -> None:
    os.dup2(2, 1)  # what a driver prints
    (folder / "locks").mkdir()
    settings = drivers.Settings(
        host="dial", state_path=str(folder), lock_path=str(folder / "locks"), root_helper="env"
    )
    options = {"volume_driver": path, **plausible.options(path, folder)}
    try:
        drivers.check("array", options, settings=settings)
    except errors.MissingDependency as error:
        end("does not load", str(error))
    except errors.CinderlibError as error:
        end("refuses its options", str(error))
    socket.socket.connect = connect  # type: ignore[assignment,method-assign]
    subprocess.Popen = Popen  # type: ignore[assignment,misc]
    options["enable_unsupported_driver"] = True
    try:
        drivers.load("array", options, store=MemoryStore(), settings=settings)
    except errors.MissingDependency as error:
        end("does not load", str(error))
    except errors.CinderlibError as error:
        if _COMMANDS:
            end("runs its command", _COMMANDS[0])
        end("fails", str(error))
    end("loads", "")


if __name__ == "__main__":
    threading.Timer(60, end, ("fails", "it reaches nothing within 60 s")).start()
    try:
        main(sys.argv[1], pathlib.Path(sys.argv[2]))
    except BaseException as error:
        end("breaks", f"{type(error).__name__}: {error}")
