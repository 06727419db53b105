"""A store, storage and a host in one process, and checks that they agree."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import random
import re
from typing import Any

import control_groups
import death
import luks_host
from death import OTHER
from document_store import DocumentStore
from points import Points

import cinderlib.drivers
from cinderlib import Backend, Controller, Snapshot, Volume
from cinderlib.errors import Busy, InvalidGroup, Unsupported, VolumeTypeNotFound
from cinderlib.locking.process_identity import this_host
from cinderlib.node import block, loop
from cinderlib.node.state import State
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Put, Remove
from cinderlib.records import (
    KINDS,
    ConnectionRecord,
    GroupRecord,
    GroupSnapshotRecord,
    IntentRecord,
    KeyValueRecord,
    OperationRecord,
    Record,
    ReplicationRecord,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

GIB = 1 << 30
#: The key of the store in scenarios with encrypted volumes.
ENCRYPTION_KEY = "Y2luZGVybGliJ3MgdGVzdHMgb2YgY3Jhc2hlcyE_Pz8="
#: The offset of the test data in a volume, in bytes.
PLACES = (0, GIB // 2, GIB - 4096)
_HEADER = 16 << 20
#: The same in the decrypted device of an encrypted volume.
DECRYPTED_PLACES = (0, GIB // 2, GIB - _HEADER - 4096)
#: Where the data of a volume can be that is encrypted or decrypted by a copy. A host can have
#: written the random header of an encrypted volume before it failed.
_ALL_PLACES = (
    *(place for place in (*PLACES, *DECRYPTED_PLACES) if place),
    *(_HEADER + place for place in (*PLACES, *DECRYPTED_PLACES)),
)

#: The keys of key-values that scenarios write.
KEYS = ("key",)
#: The names of volume types that scenarios create.
TYPES = ("thick", "unused", "gold", "encrypted")
#: The IDs of the group, the group snapshot and the copy of the group that scenarios create.
GROUP, GROUP_SNAPSHOT, GROUP_COPY = (
    f"{letter * 8}-0000-4000-8000-000000000000" for letter in "ef9"
)

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_SETTLED = {
    "volume": {"available", "in-use"},
    "snapshot": {"available"},
    "connection": {"attached"},
}


class World:
    """The view of one process.

    :param root: the folder of everything outside the store; its subfolder ``state`` is shared.
    :param url: the URL of the store's database.
    :param lock_timeout: in seconds; a short time is enough for a single process.
    :param isolated: whether the driver has a separate process.
    :param encrypted: whether the store encrypts secrets, and hosts volumes.
    :param key_files: whether the keys of volumes are in files, so that the store encrypts nothing.
    """

    def __init__(
        self,
        root: pathlib.Path,
        state: pathlib.Path,
        url: str,
        points: Points,
        lock_timeout: float = 20,
        isolated: bool = False,
        encrypted: bool = False,
        key_files: bool = False,
    ) -> None:
        self.root = root
        self.volumes = root / "volumes"
        #: The folder of the second backend is in that of the first one, so a name identifies a file
        #: of both.
        self.other_volumes = self.volumes / OTHER
        self.points = points
        #: A folder like a control group; see :meth:`make_cgroup`.
        self.cgroup = root / "cgroup"
        control_groups.accept(root)
        #: Orders the driver's process to die; see ``death.py``.
        self.death = death.file_of(self.volumes)
        self._isolated = isolated
        self._encrypted = encrypted
        self._mapped = root / "luks" / "mapped"
        if encrypted:
            os.environ["PATH"] = luks_host.install(root / "luks", devices=True)
        keys = {"encryption_keys": ENCRYPTION_KEY} if encrypted and not key_files else {}
        self._key_files = root / "keys"
        self._host_state = State(state / "node")
        load = cinderlib.drivers.load

        def watched(*args: Any, **kwargs: Any) -> Any:
            return points.watch_driver(load(*args, **kwargs))

        cinderlib.drivers.load = watched
        random.seed(0)  # the history is trimmed after a random number of operations
        documents = url.removeprefix("documents:") if url.startswith("documents:") else None
        locks = state / "locks"  # not those of other workers
        # The first operation would create the file, and have a step more than the later ones.
        locks.mkdir(parents=True, exist_ok=True)
        (locks / "locks").touch(0o600)
        self.controller = Controller(
            {"storage": "db", "connection": url, **keys}
            if documents is None
            else DocumentStore(documents),
            state_path=state,
            file_locks_path=locks,
            lock_timeout=lock_timeout,
            volume_keys={"manager": "file", "folder": str(self._key_files)} if key_files else None,
        )
        if documents is not None:
            self.controller.persistence.load = self.controller.load  # type: ignore[attr-defined]
        points.watch_store(self.controller.store)
        self.backend: Backend
        #: Files without a record that the scenario creates or leaves on the storage.
        self.unmanaged: frozenset[str] = frozenset()
        #: Whether there is a second backend.
        self.has_other = False
        #: The class of the driver in ``array_driver.py``.
        self.driver = "ArrayDriver"

    def load_backend(self) -> None:
        """Load the backend, which recovers interrupted operations."""
        module = "dying_driver" if self._isolated else "array_driver"
        options = {"volume_driver": f"{module}.{self.driver}"}
        if self._isolated:
            options["isolation"] = "process"
        if self.driver == "ReplicatedDriver":
            options["replication_device"] = "backend_id:second"
        self.backend = self.controller.backend("array", **options, file_root=str(self.volumes))
        if self.has_other:
            self.controller.backend(OTHER, **options, file_root=str(self.other_volumes))

    def empty_store(self) -> None:
        """Remove all records, because many cases share a database."""
        store = self.controller.store
        for kind in KINDS.values():
            for record in self._found(kind):
                store.apply(Remove(kind, record.id))
        for group in self._groups():
            store.apply(in_key_values.remove(group))
        state = in_key_values.find(store, ReplicationRecord, "array")
        if state is not None:
            store.apply(in_key_values.remove(state))

    def _found(self, kind: type[Record]) -> list[Any]:
        """The records of a kind. If the store cannot list key-values, those of the scenarios."""
        store = self.controller.store
        try:
            return store.find(kind)
        except Unsupported:
            return [found for key in KEYS if (found := store.get(kind, key)) is not None]

    def _groups(self) -> list[GroupRecord | GroupSnapshotRecord]:
        """The group and the group snapshot of scenarios, if they exist."""
        store = self.controller.store
        kept = [
            in_key_values.find(store, GroupRecord, GROUP),
            in_key_values.find(store, GroupSnapshotRecord, GROUP_SNAPSHOT),
            in_key_values.find(store, GroupRecord, GROUP_COPY),
        ]
        return [each for each in kept if each is not None]

    # --- building blocks of scenarios ------------------------------------------------------------

    def volume(self, id: str) -> Volume:
        return self.controller.volume(id)

    def make_volume(self, id: str, **fields: Any) -> Volume:
        """Create a volume with its own data."""
        volume = self.backend.create_volume(1, id=id, **fields)
        self.write(volume, id)
        return volume

    def write(self, volume: Volume, text: str) -> None:
        self._write(self.volumes / volume.name_in_storage, text)

    def write_copy(self, copy: Volume, text: str) -> None:
        """Write to the copy of a volume on the second backend."""
        self._write(self.other_volumes / copy.name_in_storage, text)

    def write_decrypted(self, volume: Volume, text: str) -> None:
        """Write to an encrypted volume."""
        with volume.attached() as connection:
            self._write(pathlib.Path(connection.path), text, DECRYPTED_PLACES)

    def _write(self, path: pathlib.Path, text: str, places: tuple[int, ...] = PLACES) -> None:
        with path.open("r+b") as file:
            for place in places:
                file.seek(place)
                file.write(f"{text} at {place}".encode())

    def make_existing(self, name: str) -> None:
        """Create a volume on the storage without a record."""
        path = self.volumes / name
        path.touch()
        os.truncate(path, GIB)
        self._write(path, name)

    def make_cgroup(self) -> None:
        """Create a folder like a control group."""
        control_groups.make(self.cgroup)

    def lose_exports(self) -> None:
        """Let the storage forget its exports and mappings."""
        for path in self.volumes.with_name(f"{self.volumes.name}-access").iterdir():
            path.unlink()

    def lose_data(self, resource: Volume | Snapshot) -> None:
        """Let the storage lose a volume or snapshot."""
        (self.volumes / resource.name_in_storage).unlink()

    def lose_record(self, kind: type[Record], id: str) -> None:
        """Let the store lose a record."""
        self.controller.store.apply(Remove(kind, id))

    def change_record(self, kind: type[Record], id: str, **fields: Any) -> None:
        """Change fields of a record as no operation does."""
        store = self.controller.store
        record = store.get(kind, id)
        assert record is not None
        store.apply(Put(replace(record, **fields)))

    def connector(self, host: str) -> dict[str, Any]:
        return {"host": host, "ip": "192.0.2.1"}

    # --- history ---------------------------------------------------------------------------------

    def forget_history(self) -> None:
        """Remove the records of ended operations."""
        store = self.controller.store
        if store.keeps_history:
            for record in store.find(OperationRecord):
                store.apply(Remove(OperationRecord, record.id))

    def intents(self) -> list[IntentRecord]:
        return self.controller.store.find(IntentRecord)

    def never_trim_history(self) -> None:
        """Let each operation take the same steps, however many were before it."""
        history = self.controller.journal._history
        history._until_trim = history._until_count = 1 << 30

    def has_old_data(self) -> bool:
        """Whether the old data of a migrated volume is still to be deleted."""
        return any("old_data_of" in intent.data for intent in self.intents())

    def recorded(self) -> list[tuple[str, str, str]]:
        """The ended operations: name, outcome and resource."""
        store = self.controller.store
        if not store.keeps_history:
            return []
        return [(o.operation, o.outcome, o.resource_id) for o in store.find(OperationRecord)]

    def missing_in_history(self, intents: list[IntentRecord]) -> list[str]:
        """Describe the operations of these intents that ended without a record.

        :param intents: those that were in the store before the recovery.
        """
        if not self.controller.store.keeps_history:
            return []
        settled = {
            (name, id)
            for name, outcome, id in self.recorded()
            if outcome in ("finished", "undone", "failed")
        }
        return [
            f"{intent.operation} of {intent.resource_id} was recovered without a record"
            for intent in intents
            if (intent.operation, intent.resource_id) not in settled
        ]

    def wrong_in_history(
        self, state: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
    ) -> list[str]:
        """Describe the records that disagree with the state."""
        # A temporary volume is created and deleted by operations that succeed.
        gone = {
            id
            for name, outcome, id in self.recorded()
            if name == "snapshot.release" or (name, outcome) == ("snapshot.connect", "undone")
        }
        recorded = [each for each in self.recorded() if each[2] not in gone]
        # A migration is complete when all its steps are, which are operations too.
        compound = ("volume.migrate_by_copy", "volume.start_migration")
        whole = [each for each in recorded if each[0] in compound]
        succeeded = [each for each in whole or recorded if each[1] in ("done", "finished")]
        if before == after or not self.controller.store.keeps_history:
            return []
        if state == before and succeeded:
            return [f"recorded as done, but not done: {succeeded}"]
        if state == after and not succeeded:
            return ["done, but not recorded as done"]
        return []

    # --- observations ----------------------------------------------------------------------------

    def _name(self, record: VolumeRecord | SnapshotRecord) -> str:
        """The name on the storage, with the folder of the second backend; of a mapped snapshot for
        its temporary volume."""
        if isinstance(record, VolumeRecord) and record.snapshot_access == "native":
            snapshot = self.controller.store.get(SnapshotRecord, str(record.snapshot_id))
            record = record if snapshot is None else snapshot
        name = self.controller.name_in_storage(record)
        return f"{OTHER}/{name}" if record.backend == OTHER else name

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        try:
            with (self.volumes / name).open("rb") as file:
                for place in _ALL_PLACES if self._encrypted else PLACES:
                    file.seek(place)
                    digest.update(file.read(64))
        except FileNotFoundError:
            return "no data"
        return digest.hexdigest()[:12]

    def _files(self) -> list[str]:
        """The names of the files of both backends."""
        found = [*self.volumes.glob("*"), *self.other_volumes.glob("*")]
        return sorted(str(each.relative_to(self.volumes)) for each in found if each.is_file())

    def _accesses(self) -> list[str]:
        """The exports and mappings of both backends, by the names of the files."""
        found = []
        for folder, lead in ((self.volumes, ""), (self.other_volumes, f"{OTHER}/")):
            for path in folder.with_name(f"{folder.name}-access").glob("*"):
                what, _, name = path.name.partition(" ")
                found.append(f"{what} {lead}{name}")
        return sorted(found)

    def _loops(self) -> list[str]:
        """The names of the files of loop devices, one for each device."""
        found = []
        for attribute in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
            backing = pathlib.Path(block.read(attribute) or "/")
            if self.volumes in backing.parents:
                found.append(str(backing.relative_to(self.volumes)))
        return sorted(found)

    def _limits(self) -> list[str]:
        """The limits of the device of a volume, if it has any."""
        limits = control_groups.limits(self.cgroup)
        return [] if limits in ("", control_groups.UNLIMITED) else [limits]

    def _litter(self) -> list[str]:
        """The names of files in the host's state folder that do not belong to attachments."""
        keys = {entry.key for entry in self._host_state.entries()}
        files = [path for path in self._host_state.path.rglob("*") if path.is_file()]
        return [path.name for path in files if path.name.split(".")[0] not in keys]

    def _types(self) -> dict[str, dict[str, str]]:
        """The extra specs of the types of scenarios, by their names."""
        found = {}
        for each in TYPES:
            with contextlib.suppress(VolumeTypeNotFound):
                found[each] = dict(self.controller.volume_type(each).extra_specs)
        return found

    def _replication(self) -> dict[str, Any]:
        """The differences from a backend that uses its own storage."""
        state = self.backend.replication
        found = {"active": state.active_backend_id, "frozen": state.frozen}
        if state.status not in ("disabled", "enabled"):
            found["status"] = state.status
        return {key: value for key, value in found.items() if value}

    def observe(self) -> dict[str, Any]:
        """Everything that a user can observe, in a form that is comparable between runs."""
        store, name = self.controller.store, self._name
        # A volume that a driver could not rename has a random name on the storage.
        random_names = {
            str(v.name_id): f"of {v.id}" for v in store.find(VolumeRecord) if v.name_id is not None
        }

        def comparable(text: str) -> str:
            return _ID.sub(lambda found: random_names.get(found[0], found[0]), text)

        connections = [
            [c.volume_id, c.connector.get("host"), c.status, c.attach_mode, c.device is not None]
            for c in store.find(ConnectionRecord)
        ]
        return {
            "volumes": {
                v.id: [
                    *(v.status, v.attach_status, v.size, v.name, v.metadata, v.previous_status),
                    *(v.group_id, v.replication_extended_status, v.provider_id),
                    v.replication_status,
                    *(v.backend, v.type_name, v.extra_specs, v.encryption),
                    self._digest(name(v)),
                ]
                for v in store.find(VolumeRecord)
            },
            "snapshots": {
                s.id: [s.status, s.volume_id, s.volume_size, s.name, self._digest(name(s))]
                for s in store.find(SnapshotRecord)
            },
            "connections": sorted(connections, key=repr),
            "keys": {k.id: k.value for k in self._found(KeyValueRecord) if k.id in KEYS},
            "types": self._types(),
            "groups": {
                g.id: [
                    *(g.kind, g.status, g.name, list(g.volume_ids), list(g.snapshot_ids)),
                    *self._replication_of(g),
                ]
                for g in self._groups()
            },
            "replication": self._replication(),
            "key files": sorted(
                comparable(path.name.partition(".")[0]) for path in self._key_files.glob("*")
            ),
            "files": {comparable(file): self._digest(file) for file in self._files()},
            "access": sorted(map(comparable, self._accesses())),
            "loops": sorted(map(comparable, self._loops())),
            "limits": self._limits(),
        }

    @staticmethod
    def _replication_of(group: GroupRecord | GroupSnapshotRecord) -> list[str | None]:
        """The state of the replication of a group."""
        if not isinstance(group, GroupRecord):
            return []
        return [group.replication_status, group.active_backend_id]

    def disagreements(self, *, litter: bool = False) -> list[str]:
        """Describe the disagreements between the store, the storage and this host.

        :param litter: whether to include files without effect in the host's state folder, such as
            locks.
        """
        store, name = self.controller.store, self._name
        wrong = [
            f"intent {i.operation} of {i.resource_id} is left" for i in store.find(IntentRecord)
        ]
        volumes = {v.id: v for v in store.find(VolumeRecord)}
        snapshots = store.find(SnapshotRecord)
        connections = store.find(ConnectionRecord)
        for record in [*volumes.values(), *snapshots, *connections]:
            lost = getattr(record, "replication_extended_status", None) == "no-replica"
            if lost and record.status == "error" and self.backend.replication.active_backend_id:
                continue
            if record.status not in _SETTLED[record.kind]:
                wrong.append(f"{record.kind} {record.id} is stuck in {record.status!r}")

        wrong += self._group_disagreements(volumes, snapshots)
        sizes = {name(v): v.size for v in volumes.values()}
        sizes |= {name(s): s.volume_size for s in snapshots}
        files = self._files()
        wrong += [f"orphan: {f}" for f in files if f not in sizes and f not in self.unmanaged]
        wrong += [f"no data: {file}" for file in sizes if file not in files]
        for file in files:
            actual = (self.volumes / file).stat().st_size
            if actual != sizes.get(file, 0) * GIB and file in sizes:
                wrong.append(f"{file} has {actual} bytes, the store says {sizes[file]} GiB")

        granted = set(self._accesses())
        state = self.backend.replication
        if state.status not in ("disabled", "enabled", "failed-over"):
            wrong.append(f"the backend is stuck in {state.status!r}")
        wanted = {f"{v.provider_id} {name(v)}" for v in volumes.values() if v.provider_id}
        wanted |= {
            f"replica {name(volumes[id])}"
            for group in self._groups()
            if isinstance(group, GroupRecord) and group.replication_status != "disabled"
            for id in group.volume_ids
            if id in volumes
        }
        for connection in connections:
            volume = volumes.get(connection.volume_id)
            if volume is None:
                wrong.append(f"connection {connection.id} of no volume")
                continue
            wanted |= {f"export {name(volume)}"}
            wanted |= {f"map {name(volume)} {connection.connector['host']}"}
        wrong += [f"leaked on the storage: {what}" for what in sorted(granted - wanted)]
        wrong += [f"missing on the storage: {what}" for what in sorted(wanted - granted)]
        connected = {c.volume_id for c in connections}
        for volume in volumes.values():
            if (volume.status == "in-use") != (volume.id in connected):
                wrong.append(f"volume {volume.id} is {volume.status!r}")
        wrong += self._key_disagreements(volumes)
        if litter:
            wrong += [f"left in the state folder: {name}" for name in self._litter()]
        return wrong + self._host_disagreements(volumes, connections)

    def _group_disagreements(
        self, volumes: dict[str, VolumeRecord], snapshots: list[SnapshotRecord]
    ) -> list[str]:
        wrong = []
        members: dict[str, str] = {}
        taken: dict[str, str] = {}
        for group in self._groups():
            if group.status != "available":
                wrong.append(f"{group.kind} {group.id} is stuck in {group.status!r}")
            if isinstance(group, GroupRecord):
                if group.replication_status not in ("disabled", "enabled", "failed-over"):
                    wrong.append(f"group {group.id} is stuck in {group.replication_status!r}")
                members |= dict.fromkeys(group.volume_ids, group.id)
            else:
                taken |= dict.fromkeys(group.snapshot_ids, group.id)
        of_volumes = {v.id: v.group_id for v in volumes.values() if v.group_id is not None}
        if of_volumes != members:
            wrong.append(f"volumes say groups {of_volumes}, and groups say volumes {members}")
        of_snapshots = {s.id: s.group_snapshot_id for s in snapshots if s.group_snapshot_id}
        if of_snapshots != taken:
            wrong.append(f"snapshots say {of_snapshots}, and group snapshots say {taken}")
        return wrong

    def _key_disagreements(self, volumes: dict[str, VolumeRecord]) -> list[str]:
        """Describe the keys in files that are lost, left or wrong."""
        found = {path.name: path.read_text() for path in self._key_files.glob("*")}
        wanted = {}
        for volume in volumes.values():
            if volume.encryption and volume.encryption_key is None:
                reference = volume.encryption_key_ref or "none"
                wanted[volume.id] = f"{reference.removeprefix('file:')}.key"
        wrong = [f"key of {id} is lost" for id, name in wanted.items() if not found.get(name)]
        wrong += [f"key {name} is left" for name in found if name not in wanted.values()]
        for volume in volumes.values():
            source = wanted.get(str(volume.source_volid))
            if source is not None and found.get(wanted[volume.id]) != found.get(source):
                wrong.append(f"{volume.id} has another key than its source")
        return wrong

    def _host_disagreements(
        self, volumes: dict[str, VolumeRecord], connections: list[ConnectionRecord]
    ) -> list[str]:
        wrong, name = [], self._name
        devices = self._loops()
        opened = set(os.listdir(self._mapped)) if self._mapped.exists() else set()
        mapped = set(opened)
        for connection in connections:
            if connection.device is None or connection.attached_host != this_host():
                continue
            device = connection.device.reveal()
            if "encrypted_path" in device:
                opened.discard(os.path.basename(device["path"]))
            path = device.get("encrypted_path") or device["path"]
            file = str(self.volumes / name(volumes[connection.volume_id]))
            if path == file:  # attached without root
                continue
            if "encrypted_path" in device and os.path.basename(device["path"]) not in mapped:
                wrong.append(f"connection {connection.id} has no decrypted device")
            if loop.backing_file(path) != file:
                wrong.append(f"connection {connection.id} has no device")
                continue
            devices.remove(name(volumes[connection.volume_id]))
            if block.size(path) != volumes[connection.volume_id].size * GIB:
                wrong.append(f"{path} has {block.size(path)} bytes")
        wrong += [f"leaked device of {file}" for file in devices]
        wrong += [f"leaked decrypted device {each}" for each in opened]
        attached = {c.id for c in connections if c.device is not None}
        # A change of an attachment records the limits first; a repeated call completes it.
        if self._limits() and not any(each.limited for each in self._host_state.entries()):
            wrong.append(f"leaked limits: {self._limits()}")
        for entry in self._host_state.entries():
            if entry.status != "attached":
                wrong.append(f"the host's state says {entry.status!r}")
            if entry.document.get("id") not in attached:
                wrong.append("the host's state has an attachment that the store has not")
        return wrong

    def remove_all(self, *, litter: bool = True) -> list[str]:
        """Remove everything through the public API.

        :param litter: whether to include files without effect.
        :returns: descriptions of remaining resources.
        """
        if self.backend.replication.targets:
            self.backend.thaw()
            if self.backend.replication.status == "failover-error":
                self.backend.failover()  # the driver may have changed volumes before it failed
            self.backend.failback()
        for connection in list(self.controller.connections()):
            if connection._record.attached_host in (None, this_host()):
                connection.detach()
            connection.disconnect()
        for group in reversed(self._groups()):
            if isinstance(group, GroupRecord):
                found = self.controller.group(group.id)
                if group.replication_status != "disabled":
                    # The call settles an interrupted operation first, which can disable the group.
                    with contextlib.suppress(InvalidGroup):
                        found.failback()
                    found.disable_replication()
                found.delete()
            else:
                self.controller.group_snapshot(group.id).delete()
        for snapshot in list(self.controller.snapshots()):
            # If its manage failed, its data may be that of another program.
            failed = snapshot.status == "error" and snapshot.managed_from is not None
            snapshot.unmanage() if failed else snapshot.delete()
        for volume in list(self.controller.volumes()):
            if volume.migration_status == "migrating":
                try:
                    volume.cancel_migration()
                except Busy:  # a migration by a copy that could not be undone without the store
                    self.controller.recover()
        for volume in list(self.controller.volumes()):
            volume.unmanage() if volume.status == "error_managing" else volume.delete()
        for name in set(self._files()) & self.unmanaged:
            (self.volumes / name).unlink()
        left = {k: v for k, v in self.observe().items() if v and k not in ("keys", "types")}
        return self.disagreements(litter=litter) + [
            f"cannot be removed: {left}" for _ in left and [1]
        ]
