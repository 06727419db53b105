"""Finds the discrepancies between store and storage, without changing either."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from cinderlib import errors
from cinderlib.drivers.port_values import InStorage
from cinderlib.operations import (
    advice,
    connections,
    migration_targets,
    other_names,
    recovery,
    repairs,
    snapshots,
    volumes,
)
from cinderlib.operations.discrepancies import Act, Case, Discrepancy
from cinderlib.operations.history import PENDING_UNMAPS
from cinderlib.operations.journal import Journal
from cinderlib.operations.unmapping import unmapped_host
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    KINDS,
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
)

R = TypeVar("R", bound=Record)
#: Kinds of records that have a counterpart on the storage.
Stored = VolumeRecord | SnapshotRecord

_TRANSITIONAL: dict[type[Record], frozenset[str]] = {
    VolumeRecord: volumes.TRANSITIONAL,
    SnapshotRecord: snapshots.TRANSITIONAL,
    ConnectionRecord: connections.TRANSITIONAL,
}
#: States in which the storage may or may not have the resource.
_UNKNOWN = volumes.TRANSITIONAL | {"error", "error_deleting", "error_managing"}
#: Operations that an interrupted removal of an orphan leaves; the repeated removal completes them.
_REMOVALS = frozenset({"volume.delete", "snapshot.delete"})
#: How many resources a detail names.
_NAMED = 5


class Comparison:
    """One comparison of a backend's records with its storage.

    :param backend: its name; it is loaded.
    """

    def __init__(self, journal: Journal, backend: str) -> None:
        self._journal = journal
        self._store = journal.store
        self._backend = backend
        self._driver = journal.driver(backend)
        self._cases: list[Case] = []

    def cases(self) -> list[Case]:
        """All discrepancies.

        :raises DriverError: the storage does not respond.
        """
        self._cases = []
        found_volumes = self._read(VolumeRecord)
        found_snapshots = self._read(SnapshotRecord)
        found_connections = self._read(ConnectionRecord)
        self._intents(self._read(IntentRecord))
        with contextlib.suppress(errors.Unsupported):  # A store may be unable to list these.
            self._read(KeyValueRecord)
        self._relations(found_volumes, found_snapshots, found_connections)
        dangling = {
            c.discrepancy.resource_id for c in self._cases if c.discrepancy.problem == "dangling"
        }
        self._storage(found_volumes, [s for s in found_snapshots if s.id not in dangling])
        self._states([*found_volumes, *found_snapshots, *found_connections])
        self._replication(found_volumes, found_connections)
        for each in advice.of_groups(self._store, self._backend):
            self._add("failed", each.kind, each.id, each.detail, name=each.name)
        for name in self._driver.leftovers():
            self._add(
                "leftover", "file", "", "a killed process left it half made", name=name,
                repair=partial(repairs.clean, self._driver),
            )  # fmt: skip
        return self._cases

    def _add(
        self,
        problem: str,
        kind: str,
        id: str,
        detail: str,
        *,
        name: str = "",
        repair: Act | None = None,
        remove: Act | None = None,
    ) -> None:
        remedy = "repair" if repair is not None else "remove" if remove is not None else ""
        discrepancy = Discrepancy(problem, kind, self._backend, id, name, detail, remedy)
        self._cases.append(Case(discrepancy, repair, remove))

    # --- the store -----------------------------------------------------------------------------

    def _read(self, kind: type[R]) -> list[R]:
        """The records of the backend; those that cannot be read are cases."""
        where = {"backend": self._backend} if "backend" in kind.indexed else None
        found: list[R] = []
        for each in self._store.scan(kind, where):
            if isinstance(each, errors.DamagedRecord):
                id = str(each.resource)
                remove = partial(repairs.forget_damaged, self._journal, kind, id)
                self._add("damaged", kind.kind, id, str(each), remove=remove)
            else:
                found.append(each)
        return found

    def _intents(self, intents: Sequence[IntentRecord]) -> None:
        for intent in intents:
            settle = partial(repairs.settle, self._journal, intent)
            if intent.operation in PENDING_UNMAPS:
                detail = (
                    f"{unmapped_host(intent)} may still reach it: the driver could not unmap it"
                    " after a forced disconnect or a failed connect"
                )
                self._add("unmapped", "volume", intent.resource_id, detail, repair=settle)
            elif recovery.is_interrupted(self._journal, intent):
                detail = f"{intent.operation} was begun on {intent.owner.host} and did not end"
                remove = settle if intent.operation in _REMOVALS else None
                self._add(
                    "interrupted", "intent", intent.resource_id, detail,
                    repair=settle, remove=remove,
                )  # fmt: skip

    def _states(self, records: Sequence[VolumeRecord | SnapshotRecord | ConnectionRecord]) -> None:
        for record in records:
            if record.status in _TRANSITIONAL[type(record)]:
                if self._holds(record, self._is_stuck):
                    detail = f"it is '{record.status}', and nobody works on it: delete it"
                    self._add("stuck", record.kind, record.id, detail)
            elif record.status.startswith("error"):
                repair = None
                # No caller received a failed connection; a failed disconnect must be completed.
                if isinstance(record, ConnectionRecord) and record.device is None:
                    repair = partial(repairs.remove_failed_connection, self._journal, record)
                self._add("failed", record.kind, record.id, advice.of(record), repair=repair)

    def _replication(
        self, found: Sequence[VolumeRecord], its_connections: Sequence[ConnectionRecord]
    ) -> None:
        info = self._driver.info
        if detail := advice.of_backend(self._store, self._backend, info):
            self._add("failed", "backend", "", detail, name=self._backend)
        by_id = {volume.id: volume for volume in found}
        for connection in its_connections:
            volume = by_id.get(connection.volume_id)
            detail = advice.left_behind(connection, volume, info) if volume else ""
            if detail and self._holds(connection, self._is_left_behind):
                self._add("left-behind", connection.kind, connection.id, detail)

    def _is_left_behind(self, connection: ConnectionRecord) -> bool:
        current = self._store.get(ConnectionRecord, connection.id)
        volume = self._store.get(VolumeRecord, connection.volume_id)
        if current is None or volume is None:
            return False
        return bool(advice.left_behind(current, volume, self._driver.info))

    def _relations(
        self,
        found: Sequence[VolumeRecord],
        its_snapshots: Sequence[SnapshotRecord],
        its_connections: Sequence[ConnectionRecord],
    ) -> None:
        """Check the relations between records."""
        of_volume: dict[str, list[ConnectionRecord]] = {volume.id: [] for volume in found}
        for connection in its_connections:
            of_volume.setdefault(connection.volume_id, []).append(connection)
        for volume in found:
            if not repairs.fits(volume, of_volume[volume.id]) and self._holds(
                volume, self._is_inconsistent
            ):
                count = len(of_volume[volume.id])
                self._add(
                    "inconsistent", "volume", volume.id,
                    f"it is '{volume.status}' and '{volume.attach_status}', and has {count}"
                    " connection(s)",
                    repair=partial(repairs.set_status, self._journal, volume.id),
                )  # fmt: skip
        known = set(of_volume) & {volume.id for volume in found}
        belonging: list[SnapshotRecord | ConnectionRecord] = [*its_snapshots, *its_connections]
        for record in belonging:
            if record.volume_id not in known and self._is_dangling(record):
                self._dangling(record)

    def _dangling(self, record: SnapshotRecord | ConnectionRecord) -> None:
        detail = f"its volume {record.volume_id} is not in the store"
        if isinstance(record, SnapshotRecord):
            delete = partial(repairs.delete_snapshot, self._journal, record)
            self._add("dangling", record.kind, record.id, detail, remove=delete)
            return
        unmap = partial(repairs.unmap_dangling, self._journal, record)
        stand_in = volumes.stand_in(record.volume_id, self._backend, 1)
        gone = self._driver.exists(stand_in) is False
        detail += ", nor on the storage" if gone else f"; {host_of(record)} may reach it"
        self._add(
            "dangling", record.kind, record.id, detail, repair=unmap if gone else None, remove=unmap
        )

    def _is_stuck(self, record: VolumeRecord | SnapshotRecord | ConnectionRecord) -> bool:
        current = self._store.get(type(record), record.id)
        return (
            current is not None
            and current.status == record.status
            and not self._store.count(IntentRecord, {"resource_id": record.id})
        )

    def _is_inconsistent(self, volume: VolumeRecord) -> bool:
        current = self._store.get(VolumeRecord, volume.id)
        found = self._store.find(ConnectionRecord, {"volume_id": volume.id})
        return current is not None and not repairs.fits(current, found)

    def _is_dangling(self, record: SnapshotRecord | ConnectionRecord) -> bool:
        # A volume is deleted last, so it is checked before its snapshots and connections.
        return not self._knows("volume", record.volume_id) and self._knows(record.kind, record.id)

    def _holds(self, record: R, still: Callable[[R], bool]) -> bool:
        """Whether a suspected discrepancy persists under the volume's lock. ``False`` if the
        record cannot be read."""
        volume_id = getattr(record, "volume_id", record.id)
        try:
            with self._journal.locks.hold(volumes.lock_name(volume_id), timeout=recovery.PATIENCE):
                return still(record)
        except (errors.Busy, errors.DamagedRecord):
            return False

    def _knows(self, kind: str, id: str) -> bool:
        """Whether the store has a record of it, on any backend and with any status."""
        try:
            return self._store.get(KINDS[kind], id) is not None
        except errors.DamagedRecord:
            return True

    # --- the storage ---------------------------------------------------------------------------

    def _storage(
        self, found: Sequence[VolumeRecord], its_snapshots: Sequence[SnapshotRecord]
    ) -> None:
        """Compare the records with the resources on the storage.

        A record is stored before its resource is created, and removed after its resource is
        deleted. So a resource without a record was deleted in the meantime, or it is an orphan: an
        orphan is still in a second listing. Missing resources are also checked twice.
        """
        listed = self._driver.listing(found, its_snapshots)
        there = {(item.kind, item.id): item for item in listed.found}
        orphans = [item for key, item in there.items() if not self._knows(*key)]
        records: list[Stored] = [*found, *its_snapshots]
        expected = [
            record
            for record in records
            if record.status not in _UNKNOWN
            and (record.kind, record.id) not in there
            # The end of a migration gives its copy the volume's name on the storage. If it was
            # interrupted there, the recovery needs the record.
            and not (isinstance(record, VolumeRecord) and migration_targets.of(record))
        ]
        missing = [record for record in expected if record.kind in listed.kinds]
        if orphans or missing:
            listed = self._driver.listing(found, its_snapshots)
            there = {(item.kind, item.id): item for item in listed.found}
        orphans = [
            there[item.kind, item.id]
            for item in orphans
            if (item.kind, item.id) in there and not self._knows(item.kind, item.id)
        ]
        # Read after the records: a migration that ends replaces the record of the copy by the name.
        known = other_names.ids(self._store) if orphans else ()
        for item in orphans:
            if item.id not in known:
                self._orphan(item)
        for record in missing:
            if (record.kind, record.id) not in there and self._is_missing(record):
                self._missing(record)
        unverified: dict[str, list[Stored]] = {}
        for record in expected:
            if record.kind not in listed.kinds and (record.kind, record.id) not in there:
                exists = self._exists(record)
                if exists is None and self._is_settled(record):
                    unverified.setdefault(record.kind, []).append(record)
                elif exists is False and self._is_missing(record):
                    self._missing(record)
        for kind, records in unverified.items():
            self._unverified(kind, records)

    def _is_missing(self, record: Stored) -> bool:
        """Check again by name: a listing can omit resources that the driver cannot open now."""
        return self._is_settled(record) and self._exists(record) is False

    def _exists(self, record: Stored) -> bool | None:
        if isinstance(record, VolumeRecord):
            return self._driver.exists(record)
        volume = self._store.get(VolumeRecord, record.volume_id)
        volume = volume or volumes.stand_in(record.volume_id, self._backend, record.volume_size)
        return self._driver.snapshot_exists(record, volume)

    def _is_settled(self, record: Stored) -> bool:
        current = self._store.get(type(record), record.id)
        return current is not None and current.status not in _UNKNOWN

    def _orphan(self, item: InStorage) -> None:
        size = f" of {item.size} GiB" if item.size else ""
        detail = (
            f"a {item.kind}{size} that this store does not know; another store's, or a Cinder's,"
            " may have it"
        )
        do = repairs.remove_volume if item.kind == "volume" else repairs.remove_snapshot
        remove = partial(do, self._journal, self._backend, item)
        self._add("orphan", item.kind, item.id, detail, name=item.name, remove=remove)

    def _unverified(self, kind: str, records: Sequence[Stored]) -> None:
        names = [record.name or record.id for record in records[:_NAMED]]
        more = ["..."] if len(records) > _NAMED else []
        detail = (
            f"the driver cannot determine whether the storage has these {len(records)} {kind}s:"
            f" {', '.join([*names, *more])}. Check the storage; records of missing"
            " ones can be deleted as usual"
        )
        self._add("unverified", kind, "", detail)

    def _missing(self, record: Stored) -> None:
        detail = f"it is '{record.status}', and the storage does not have it"
        remove: Act
        volume = self._store.get(VolumeRecord, getattr(record, "volume_id", record.id))
        if since_failover := advice.of_missing(record, volume, self._driver.info):
            self._add("missing", record.kind, record.id, since_failover)
            return
        if isinstance(record, VolumeRecord):
            remove = partial(repairs.forget_volume, self._journal, record.id)
        else:
            remove = partial(repairs.forget_snapshot, self._journal, record)
        self._add("missing", record.kind, record.id, detail, remove=remove)
