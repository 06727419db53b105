"""Finds the steps at which a process can die or fail, by instrumenting the running library.

Steps are at the boundaries of all changes: the loaded driver, the store, the node and its state,
programs, loop devices, and every system call that changes a folder or a file (from Python's audit
events). This module does not know the operations, so it finds new operations and steps
automatically.
"""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from cinderlib import errors
from cinderlib.node import command, loop
from cinderlib.node.node import Node
from cinderlib.node.state import State
from cinderlib.node.this_host import LocalHost
from cinderlib.persistence.base import Put

#: Exit status of a process that reached another step than planned.
MOVED = 77
#: The file in the folder of the steps in which it describes that step.
MOVED_FILE = "moved"

#: Parts of names that differ between runs: random suffixes, IDs, process IDs, lock numbers.
_RANDOM = re.compile(
    r"[0-9a-f]{16,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=\.)\d+$|(?<=/)\d{4}(?=\.lock$)"
)

_CHANGING = {
    "os.chmod": "chmod",
    "os.link": "link",
    "os.mkdir": "mkdir",
    "os.remove": "remove",
    "os.rename": "rename",
    "os.rmdir": "rmdir",
    "os.symlink": "symlink",
    "os.truncate": "truncate",
}
#: Kinds of steps that change something.
_DEADLY = frozenset({"driver", "store", "node", "state", "command", "program", "loop", "file"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Points:
    """The steps of this process, numbered in their order.

    It counts only steps of the thread that armed it, until :meth:`disarm`.

    :ivar seen: the names of the steps so far.
    """

    def __init__(self, root: pathlib.Path) -> None:
        self.seen: list[str] = []
        #: Set by :func:`store_down`, after which every call of the store fails.
        self.store_is_down = False
        self._root = f"{root}/"
        self._thread = 0
        self._at: tuple[int, str] | None = None
        self._action: Callable[[Points, str], None] = lambda points, name: None

    def arm(
        self,
        at: tuple[int, str] | None = None,
        action: Callable[[Points, str], None] | None = None,
    ) -> None:
        """Start counting.

        :param at: number and name of the step for the action.
        """
        self.seen, self._at = [], at
        if action is not None:
            self._action = action
        self._thread = threading.get_ident()

    def resume(self) -> None:
        """Count the steps of this thread, in addition to those so far."""
        self._thread = threading.get_ident()

    def disarm(self) -> None:
        """Stop counting, and let the store work again."""
        self._thread = 0
        self.store_is_down = False

    def reach(self, name: str) -> None:
        """Count a step, and perform the action if it is the planned step."""
        if threading.get_ident() != self._thread:
            return
        self.seen.append(name)
        if self._at is None or len(self.seen) - 1 != self._at[0]:
            return
        if name != self._at[1]:
            self.disarm()
            text = f"step {self._at[0]} is {name!r}, after {self.seen[-6:-1]}"
            pathlib.Path(self._root, MOVED_FILE).write_text(text)
            os._exit(MOVED)
        self._action(self, name)

    # --- instrumentation -------------------------------------------------------------------------

    def around(self, owner: Any, method: str, kind: str, name: Callable[..., str] | None = None):
        """Add a step before and a step after each call of a method."""
        original = getattr(owner, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            title = f"{kind}.{method}" + (f"({name(*args, **kwargs)})" if name else "")
            self.reach(f"{title} before")
            result = original(*args, **kwargs)
            self.reach(f"{title} after")
            return result

        setattr(owner, method, call)

    def watch_host(self) -> None:
        """Instrument the node, its state, programs, loop devices, and all changes of files."""
        for method in ("attach", "detach", "extend"):
            self.around(Node, method, "node")
        self.around(LocalHost, "copy", "node")
        for method in ("put", "remove"):
            self.around(State, method, "state")
        self.around(command, "run", "command", lambda argv, **_: argv[0])
        # Not every ioctl: their number depends on other users of free loop devices.
        for method in ("create", "refresh", "remove"):
            self.around(loop, method, "loop")
        started = subprocess.Popen.__init__

        def start(popen: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
            started(popen, args, *rest, **kwargs)
            self.reach(f"program.{os.path.basename(args[0])} started")

        subprocess.Popen.__init__ = start  # type: ignore[method-assign]
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if threading.get_ident() != self._thread:
            return
        if event == "open":
            if not isinstance(args[2], int) or not args[2] & _WRITING:
                return
            what = "open"
        elif event in _CHANGING:
            what = _CHANGING[event]
        else:
            return
        path = args[0]
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        path = os.fsdecode(path)
        if path.startswith(self._root):
            name = _RANDOM.sub("*", path.removeprefix(self._root))
            self.reach(f"file.{what}({name}) before")

    def watch_store(self, store: Any) -> None:
        """Instrument the reads and writes of a store."""
        for method in ("get", "find", "count"):
            self._guard(store, method, lambda kind, *_, **__: kind.kind, "read")
        self._guard(store, "apply", _changes, "store")
        for kind in ("volume", "snapshot", "connection", "key_value"):
            for what in ("set", "delete"):
                # If a store makes changes one by one, each is a step.
                if hasattr(store, "persistence"):
                    name = f"{what}_{kind}"
                    self._guard(store.persistence, name, lambda *_: "", "store")
        database = getattr(store, "_database", None)
        if database is not None:
            write = database.write

            def watched(work: Callable[[Any], Any]) -> Any:
                def inside(cursor: Any) -> Any:
                    result = work(cursor)
                    self.reach("store.apply before commit")
                    return result

                return write(inside)

            database.write = watched

    def _guard(self, store: Any, method: str, name: Callable[..., str], kind: str) -> None:
        original = getattr(store, method)

        def call(*args: Any, **kwargs: Any) -> Any:
            title = f"{kind}.{method}({name(*args, **kwargs)})"
            self.reach(f"{title} before")
            if self.store_is_down:
                raise errors.StoreError("The store is down.")
            result = original(*args, **kwargs)
            if kind == "store":
                self.reach(f"{title} after")
            return result

        setattr(store, method, call)

    def watch_driver(self, driver: Any) -> Any:
        """Wrap a driver, with a step before and after each call of any method."""
        return _WatchedDriver(driver, self)


class _WatchedDriver:
    def __init__(self, driver: Any, points: Points) -> None:
        self._watched, self._points = driver, points

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._watched, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._points.reach(f"driver.{name} before")
            result = value(*args, **kwargs)
            self._points.reach(f"driver.{name} after")
            return result

        return call


def _changes(*changes: Any) -> str:
    return ", ".join(
        f"put {c.record.kind}" if isinstance(c, Put) else f"remove {c.kind.kind}" for c in changes
    )


# --- actions -------------------------------------------------------------------------------------


def kill(points: Points, name: str) -> NoReturn:
    """Kill the process at once, as in a crash of the machine."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


def fail(points: Points, name: str) -> NoReturn:
    """Let the step fail: at "before" without any effect, at "after" with all effects."""
    kind = name.partition(".")[0]
    if kind == "file":
        raise OSError(28, "No space left on device")
    failures: dict[str, type[errors.CinderlibError]] = {
        "driver": errors.DriverError,
        "store": errors.StoreError,
        "read": errors.StoreError,
    }
    raise failures.get(kind, errors.NodeError)(f"injected at {name}")


def store_down(points: Points, name: str) -> None:
    """Let all further calls of the store fail."""
    points.store_is_down = True


def interrupt(points: Points, name: str) -> NoReturn:
    """Act like Control-C."""
    raise KeyboardInterrupt


ACTIONS = {f.__name__: f for f in (kill, fail, store_down, interrupt)}


def at_all(names: list[str], kinds: frozenset[str]) -> Iterator[tuple[int, str]]:
    """The steps of these kinds."""
    return ((i, name) for i, name in enumerate(names) if name.partition(".")[0] in kinds)


def deaths(names: list[str]) -> Iterator[tuple[int, str]]:
    """The steps at which to kill: before and after each change. Between one change and the next,
    one kill is enough for both."""
    done = False
    for at, name in at_all(names, _DEADLY):
        if not done:
            yield at, name
        done = name.endswith(" after")
