"""Reports what the library does to a program that measures it."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

from cinderlib.errors import InvalidInput
from cinderlib.value_checks import shown

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Activity:
    """One piece of work.

    :ivar kind: ``'driver call'``, ``'lock'`` (the time until a lock is held), ``'host start'`` (a
        new process for an isolated driver), or ``'recovery'`` of one interrupted operation.
    :ivar name: the method of the driver, such as ``'create_volume'``; the kind of resource of a
        lock, such as ``'volume'``, or ``'backend'``; ``'start'`` or ``'restart'`` of a process; the
        interrupted operation, such as ``'volume.create'``.
    :ivar backend: its name; empty for the lock of a resource.
    """

    kind: Literal["driver call", "lock", "host start", "recovery"]
    name: str
    backend: str = ""


#: Called before an activity, in the thread that executes it. The activity runs inside the returned
#: context manager, which therefore sees its end and its exception. Activities can be nested: some
#: locks are taken inside the call of a driver.
Observer = Callable[[Activity], AbstractContextManager[None]]


def guarded(observer: Observer | None) -> Observer | None:
    """An observer whose failures are logged and do not affect the activity.

    :raises InvalidInput: it cannot be called.
    """
    if observer is None:
        return None
    if not callable(observer):
        raise InvalidInput(f"The observer must be a function, not {shown(observer)}.")
    return lambda activity: _Guarded(observer, activity)


def observed(observer: Observer | None, activity: Activity) -> AbstractContextManager[None]:
    """The context manager for an activity; it does nothing without an observer."""
    return contextlib.nullcontext() if observer is None else observer(activity)


class _Guarded:
    __slots__ = ("_activity", "_inner", "_observer")

    def __init__(self, observer: Observer, activity: Activity) -> None:
        self._observer = observer
        self._activity = activity
        self._inner: AbstractContextManager[None] | None = None

    def __enter__(self) -> None:
        try:
            inner = self._observer(self._activity)
            inner.__enter__()
            self._inner = inner
        except Exception:
            LOG.warning("The observer failed", exc_info=True)

    def __exit__(self, *error: object) -> None:
        if self._inner is None:
            return
        try:
            self._inner.__exit__(*error)  # type: ignore[arg-type]
        except Exception as exc:
            if exc is not error[1]:  # a generator raises the activity's own error again
                LOG.warning("The observer failed", exc_info=True)
