"""Selects the store that answers a database call of Cinder's code.

Each loaded driver has a :class:`Scope`. While a method of the driver runs, a context variable
contains its :class:`Call`. Threads that a driver starts do not inherit that variable. There, a
:class:`View` without a scope searches the stores of all loaded drivers: IDs are unique among them.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from cinderlib.errors import StaleRecord
from cinderlib.persistence import in_key_values, volume_types
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.records import (
    GroupRecord,
    GroupSnapshotRecord,
    Record,
    TypeSpecs,
    VolumeRecord,
    check_types,
    replace,
)

R = TypeVar("R", bound=Record)
G = TypeVar("G", GroupRecord, GroupSnapshotRecord)

#: Attempts to write a record that other processes change at the same time.
_ATTEMPTS = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Scope:
    """The store and the backend of one loaded driver.

    :ivar backend: the backend's name, as in the records.
    :ivar host: ``host@backend``.
    :ivar configuration: the backend's options, as Cinder's configuration object.
    """

    backend: str
    host: str
    store: Store
    configuration: Any


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a driver.

    :ivar given: the records that the caller passed; they replace records that are not in the store.
    :ivar types: volume types that the caller passed, by ID.
    :ivar written: the driver's own changes (field -> value), by kind and ID.
    """

    scope: Scope
    given: dict[tuple[type[Record], str], Record] = dataclasses.field(default_factory=dict)
    written: dict[tuple[type[Record], str], dict[str, Any]] = dataclasses.field(
        default_factory=dict
    )
    types: dict[str, TypeSpecs] = dataclasses.field(default_factory=dict)

    @property
    def about(self) -> str | None:
        """The ID of the resource that the call changes: that of the first record."""
        return next((id for _, id in self.given), None)


_current: contextvars.ContextVar[Call | None] = contextvars.ContextVar(
    "cinderlib_driver_call", default=None
)
_live: list[Scope] = []
_live_lock = threading.Lock()


class Calling:
    """The context of a call of the scope's driver: ``with Calling(scope, record) as call``.

    It is a class because a generator takes three times as long, and an operation calls its driver
    up to three times.
    """

    __slots__ = ("_call", "_pid", "_token")

    def __init__(self, scope: Scope, *given: Record) -> None:
        self._pid = os.getpid()
        self._call = Call(scope, {(type(record), record.id): record for record in given})
        self._token: contextvars.Token[Call | None] | None = None

    def __enter__(self) -> Call:
        self._token = _current.set(self._call)
        return self._call

    def __exit__(self, *error: object) -> None:
        if os.getpid() != self._pid:
            _leave_child(error[1] if error else None)
        assert self._token is not None
        _current.reset(self._token)


def _leave_child(error: object) -> NoReturn:
    """End a child process that a driver forked and whose program could not be executed. Otherwise
    the child would return from the call and continue as a copy of the host program."""
    with contextlib.suppress(OSError):
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    os._exit(127)


def current() -> Call | None:
    """The call of a driver that this thread runs."""
    return _current.get()


def enter(scope: Scope) -> None:
    """Add the scope of a loaded driver."""
    with _live_lock:
        _live.append(scope)


def leave(scope: Scope) -> None:
    """Remove the scope of a closed driver."""
    with _live_lock, contextlib.suppress(ValueError):
        _live.remove(scope)


def loaded() -> list[str]:
    """The names of the backends whose drivers are loaded."""
    with _live_lock:
        return [scope.backend for scope in _live]


class View:
    """The records that one driver, or Cinder's module-level code, can read and change.

    :param scope: the driver's scope, or ``None`` for module-level code.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        self._scope = scope

    @property
    def _call(self) -> Call | None:
        call = _current.get()
        if call is not None and self._scope in (None, call.scope):
            return call
        return None

    def scopes(self) -> list[Scope]:
        """The driver's own scope if it is known, otherwise all scopes."""
        if self._scope is not None:
            return [self._scope]
        call = self._call
        if call is not None:
            return [call.scope]
        return self.loaded()

    @staticmethod
    def loaded() -> list[Scope]:
        """The scopes of all loaded drivers, for any caller."""
        with _live_lock:
            return list(_live)

    def _stores(self) -> list[Store]:
        return list({id(scope.store): scope.store for scope in self.scopes()}.values())

    def get(self, kind: type[R], id: str) -> R | None:
        """The record, from the store or from the caller's records."""
        for store in self._stores():
            record = store.get(kind, id)
            if record is not None:
                return record
        return self._given(kind, id)

    def _given(self, kind: type[R], id: str) -> R | None:
        call = self._call
        record = None if call is None else call.given.get((kind, id))
        return record if isinstance(record, kind) else None

    def volume_type(self, id: str) -> TypeSpecs | None:
        """The volume type with this ID, or ``None``: as the caller passed it, then as the volumes
        of the call have it, then as the store has it. A volume's ID also finds the type of
        that volume."""
        call = self._call
        if call is not None:
            if id in call.types:
                return call.types[id]
            for record in call.given.values():
                if isinstance(record, VolumeRecord) and id in (record.id, record.volume_type_id):
                    return TypeSpecs.of(record)
        volume = self.get(VolumeRecord, id)
        if volume is not None:
            return TypeSpecs.of(volume)
        for store in self._stores():
            _, stored = volume_types.find(store, id)
            if stored is not None:
                return stored.specs
        return None

    def group(self, kind: type[G], id: str) -> G | None:
        """A group or group snapshot, as the caller passed it or as the store has it."""
        given = self._given(kind, id)
        if given is not None:
            return given
        found = (in_key_values.find(store, kind, id) for store in self._stores())
        return next((each for each in found if each is not None), None)

    def find(self, kind: type[R], where: Mapping[str, str]) -> list[R]:
        """Records of the driver's own backend, or of all loaded backends."""
        found: dict[str, R] = {}
        for scope in self.scopes():
            for record in scope.store.iterate(kind, {"backend": scope.backend, **where}):
                found.setdefault(record.id, record)
        return list(found.values())

    def change(self, kind: type[R], id: str, changes: Callable[[R], Mapping[str, Any]]) -> R | None:
        """Change fields of the current version of a record.

        :param changes: returns the new values for the current record; it can be called repeatedly.
        :returns: the written record, or ``None`` if it does not exist.
        :raises StaleRecord: other processes changed the record during each attempt.
        """
        for store in self._stores():
            for attempt in range(_ATTEMPTS):
                record = store.get(kind, id)
                if record is None:
                    break
                values = changes(record)
                if not values:
                    return record
                changed = replace(record, **values)
                check_types(changed)
                try:
                    (written,) = store.apply(Put(changed))
                except StaleRecord:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue
                self._add_written(kind, id, {**values, "version": written.version})
                return written if isinstance(written, kind) else None
        record = self._given(kind, id)
        if record is None:
            return None
        values = changes(record)
        record = replace(record, **values)
        call = self._call
        if call is not None:
            call.given[kind, id] = record
        self._add_written(kind, id, values)
        return record

    def _add_written(self, kind: type[Record], id: str, values: Mapping[str, Any]) -> None:
        call = self._call
        if call is not None:
            call.written.setdefault((kind, id), {}).update(values)

    def add(self, record: R) -> R:
        """Add a record that the driver creates itself, for example for a temporary volume."""
        check_types(record)
        (written,) = self.scopes()[0].store.apply(Put(record))
        return written if isinstance(written, type(record)) else record

    def remove(self, kind: type[Record], id: str) -> None:
        for store in self._stores():
            store.apply(Remove(kind, id))
