"""What the methods of the service Controller share."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import node_identity
from cinderlib.csi.arguments import GIB
from cinderlib.csi.controller.parameters import MKFS_OPTIONS
from cinderlib.csi.ids import DRIVER, NAME
from cinderlib.csi.ids import group as group_id
from cinderlib.csi.pending import PendingCalls
from cinderlib.csi.settings import Settings
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput, NotFound
from cinderlib.value_checks import shown

_MKFS = "csi:mkfs-options"


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """The storage of the plug-in.

    :ivar controller: has the store.
    :ivar backends: the names of all backends, loaded or not.
    :ivar load: loads a backend, or returns it if it is loaded.
    :ivar pending: the calls that work now.
    """

    settings: Settings
    controller: cl.Controller
    backends: tuple[str, ...]
    load: Callable[[str], cl.Backend]
    pending: PendingCalls = dataclasses.field(default_factory=PendingCalls)

    def backend(self, name: str | None) -> cl.Backend:
        """A backend by its name, or the only one.

        :raises InvalidInput: no backend has that name.
        """
        known = ", ".join(self.backends) or "none"
        if name is None:
            if len(self.backends) != 1:
                raise InvalidInput(
                    f"The parameter backend is missing. Configured backends: {known}."
                )
            (name,) = self.backends
        if name not in self.backends:
            raise InvalidInput(
                f"Backend {shown(name)} is not configured. Configured backends: {known}."
            )
        return self.load(name)

    def volume(self, volume_id: str) -> cl.Volume:
        """A volume, whose backend is loaded.

        :raises VolumeNotFound: it does not exist.
        """
        found = self.controller.volume(volume_id)
        self._load_backend(found)
        return found

    def snapshot(self, snapshot_id: str) -> cl.Snapshot:
        """A snapshot, whose backend is loaded.

        :raises SnapshotNotFound: it does not exist.
        """
        found = self.controller.snapshot(snapshot_id)
        self._load_backend(found)
        return found

    def find_volume(self, volume_id: str) -> cl.Volume | None:
        """A volume, whose backend is loaded; ``None`` if it does not exist."""
        try:
            return self.volume(volume_id)
        except errors.VolumeNotFound:
            return None

    def find_snapshot(self, snapshot_id: str) -> cl.Snapshot | None:
        """A snapshot, whose backend is loaded; ``None`` if it does not exist."""
        try:
            return self.snapshot(snapshot_id)
        except errors.SnapshotNotFound:
            return None

    def find_group(self, group_id: str) -> cl.Group | None:
        """A group, whose backend is loaded; ``None`` if it does not exist."""
        try:
            found = self.controller.group(group_id)
        except errors.GroupNotFound:
            return None
        self._load_backend(found)
        return found

    def find_group_snapshot(self, group_snapshot_id: str) -> cl.GroupSnapshot | None:
        """A group snapshot, whose backend is loaded; ``None`` if it does not exist."""
        try:
            found = self.controller.group_snapshot(group_snapshot_id)
        except errors.GroupSnapshotNotFound:
            return None
        self._load_backend(found)
        return found

    def _load_backend(
        self, resource: cl.Volume | cl.Snapshot | cl.Group | cl.GroupSnapshot
    ) -> None:
        name = resource.record.backend
        if name not in self.backends:
            raise errors.BackendNotFound(
                f"{type(resource).__name__} {resource.id} is on backend {name!r}, which is not"
                " configured any more",
                resource=resource,
            )
        self.load(name)

    def metadata(self, name: str, **more: str) -> dict[str, str]:
        """The metadata of a new volume or snapshot."""
        return {NAME: name, DRIVER: self.settings.name, **more}

    def is_own(self, resource: cl.Volume | cl.Snapshot) -> bool:
        """Whether this plug-in created it."""
        if resource.metadata.get(DRIVER) == self.settings.name:
            return True
        group_snapshot_id = isinstance(resource, cl.Snapshot) and resource.group_snapshot_id
        if not group_snapshot_id:
            return False
        # Snapshots of groups have no metadata. Their group has an ID from this plug-in.
        try:
            self.controller.group(group_id(self.settings.name, group_snapshot_id))
        except errors.GroupNotFound:
            return False
        return True

    def connector(self, node_id: str) -> dict[str, Any]:
        """The connector properties of a node.

        :raises NotFound: no such node is known.
        """
        found = node_identity.decode(node_id)
        if found is not None:
            return found
        registered = list(self.controller.persistence.get_key_values(node_id))
        if registered and registered[0].value:
            try:
                connector = json.loads(registered[0].value)
            except ValueError:
                connector = None
            if isinstance(connector, dict):
                return connector
        raise NotFound(
            f"Node {shown(node_id)} is not known: it is not an ID from this plug-in, and no node"
            " registered with it"
        )

    def message(self, volume: cl.Volume) -> Any:
        """CSI's description of a volume."""
        description = m.Volume(
            capacity_bytes=volume.size * GIB,
            volume_id=volume.id,
            volume_context=self._volume_context(volume),
        )
        if volume.snapshot_id:
            description.content_source.snapshot.snapshot_id = volume.snapshot_id
        elif volume.source_volid:
            description.content_source.volume.volume_id = volume.source_volid
        for place in self.settings.backend_topology.get(volume.record.backend, ()):
            description.accessible_topology.add().segments.update(place)
        return description

    def _volume_context(self, volume: cl.Volume) -> Mapping[str, str]:
        context = {"backend": volume.record.backend}
        if options := volume.metadata.get(_MKFS):
            context[MKFS_OPTIONS] = options
        return context


def mkfs_metadata(options: str) -> dict[str, str]:
    """The metadata that keeps options for mkfs."""
    return {_MKFS: options} if options else {}


def snapshot_message(snapshot: cl.Snapshot) -> Any:
    """CSI's description of a snapshot."""
    description = m.Snapshot(
        size_bytes=snapshot.volume_size * GIB,
        snapshot_id=snapshot.id,
        source_volume_id=snapshot.volume_id,
        ready_to_use=snapshot.status == "available",
    )
    if snapshot.group_snapshot_id:
        description.group_snapshot_id = snapshot.group_snapshot_id
    set_time(description.creation_time, snapshot.created_at)
    return description


def set_time(field: Any, time: datetime.datetime | None) -> None:
    """Set a field of a message to a time in UTC, if it is known."""
    if time is not None:
        if time.tzinfo is None:
            time = time.replace(tzinfo=datetime.UTC)
        field.seconds = int(time.timestamp())
        field.nanos = time.microsecond * 1000
