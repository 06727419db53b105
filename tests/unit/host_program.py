"""A program that uses cinderlib, and prints the changes to the process as JSON.

usage: ``host_program.py FOLDER``; test_host_process.py runs it.
"""

from __future__ import annotations

import argparse
import builtins
import gc
import json
import locale
import logging
import os
import pathlib
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable
from typing import Any


def _loggers() -> dict[str, Any]:
    loggers = [logging.getLogger(name) for name in ("", "host", "host.part", "requests", "urllib3")]
    return {
        "manager": [logging.root.manager.disable, logging.raiseExceptions],
        "classes": [repr(logging.getLoggerClass()), repr(logging.getLogRecordFactory())],
        "disabled by class": [getattr(logging.Logger, "disabled", None)],
        **{
            each.name: [each.level, each.disabled, each.propagate, repr(each.handlers)]
            for each in loggers
        },
    }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _signals() -> dict[str, str]:
    return {str(each): repr(signal.getsignal(each)) for each in sorted(signal.valid_signals())}


def _functions() -> dict[str, str]:
    """Functions that monkey patching could replace, by identity."""
    return {
        f"{getattr(owner, '__name__', owner)}.{name}": hex(id(getattr(owner, name)))
        for owner, names in (
            (time, "sleep time monotonic"),
            (socket, "socket create_connection getaddrinfo getdefaulttimeout"),
            (select, "select poll epoll"),
            (threading, "Thread Lock RLock local get_ident"),
            (threading.Thread, "start run join"),
            (subprocess, "Popen run"),
            (os, "fork read write waitpid environ"),
            (builtins, "open print __import__"),
            (argparse.ArgumentParser, "parse_args parse_known_args"),
            (ssl, "SSLContext _create_default_https_context"),
            (urllib.request, "urlopen"),
            (warnings, "warn showwarning formatwarning"),
            (json, "dumps loads"),
        )
        for name in names.split()
    }


def _hooks() -> list[str]:
    return [
        repr(each)
        for each in (
            *(sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook),
            *(sys.stdin, sys.stdout, sys.stderr, sys.gettrace(), sys.getprofile()),
        )
    ]


def _runtime() -> dict[str, Any]:
    return {
        "recursion limit": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "garbage collector": [gc.isenabled(), gc.get_threshold()],
        "socket timeout": socket.getdefaulttimeout(),
        "arguments": sys.argv[:],
    }


def _open_files() -> list[str]:
    found = []
    for each in pathlib.Path("/proc/self/fd").iterdir():
        try:
            found.append(f"{each.name} {os.readlink(each)}")
        except FileNotFoundError:  # the folder itself, which was open for this listing
            continue
    return sorted(found)


def _children() -> list[str]:
    tasks = pathlib.Path("/proc/self/task").glob("*/children")
    return [pid for task in tasks for pid in task.read_text().split()]


LOOKS: dict[str, Callable[[], Any]] = {
    "loggers": _loggers,
    "warnings filters": lambda: [repr(each) for each in warnings.filters],
    "environment": lambda: dict(os.environ),
    "working directory": os.getcwd,
    "umask": _umask,
    "locale": lambda: locale.setlocale(locale.LC_ALL),
    "signal handlers": _signals,
    "functions": _functions,
    "hooks": _hooks,
    "import system": lambda: [*map(repr, sys.meta_path), *map(repr, sys.path_hooks), *sys.path],
    "runtime": _runtime,
    "threads": lambda: sorted(each.name for each in threading.enumerate()),
    "open files": _open_files,
    "child processes": _children,
}


def look() -> dict[str, Any]:
    return {name: take() for name, take in LOOKS.items()}


def use_cinderlib(folder: pathlib.Path) -> None:
    import cinderlib as cl

    store = {"storage": "db", "connection": f"sqlite:///{folder}/records"}
    with cl.Controller(store, state_path=folder / "state") as controller:
        backend = controller.backend(
            volume_backend_name="files", volume_driver="file", file_root=str(folder / "volumes")
        )
        volume = backend.create_volume(size=1)
        with volume.attached() as attachment, open(attachment.path, "r+b") as device:
            device.write(b"data")
        snapshot = volume.create_snapshot()
        snapshot.create_volume().delete()
        snapshot.delete()
        volume.delete()


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    logging.basicConfig(level=logging.INFO, handlers=[logging.StreamHandler()])
    logging.getLogger("host").setLevel(logging.DEBUG)
    warnings.filterwarnings("error", message="of the host program")
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    os.umask(0o027)
    modules = dict(sys.modules)

    before = look()
    use_cinderlib(folder)
    after = look()

    different = {
        name: {"before": before[name], "after": after[name]}
        for name in LOOKS
        if before[name] != after[name]
    }
    replaced = [name for name, module in modules.items() if sys.modules.get(name) is not module]
    if replaced:
        different["modules"] = {"before": replaced, "after": "other objects"}
    print(json.dumps({"different": different, "loaded": sorted({*sys.modules} - {*modules})}))


if __name__ == "__main__":
    main()
