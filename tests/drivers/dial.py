"""Loads drivers and reports how far each gets: ``python dial.py PACKAGES``.

Each line of the input names a driver class and an empty folder; each line of the output is the
result and the way of each operation. Cinder is imported once, and each driver is loaded in a
process that is forked from this one. That process ends at the driver's first call to its array,
since drivers retry for minutes. Commands are recorded, not executed. The argument is the folder
with the Python packages of vendors.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import site
import socket
import subprocess
import sys
import tempfile
import threading
from typing import Any, NoReturn

import plausible

from cinderlib import drivers, errors
from cinderlib.operations import capabilities
from cinderlib.persistence.memory import MemoryStore

_commands: list[str] = []
_connect, _popen = socket.socket.connect, subprocess.Popen
_results = os.dup(1)
_ending = threading.Lock()
#: Of the driver that this process loads.
_ways: dict[str, str] = {}


def report(outcome: str, detail: str) -> None:
    os.write(_results, json.dumps([outcome, detail, _ways]).encode() + b"\n")


def end(outcome: str, detail: str) -> NoReturn:
    """Report the outcome and end this process and all threads of the driver."""
    _ending.acquire()  # another thread of the driver may get here before the process has ended
    try:
        report(outcome, detail)
    finally:
        os._exit(0)


def connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6):
        end("reaches its array", f"{address[0]}:{address[1]}")
    _connect(self, address)


class Popen(_popen):  # type: ignore[type-arg]
    def __init__(self, args: Any, *rest: Any, **kwargs: Any) -> None:
        words = args.split() if isinstance(args, str) else [os.fsdecode(word) for word in args]
        names = [os.path.basename(word) for word in words]
        _commands.append(next(name for name in names if name not in ("sudo", "env", "LC_ALL=C")))
        kwargs |= {"shell": False, "executable": None}
        super().__init__(["/bin/false"], *rest, **kwargs)


def execv(path: str, arguments: Any) -> NoReturn:
    end("runs its command", os.path.basename(path))


def accept(listener: socket.socket) -> None:
    """Wait for a client that is not written in Python, such as Ceph's."""
    with contextlib.suppress(OSError):
        listener.accept()
        end("reaches its array", f"{plausible.ADDRESS}:{plausible.PORT}")


def observe() -> None:
    """Replace what a driver calls its array with."""
    listener = socket.create_server((plausible.ADDRESS, plausible.PORT))
    threading.Thread(target=accept, args=[listener], daemon=True).start()
    socket.socket.connect = connect  # type: ignore[assignment,method-assign]
    subprocess.Popen = Popen  # type: ignore[assignment,misc]
    os.forkpty = lambda: (0, -1)  # what the child would do
    os.execv = execv


def settings(folder: pathlib.Path) -> drivers.Settings:
    locks = folder / "locks"
    locks.mkdir()
    return drivers.Settings(
        host="dial", state_path=str(folder), lock_path=str(locks), root_helper="env"
    )


def dial(path: str, folder: pathlib.Path) -> NoReturn:
    """Load a driver, and end this process."""

    def shown(error: BaseException) -> str:
        text = str(error)
        for place in (str(folder), sys.argv[1], sys.prefix):
            text = text.replace(place, "...")
        return text

    own = settings(folder)
    from cinderlib.drivers import loading, methods  # they import Cinder, which is prepared by now

    with contextlib.suppress(errors.CinderlibError):
        _ways.update(capabilities.ways(methods.lacks(loading.import_class(path))))
    options = {"volume_driver": path, **plausible.options(path, folder)}
    try:
        drivers.check("array", options, settings=own)
    except errors.MissingDependency as error:
        end("does not load", shown(error))
    except errors.CinderlibError as error:
        end("refuses its options", shown(error))
    observe()
    options["enable_unsupported_driver"] = True
    outcome, detail = "loads", ""
    try:
        drivers.load("array", options, store=MemoryStore(), settings=own)
    except errors.MissingDependency as error:
        outcome, detail = "does not load", shown(error)
    except errors.CinderlibError as error:
        outcome, detail = "fails", shown(error)
    if _commands:
        outcome, detail = "runs its command", _commands[0]
    end(outcome, detail)


def in_child(path: str, folder: pathlib.Path) -> NoReturn:
    os.setsid()
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    timer = threading.Timer(60, end, ("fails", "it calls nothing within 60 s"))
    timer.daemon = True
    timer.start()
    try:
        dial(path, folder)
    except BaseException as error:
        end("breaks", f"{type(error).__name__}: {error}")


def main() -> None:
    site.addsitedir(sys.argv[1])
    requests = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # an imported module may print
    with tempfile.TemporaryDirectory() as folder:
        drivers.prepare(settings(pathlib.Path(folder)))
    for request in requests:
        path, folder = json.loads(request)
        child = os.fork()
        if child == 0:
            in_child(path, pathlib.Path(folder))
        _, status = os.waitpid(child, 0)
        if status:
            report("breaks", f"the process ended with status {status}")


if __name__ == "__main__":
    main()
