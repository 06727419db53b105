"""What a child process must not share with its parent."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """An object with connections, threads or locks."""

    def after_fork(self) -> None:
        """Called in the child process, which has only the thread that forked."""


_all: weakref.WeakSet[Forked] = weakref.WeakSet()


def register(object: Forked) -> None:
    """Call ``object.after_fork()`` in child processes."""
    _all.add(object)


def _after_fork() -> None:
    for each in list(_all):
        each.after_fork()


os.register_at_fork(after_in_child=_after_fork)
