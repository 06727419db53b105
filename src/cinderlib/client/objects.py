"""The library's objects, whose verbs are done by the service."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from cinderlib import errors, records, validation
from cinderlib.client.attachable import RemoteAttachable
from cinderlib.client.remote_resource import RemoteResource
from cinderlib.drivers.port_values import Extent, Extents
from cinderlib.node import file_format
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.attachable import HostAccess
from cinderlib.objects.backend import Backend
from cinderlib.objects.connection import Connection
from cinderlib.objects.snapshot import Snapshot
from cinderlib.objects.volume import Volume
from cinderlib.objects.volume_type import VolumeType
from cinderlib.operations.migrate import Destination
from cinderlib.records import AttachOptions, Secret, SnapshotRecord, VolumeRecord, replace
from cinderlib.streams.format import Header


class RemoteVolume(RemoteAttachable, Volume):
    """A volume of a service."""

    _collection = "volumes"

    def create(self) -> None:
        asked = dict(getattr(self, "_requested", {}))
        if not {"source_volid", "snapshot_id"} & asked.keys():
            asked["backend"] = self._record.backend
        if self._unique_name:
            asked["unique_name"] = True
        answer = self._change("POST", "/v1/volumes", {"id": self.id, **_with_type(asked)})
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def delete(self, *, snapshots: bool = False) -> None:
        self._change("DELETE", self._path() + ("?snapshots=true" if snapshots else ""))
        self._removed(status="deleted")

    def rename(self, name: str) -> None:
        body = {"name": validation.check_name(name), "unique_name": True}
        self._adopt(records.from_builtins(VolumeRecord, self._change("PATCH", self._path(), body)))

    def _manage(self, reference: dict[str, Any]) -> None:
        asked = _with_type({k: v for k, v in self._requested.items() if k != "size"})
        path = f"/v1/backends/{quote(self._record.backend, safe='')}/manage-volume"
        answer = self._change("POST", path, {"reference": reference, "id": self.id, **asked})
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def unmanage(self) -> None:
        self._change("POST", self._path("unmanage"))
        self._removed()

    def _part_of_extents(self, since_id: str | None, offset: int) -> Extents:
        return _extents(self._service._read(self._path("extents"), **_since(since_id, offset)))

    def _begin_apply(self, connection_id: str, point: str, since: str | None, size: int) -> bool:
        body = {"connection_id": connection_id, "point": point, "since": since, "size": size}
        answer = self._change("POST", self._path("begin-apply"), body)
        must_write: bool = answer.pop("must_write")
        self._adopt(records.from_builtins(VolumeRecord, answer))
        return must_write

    def _apply(self, header: Header, write: Callable[[Any], None]) -> bool:
        id = records.new_id()
        if not self.begin_apply(id, point=header.point, since=header.since, size=header.size):
            return False
        with self._attached(id) as connection:
            file_format.refuse_others(connection.conn_info.get("data"), self.id)
            write(connection.path)
            self.finish_apply(id)
        return True

    def _finish_apply(self, connection_id: str, written: bool) -> None:
        body = {"connection_id": connection_id, "written": written}
        answer = self._change("POST", self._path("finish-apply"), body)
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def extend(self, size: float) -> int:
        answer = self._change("POST", self._path("extend"), {"size": validation.check_size(size)})
        size_bytes: int = answer.pop("size_bytes")
        self._adopt(records.from_builtins(VolumeRecord, answer))
        if not self._service.is_local:
            attached = self.local_attach
            if attached is not None:
                return attached.extend()
        return size_bytes

    def retype(
        self,
        type: str | VolumeType | None = None,
        *,
        extra_specs: Mapping[str, str] | None = None,
        qos_specs: Mapping[str, str] | None = None,
        migrate: bool = False,
        backend: Backend | str | None = None,
        pool: str | None = None,
    ) -> None:
        body = {
            "type": type.name if isinstance(type, VolumeType) else type,
            "extra_specs": extra_specs,
            "qos_specs": qos_specs,
            "migrate": migrate or None,
            "backend": getattr(backend, "id", backend),
            "pool": pool,
        }
        given = {name: value for name, value in body.items() if value is not None}
        answer = self._change("POST", self._path("retype"), given)
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def revert_blockers(self, snapshot: Snapshot) -> list[Snapshot]:
        chosen = check_resource(snapshot, Snapshot, "snapshot")
        found = self._service._read(self._path("revert-blockers"), snapshot_id=chosen.id)
        return [
            self._service.wrap(records.from_builtins(SnapshotRecord, each))
            for each in found["snapshots"]
        ]

    def revert_to_snapshot(self, snapshot: Snapshot, *, by_copy: bool = False) -> None:
        chosen = check_resource(snapshot, Snapshot, "snapshot")
        body = {"snapshot_id": chosen.id, "by_copy": by_copy}
        answer = self._change("POST", self._path("revert"), body)
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def wipe(self) -> None:
        answer = self._change("POST", self._path("wipe"), {})
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def _start_migration(self, to: Destination, pool: str | None) -> Volume:
        body = {"backend": to.backend, "pool": pool}
        answer = self._change("POST", self._path("start-migration"), body)
        self.refresh()
        copy: Volume = self._service.wrap(records.from_builtins(VolumeRecord, answer))
        return copy

    def finish_migration(self) -> None:
        answer = self._change("POST", self._path("finish-migration"))
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def cancel_migration(self) -> None:
        answer = self._change("POST", self._path("cancel-migration"))
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def _migrate(self, to: Destination, pool: str | None, by_copy: bool) -> None:
        body = {"backend": to.backend, "pool": pool, "by_copy": by_copy}
        answer = self._change("POST", self._path("migrate"), body)
        self._adopt(records.from_builtins(VolumeRecord, answer))

    def _connected(self, answer: dict[str, Any]) -> Connection:
        connection = super()._connected(answer)
        self.refresh()
        return connection

    def _attach(self, access: HostAccess) -> Connection:
        is_simple = access.decrypt and not access.persist and "attach_mode" not in access.fields
        if not self._service.is_local and is_simple:
            here = self._attached_here(access.options)
            if here is not None:
                self.changed = False
                return here
        return super()._attach(access)

    def _attached_here(self, options: AttachOptions) -> Connection | None:
        """Its connection, if its device still exists on this host: the call of a repeated attach
        that does not need the service to map the volume."""
        found = self.local_attach
        if found is None:
            return None
        there = self._service.local_host.attached(found.record, self._record, options)
        found.changed = False
        return found if there else None

    def _disconnect(self, connection: Connection, force: bool, *, detached: bool = False) -> None:
        with contextlib.suppress(errors.VolumeNotFound):  # a temporary volume of a snapshot
            super()._disconnect(connection, force, detached=detached)


class RemoteSnapshot(RemoteAttachable, Snapshot):
    """A snapshot of a service."""

    _collection = "snapshots"

    def create(self) -> None:
        body = {"id": self.id, "volume_id": self.volume_id, **self._requested}
        if self._unique_name:
            body["unique_name"] = True
        answer = self._change("POST", "/v1/snapshots", body)
        self._adopt(records.from_builtins(SnapshotRecord, answer))

    def delete(self) -> None:
        self._change("DELETE", self._path())
        self._removed(status="deleted")

    def _part_of_extents(self, since_id: str | None, offset: int) -> Extents:
        return _extents(self._service._read(self._path("extents"), **_since(since_id, offset)))

    def _manage(self, reference: dict[str, Any]) -> None:
        path = f"/v1/volumes/{quote(self.volume_id, safe='')}/manage-snapshot"
        body = {"reference": reference, "id": self.id, **self._requested}
        answer = self._change("POST", path, body)
        self._adopt(records.from_builtins(SnapshotRecord, answer))

    def unmanage(self) -> None:
        self._change("POST", self._path("unmanage"))
        self._removed()


def _with_type(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a new volume for the service, which copies the specs of the type itself."""
    fields = dict(asked)
    if "type_name" in fields:
        fields["type"] = fields.pop("type_name")
    return fields


