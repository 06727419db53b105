"""The data of ``cinderlib top``: pools, operations that have not ended, and problems."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.cli import exits, items, pools
from cinderlib.cli.app import App

if TYPE_CHECKING:
    import cinderlib as cl

Item = dict[str, Any]

#: The age up to which failed operations need attention.
_RECENT = datetime.timedelta(days=1)
#: How many failed operations are shown at most.
_FAILURES = 20
_GIB = 1024**3
#: Device states that need attention.
_DEVICE_STATES = {
    "gone": "its device on this host no longer exists",
    "another": "its device on this host is now another one",
}


class Storage:
    """The reports of the backends: their pools, and differences between store and storage."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._pools: dict[str, list[Item]] = {}
        self._problems: dict[str, list[Item]] = {}

    def query(self, names: Iterable[str]) -> None:
        """Query the storage of backends, one after the other.

        :param names: of the backends.
        """
        for name in names:
            try:
                backend = self._app.backend(name)
                self._pools[name] = [_pool(each) for each in pools.items(backend)]
                found = [_difference(each) for each in backend.reconcile()]
                self._problems[name] = [each for each in found if each["problem"] != "unverified"]
            except errors.CinderlibError as error:
                self._problems[name] = [
                    _item("unavailable", "backend", name, exits.one_line(error))
                ]

    @property
    def pools(self) -> list[Item]:
        """The last known pools of the backends that were queried."""
        return [dict(pool) for found in list(self._pools.values()) for pool in found]

    @property
    def problems(self) -> list[Item]:
        """The last known problems of the backends that were queried."""
        return [problem for found in list(self._problems.values()) for problem in found]


def read(app: App, backends: Iterable[str], storage: Storage) -> Item:
    """Everything that is shown now.

    :param backends: the names of the backends to show.
    :param storage: their last reports.
    """
    wanted = list(backends)
    now = datetime.datetime.now(datetime.UTC)
    volumes = [each for each in app.controller.volumes() if _backend_of(each) in wanted]
    history = app.controller.history(since=now - _RECENT)
    history = [each for each in history if each.backend in wanted]
    open_ones = [each for each in history if each.ended_at is None]
    return {
        "at": now,
        "pools": _pools(storage.pools, volumes, wanted),
        "operations": [items.operation(each) for each in open_ones],
        "attention": [
            *_of_operations(history),
            *_of_resources(app, volumes),
            *_of_connections(app, {each.id: each for each in volumes}),
            *storage.problems,
        ],
    }


def _backend_of(resource: cl.Volume | cl.Snapshot | cl.Connection) -> str:
    backend = resource.backend
    return backend if isinstance(backend, str) else backend.id


def _pool(found: Item) -> Item:
    names = ("backend", "pool", "total_bytes", "free_bytes", "used_percent", "provisioned_bytes")
    return {name: found[name] for name in names}


def _pools(reported: list[Item], volumes: list[cl.Volume], backends: list[str]) -> list[Item]:
    """The pools with the volumes of the store. Backends that did not report theirs yet have those
    of the volumes."""
    counted: dict[tuple[str, str], list[int]] = {}
    for volume in volumes:
        place = _backend_of(volume), volume.host.partition("#")[2]
        counted.setdefault(place, []).append(volume.size * _GIB)
    known = {(pool["backend"], pool["pool"]): pool for pool in reported}
    silent = set(backends) - {backend for backend, _ in known}
    for place in counted:
        known.setdefault(place, {"backend": place[0], "pool": place[1]})
    for name in silent - {backend for backend, _ in known}:
        known[name, ""] = {"backend": name, "pool": None}
    order = {name: place for place, name in enumerate(backends)}
    found = sorted(known.items(), key=lambda each: order[each[0][0]])
    return [
        {
            **pool,
            "volumes": len(counted.get(place, [])),
            "provisioned_bytes": sum(counted.get(place, []))
            if pool.get("provisioned_bytes") is None
            else pool["provisioned_bytes"],
        }
        for place, pool in found
    ]


def _item(problem: str, kind: str, name: str, detail: str, **more: Any) -> Item:
    return {"problem": problem, "kind": kind, "name": name, "detail": detail, **more}


def _of_operations(history: list[cl.Operation]) -> Iterator[Item]:
    """Operations that were interrupted, or that failed and were neither repeated with success nor
    made unnecessary by a delete."""
    settled: set[tuple[str, str]] = set()
    failed: list[Item] = []
    for each in reversed(history):
        resource = each.volume_id or each.resource_id
        about: dict[str, Any] = {"id": each.resource_id, "backend": each.backend}
        name = each.name or each.resource_id
        what = f"{each.operation} by {each.user or 'an unknown user'} on {each.host}"
        if each.outcome == "interrupted":
            detail = f"{what} was interrupted; run `cinderlib recover`"
            yield _item("interrupted", _kind(each), name, detail, at=each.started_at, **about)
        elif each.outcome == "pending":
            detail = f"{each.operation}: the next operation on the volume tries it again"
            yield _item("pending", _kind(each), name, detail, at=each.started_at, **about)
        elif each.outcome == "failed":
            places = {(each.operation, resource), ("volume.delete", resource)}
            if not places & settled and len(failed) < _FAILURES:
                detail = f"{what} failed: {each.error}"
                failed.append(_item("failed", _kind(each), name, detail, at=each.ended_at, **about))
            settled.add((each.operation, resource))
        elif each.ended_at is not None:
            settled.add((each.operation, resource))
    yield from failed


def _kind(operation: cl.Operation) -> str:
    return operation.operation.partition(".")[0]


def _of_resources(app: App, volumes: list[cl.Volume]) -> Iterator[Item]:
    names = {each.id for each in volumes}
    for volume in volumes:
        if volume.status.startswith("error"):
            yield _failed("volume", volume, volume.status)
    for snapshot in app.controller.snapshots():
        if snapshot.volume_id in names and snapshot.status.startswith("error"):
            yield _failed("snapshot", snapshot, snapshot.status)


def _failed(kind: str, resource: cl.Volume | cl.Snapshot, status: str) -> Item:
    detail = f"its status is {status}; `cinderlib log {resource.id[:8]}` shows why"
    about = {"id": resource.id, "backend": _backend_of(resource)}
    return _item("error", kind, resource.name or resource.id, detail, **about)


def _of_connections(app: App, volumes: dict[str, cl.Volume]) -> Iterator[Item]:
    for connection in app.controller.connections():
        detail = _DEVICE_STATES.get(connection.device_state or "")
        volume = volumes.get(connection.volume_id)
        if detail and volume is not None:
            about = {"id": connection.id, "backend": _backend_of(connection)}
            name = volume.name or volume.id
            path = items.connection(connection, name)["path"]
            yield _item("device", "connection", name, f"{detail} ({path})", **about)


def _difference(found: Any) -> Item:
    name, detail = found.name or found.resource_id, " ".join(found.detail.split())
    about = {"id": found.resource_id or None, "backend": found.backend}
    return _item(found.problem, found.kind, name, detail, **about)
