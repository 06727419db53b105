"""The methods of the objects for existing volumes and snapshots of a storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast

from cinderlib import errors, operations, validation, value_checks
from cinderlib.objects.keywords import (
    CreateSnapshotKeywords,
    CreateVolumeKeywords,
)
from cinderlib.objects.resource import Resource
from cinderlib.records import SnapshotRecord, VolumeRecord, replace

if TYPE_CHECKING:
    from cinderlib.drivers.port_values import Manageable, Page
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.snapshot import Snapshot
    from cinderlib.objects.volume import Volume

#: More entries than any array has: drivers create pages by slicing.
_ALL = 2**31
_SORT_KEYS = ("reference", "size")


def page(
    marker: Mapping[str, Any] | None,
    limit: int | None,
    offset: int,
    sort_keys: Sequence[str],
    sort_dirs: Sequence[str],
) -> Page:
    """The checked arguments of a listing.

    :raises InvalidInput: one is not valid.
    """
    keys = value_checks.check_texts(sort_keys, "sort_keys")
    dirs = value_checks.check_texts(sort_dirs, "sort_dirs")
    for key in keys:
        value_checks.check_choice(key, _SORT_KEYS, "sort key")
    for direction in dirs:
        value_checks.check_choice(direction, ("asc", "desc"), "sort direction")
    from cinderlib.drivers.port_values import Page

    return Page(
        marker=None if marker is None else validation.check_reference(marker, "marker"),
        limit=_ALL if limit is None else value_checks.check_whole_number(limit, "limit"),
        offset=value_checks.check_whole_number(offset, "offset"),
        sort_keys=tuple(keys),
        sort_dirs=tuple([*dirs, *["asc"] * len(keys)][: len(keys)]),
    )


class ManagingBackend:
    """The methods of a backend."""

    controller: Controller
    _name: str

    def manageable_volumes(
        self,
        *,
        marker: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort_keys: Sequence[str] = ("reference",),
        sort_dirs: Sequence[str] = ("asc",),
    ) -> list[Manageable]:
        """The volumes on the storage, with and without a record, as the driver lists them.

        :param marker: the reference of the last entry of the previous page.
        :param limit: maximum number of entries; by default all.
        :param offset: number of entries to skip after the marker.
        :param sort_keys: ``'reference'`` and ``'size'``.
        :param sort_dirs: ``'asc'`` or ``'desc'`` for each key.
        :raises Unsupported: the driver has no list. :meth:`manage_volume` may work.
        """
        wanted = page(marker, limit, offset, sort_keys, sort_dirs)
        return self._manageable("volume", wanted)

    def manageable_snapshots(
        self,
        *,
        marker: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int = 0,
        sort_keys: Sequence[str] = ("reference",),
        sort_dirs: Sequence[str] = ("asc",),
    ) -> list[Manageable]:
        """The snapshots on the storage; see :meth:`manageable_volumes`."""
        wanted = page(marker, limit, offset, sort_keys, sort_dirs)
        return self._manageable("snapshot", wanted)

    def _manageable(self, kind: str, wanted: Page) -> list[Manageable]:
        if kind == "volume":
            return operations.manage.manageable_volumes(self.controller.journal, self._name, wanted)
        return operations.manage_snapshots.manageable_snapshots(
            self.controller.journal, self._name, wanted
        )

    def manage_volume(
        self,
        reference: Mapping[str, Any],
        name: str = "",
        description: str = "",
        bootable: bool = False,
        **fields: Unpack[CreateVolumeKeywords],
    ) -> Volume:
        """Adopt an existing volume of the storage as a volume of this backend. Its data does not
        change; most drivers rename it. A repeated call with the same ``id`` has no effect.

        :param reference: identifies it for the driver: of :meth:`manageable_volumes`, or for most
            drivers ``{'source-name': <name on the storage>}``.
        :param fields: as for :meth:`create_volume`.
        :returns: the volume, with the size that the driver reports.
        :raises InvalidInput: the driver does not find it, or its specs do not fit. Nothing changed.
        :raises InvalidState: this store already manages it. Nothing changed.
        :raises AlreadyExists: another volume has the ID.
        :raises Unsupported: the driver cannot manage existing volumes.
        :raises DriverError: the storage failed. If the volume may have been renamed, its record
            stays with the status ``'error_managing'``: repeat the call with its ID, or unmanage it.
        """
        chosen = validation.check_reference(reference)
        if "size" in fields:
            raise errors.InvalidInput("An existing volume keeps its size: omit the size")
        named = {
            "name": validation.check_name(name),
            "description": validation.check_description(description),
            "bootable": value_checks.check_flag(bootable, "bootable"),
        }
        given: dict[str, Any] = {field: value for field, value in named.items() if value}
        new = self.controller.Volume(cast("Backend", self), size=1, **fields, **given)
        new._manage(chosen)
        return new


class ManagedVolume(Resource):
    """The methods of a volume."""

    _record: VolumeRecord
    _requested: Mapping[str, Any]

    def _manage(self, reference: dict[str, Any]) -> None:
        requested = {name: value for name, value in self._requested.items() if name != "size"}
        with self._named():
            record, self.changed = operations.manage.manage(
                self._controller.journal, replace(self._record, size=0), reference, requested
            )
            self._adopt(record)

    def unmanage(self) -> None:
        """Remove its record, and keep the volume with its data on the storage. Some drivers rename
        it; :meth:`cinderlib.Backend.manage_volume` can adopt it again.

        A volume without a record is not an error.

        :raises InvalidVolume: it has snapshots or connections, or is encrypted. Nothing changed.
        :raises DriverError: the storage failed. The volume is still managed.
        """
        with self._named():
            self.changed = operations.manage.unmanage(self._controller.journal, self.id)
        self._removed()

    def manage_snapshot(
        self,
        reference: Mapping[str, Any],
        name: str = "",
        description: str = "",
        **fields: Unpack[CreateSnapshotKeywords],
    ) -> Snapshot:
        """Adopt an existing snapshot of the volume as a snapshot of the store; see
        :meth:`cinderlib.Backend.manage_volume`.

        :param reference: of :meth:`cinderlib.Backend.manageable_snapshots`, or for most drivers
            ``{'source-name': <name on the storage>}``.
        :param fields: ``id``, ``metadata``.
        """
        chosen = validation.check_reference(reference)
        snapshot = self._controller.Snapshot(
            cast("Volume", self), name=name, description=description, **fields
        )
        snapshot._manage(chosen)
        return snapshot


class ManagedSnapshot(Resource):
    """The methods of a snapshot."""

    _record: SnapshotRecord
    _requested: Mapping[str, Any]

    def _manage(self, reference: dict[str, Any]) -> None:
        with self._named():
            record, self.changed = operations.manage_snapshots.manage(
                self._controller.journal, self._record, reference, self._requested
            )
            self._adopt(record)

    def unmanage(self) -> None:
        """Remove its record, and keep the snapshot with its data on the storage. A snapshot without
        a record is not an error.

        :raises DriverError: the storage failed. The snapshot is still managed.
        """
        with self._named():
            self.changed = operations.manage_snapshots.unmanage(self._controller.journal, self.id)
        self._removed()