def _since(since_id: str | None, offset: int) -> dict[str, str | None]:
    return {"since": since_id, "offset": str(offset)}


def _extents(answer: Mapping[str, Any]) -> Extents:
    return Extents(tuple(Extent(**each) for each in answer["found"]), answer["end"])


class RemoteConnection(RemoteResource, Connection):
    """A connection of a service."""

    _collection = "connections"

    def _require_keys(self) -> None:
        """:raises PermissionDenied: the service gave the record without its keys."""
        info = self._record.conn_info
        if info and info.reveal().get("data") == records.HIDDEN:
            raise errors.PermissionDenied(
                f"The keys of connection {self.id} are hidden from this client: it may not connect"
                " volumes for that host",
                resource=self,
            )

    @property
    def connection_info(self) -> dict[str, Any]:
        self._require_keys()
        return super().connection_info

    def _disconnect(self, force: bool, *, detached: bool = False) -> VolumeRecord | None:
        if force or not self._stays_after_a_migration():
            self._change("POST", self._path("disconnect"), {"force": force})
            self._removed(status="detached", conn_info=None, device=None)
        return None

    def _attach(self, options: AttachOptions) -> None:
        self._require_keys()
        device = self._service.local_host.attach(
            self._record, self._service.peek_volume(self.volume_id), options
        )
        self._report(device)

    def _detach(self, force: bool, ignore_errors: bool, *, to_disconnect: bool = False) -> None:
        self._require_keys()
        self._service.local_host.detach(self._record, force=force, ignore_errors=ignore_errors)
        self._report(None)

    def _note_opened(self) -> None:
        """The service does it."""

    def save(self) -> None:
        """Report the device that was set. Other fields of a connection cannot be changed."""
        other = self._edited.keys() - {"device"}
        if other:
            raise errors.Unsupported(
                f"{', '.join(sorted(other))} of a connection cannot be changed through the service"
            )
        self._report(self.device)

    def _report(self, device: Mapping[str, Any] | None) -> None:
        self._change("PUT", self._path("device"), {"device": device})
        self._adopt(replace(self._record, device=Secret(device) if device else None))
