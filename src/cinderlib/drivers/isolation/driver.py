"""A driver in a separate host process, for the process that calls it.

The host is started with the driver and again with the first call after it ended. A call that takes
too long is given up: the host is ended before the caller continues, so it does not change the
storage while recovery works on it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

from cinderlib import errors
from cinderlib.drivers.isolation import limits, process
from cinderlib.drivers.isolation.driver_host import DriverHost, Ended, handle_log_record
from cinderlib.drivers.isolation.grouping import IsolatedGrouping
from cinderlib.drivers.isolation.replicating import IsolatedReplication
from cinderlib.drivers.port import READING, TASKS, Settings
from cinderlib.drivers.port_values import DriverInfo, Extents, Listing, Manageable, Page
from cinderlib.locking.backend_lock import BackendLock
from cinderlib.observation import Activity, Observer, observed
from cinderlib.persistence.base import Store
from cinderlib.progress import Listener
from cinderlib.records import ConnectionRecord, Record, SnapshotRecord, TypeSpecs, VolumeRecord

#: The parts of a store that drivers use.
_OF_STORE = frozenset({"get", "find", "query", "count", "apply"})


class IsolatedDriver(IsolatedGrouping, IsolatedReplication):
    """:class:`cinderlib.drivers.port.Driver` for a driver in a separate process.

    :param backend: the name of the backend.
    :param options: as for :func:`cinderlib.drivers.load`.
    :param store: answers the driver's questions.
    :param lock: held around each call, if the driver does not support several processes.
    :param progress: receives the progress of the driver.
    :param observer: receives the starts of the process.
    :raises CinderlibError: see :func:`cinderlib.drivers.load`.
    """

    def __init__(
        self,
        backend: str,
        options: Mapping[str, Any],
        store: Store,
        settings: Settings,
        lock: BackendLock | None,
        progress: Listener | None,
        observer: Observer | None = None,
    ) -> None:
        self._backend = backend
        self._options = dict(options)
        self._store = store
        self._settings = settings
        self._lock = lock
        self._progress = progress
        self._observer = observer
        self._bounds = limits.of(backend, options)
        self._environment = process.Environment(self._bounds.python)
        self._pid = os.getpid()
        self._starting = threading.Lock()
        self._host: DriverHost | None = None
        self._closed = False
        try:
            with lock or contextlib.nullcontext():
                self._host, self._info = self._start("start")
        except BaseException:
            self.close()
            raise
        if self._info.active_active:
            self._lock = None

    @property
    def info(self) -> DriverInfo:
        return self._info

    # --- volumes

    def create_volume(self, volume: VolumeRecord) -> VolumeRecord:
        return cast(VolumeRecord, self._call("create_volume", volume))

    def create_volume_from_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord:
        return cast(VolumeRecord, self._call("create_volume_from_snapshot", volume, snapshot))

    def create_cloned_volume(self, volume: VolumeRecord, source: VolumeRecord) -> VolumeRecord:
        return cast(VolumeRecord, self._call("create_cloned_volume", volume, source))

    def delete_volume(self, volume: VolumeRecord) -> None:
        self._call("delete_volume", volume)

    def extend_volume(self, volume: VolumeRecord, new_size: int) -> VolumeRecord:
        return cast(VolumeRecord, self._call("extend_volume", volume, new_size))

    def extends_connected(self, volume: VolumeRecord) -> bool:
        return cast(bool, self._call("extends_connected", volume))

    # --- snapshots

    def create_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> SnapshotRecord:
        return cast(SnapshotRecord, self._call("create_snapshot", snapshot, volume))

    def delete_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        self._call("delete_snapshot", snapshot, volume)

    def revert_to_snapshot(self, volume: VolumeRecord, snapshot: SnapshotRecord) -> VolumeRecord:
        return cast(VolumeRecord, self._call("revert_to_snapshot", volume, snapshot))

    # --- existing volumes and snapshots

    def manageable_volumes(self, known: Sequence[VolumeRecord], page: Page) -> list[Manageable]:
        return cast("list[Manageable]", self._call("manageable_volumes", list(known), page))

    def manageable_snapshots(self, known: Sequence[SnapshotRecord], page: Page) -> list[Manageable]:
        return cast("list[Manageable]", self._call("manageable_snapshots", list(known), page))

    def manageable_volume_size(self, volume: VolumeRecord, reference: Mapping[str, Any]) -> int:
        return cast(int, self._call("manageable_volume_size", volume, reference))

    def manage_volume(self, volume: VolumeRecord, reference: Mapping[str, Any]) -> VolumeRecord:
        return cast(VolumeRecord, self._call("manage_volume", volume, reference))

    def unmanage_volume(self, volume: VolumeRecord) -> None:
        self._call("unmanage_volume", volume)

    def manageable_snapshot_size(
        self, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
    ) -> int:
        return cast(int, self._call("manageable_snapshot_size", snapshot, volume, reference))

    def manage_snapshot(
        self, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
    ) -> SnapshotRecord:
        return cast(SnapshotRecord, self._call("manage_snapshot", snapshot, volume, reference))

    def unmanage_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        self._call("unmanage_snapshot", snapshot, volume)

    def retype(self, volume: VolumeRecord, target: TypeSpecs) -> VolumeRecord | None:
        return cast("VolumeRecord | None", self._call("retype", volume, target))

    # --- migration

    def migrate_volume(
        self, volume: VolumeRecord, host: str, capabilities: Mapping[str, Any]
    ) -> VolumeRecord | None:
        return cast("VolumeRecord | None", self._call("migrate_volume", volume, host, capabilities))

    def update_migrated_volume(
        self, volume: VolumeRecord, copy: VolumeRecord, status: str
    ) -> VolumeRecord:
        return cast(VolumeRecord, self._call("update_migrated_volume", volume, copy, status))

    # --- what changed

    def volume_extents(
        self, volume: VolumeRecord, since: SnapshotRecord | None, offset: int
    ) -> Extents:
        return cast(Extents, self._call("volume_extents", volume, since, offset))

    def snapshot_extents(
        self,
        snapshot: SnapshotRecord,
        volume: VolumeRecord,
        since: SnapshotRecord | None,
        offset: int,
    ) -> Extents:
        return cast(Extents, self._call("snapshot_extents", snapshot, volume, since, offset))

    # --- connections

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        self._call("validate_connector", connector)

    def create_export(self, volume: VolumeRecord, connector: Mapping[str, Any]) -> VolumeRecord:
        return cast(VolumeRecord, self._call("create_export", volume, connector))

    def ensure_export(self, volume: VolumeRecord) -> VolumeRecord:
        return cast(VolumeRecord, self._call("ensure_export", volume))

    def initialize_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord
    ) -> dict[str, Any]:
        return cast("dict[str, Any]", self._call("initialize_connection", volume, connection))

    def terminate_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord, *, force: bool = False
    ) -> bool:
        return cast(bool, self._call("terminate_connection", volume, connection, force=force))

    def remove_export(self, volume: VolumeRecord) -> VolumeRecord:
        return cast(VolumeRecord, self._call("remove_export", volume))

    # --- the backend as a whole

    def stats(self, *, refresh: bool = False) -> dict[str, Any]:
        return cast("dict[str, Any]", self._call("stats", refresh=refresh))

    def size_limit(self, volume: VolumeRecord, size: int) -> int | None:
        return cast("int | None", self._call("size_limit", volume, size))

    def listing(
        self, volumes: Sequence[VolumeRecord], snapshots: Sequence[SnapshotRecord]
    ) -> Listing:
        return cast(Listing, self._call("listing", list(volumes), list(snapshots)))

    def leftovers(self, *, remove: bool = False) -> list[str]:
        return cast("list[str]", self._call("leftovers", remove=remove))

    def exists(self, volume: VolumeRecord) -> bool | None:
        return cast("bool | None", self._call("exists", volume))

    def snapshot_exists(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> bool | None:
        return cast("bool | None", self._call("snapshot_exists", snapshot, volume))

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str:
        return cast(str, self._call("name_in_storage", record))

    def attribute(self, name: str) -> Any:
        is_method, value = self._call("attribute", name)
        if not is_method:
            return value

        def method(*args: Any, **kwargs: Any) -> Any:
            return self._call("call_attribute", name, *args, **kwargs)

        return method

    def close(self) -> None:
        self._closed = True
        self._leave_hosts_of_parent()
        host, self._host = self._host, None
        if host is not None:
            host.close()
        self._environment.close()

    # --- within

    def _call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        if self._closed:
            raise errors.InvalidState(f"Backend {self._backend!r} is closed")
        about = args[0].id if args and isinstance(args[0], Record) else None
        task = (TASKS.get(function) or f"run {args[0]}()").format(about)
        with self._lock or contextlib.nullcontext():
            host = self._running_host()
            try:
                answer = host.call(function, task, args, kwargs)
            except Ended as end:
                self._raise_ended(end, function, task, about)
            except TypeError as exc:
                raise errors.Unsupported(
                    f"backend {self._backend!r} could not {task}: {exc}", resource=about
                ) from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _raise_ended(self, end: Ended, function: str, task: str, about: str | None) -> NoReturn:
        advice = "Repeat the call"
        if function not in READING:
            advice = (
                "The storage may have changed. Repeat the call, or call recover(); both settle the"
                " interrupted operation first"
            )
        raise end.kind(
            f"backend {self._backend!r} could not {task}: {end.why}. {advice}", resource=about
        ) from None

    def _running_host(self) -> DriverHost:
        """The host; a new one if the last one has ended, or belongs to the parent process."""
        self._leave_hosts_of_parent()
        with self._starting:
            host = self._host
            if host is not None and host.is_usable:
                return host
            if host is not None:
                why = host.end()
                if not host.process.wait(0):
                    raise errors.DriverInterrupted(
                        f"backend {self._backend!r} cannot be used: {why}, but the kernel keeps"
                        f" process {host.process.pid} while it waits for a device",
                        resource=self._backend,
                    )
                host.process.close()
            try:
                self._host, self._info = self._start("restart")
            except errors.CinderlibError as exc:
                self._host = None
                raise errors.DriverInterrupted(
                    f"backend {self._backend!r} could not start the process of the driver again:"
                    f" {exc}",
                    resource=self._backend,
                ) from exc
            return self._host

    def _leave_hosts_of_parent(self) -> None:
        """In a fork of the program: its host belongs to the parent process."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._starting = threading.Lock()
        host, self._host = self._host, None
        if host is not None:
            host.process.close()

    def _start(self, name: str) -> tuple[DriverHost, DriverInfo]:
        """Start a host and load the driver in it.

        :param name: of the activity that the observer receives.
        """
        with observed(self._observer, Activity("host start", name, self._backend)):
            return self._new_host()

    def _new_host(self) -> tuple[DriverHost, DriverInfo]:
        host = DriverHost(
            self._environment.fork(self._backend, self._bounds),
            self._backend,
            self._bounds,
            self._answer,
        )
        try:
            info = host.prepare("load", self._options, self._settings)
        except BaseException:
            host.close()
            raise
        return host, cast(DriverInfo, info)

    def _answer(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Answer a call of the host."""
        if function == "log":
            handle_log_record(*args)
        elif function == "progress":
            if self._progress is not None:
                self._progress(*args)
        elif function == "store.scan":
            return list(self._store.scan(*args, **kwargs))
        else:
            name = function.removeprefix("store.")
            if name not in _OF_STORE:
                raise errors.Unsupported(f"the caller of a driver has no {function}()")
            return getattr(self._store, name)(*args, **kwargs)
        return None
