"""A driver alone, called like Cinder's manager does, including the Cinder object for the volume."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from cinder import context, objects
from cinder.volume import configuration

from benchmarks.subjects.cycle import CONNECTOR, Step, timed

#: The columns that are empty for a new volume.
_EMPTY = (
    "created_at", "updated_at", "user_id", "project_id", "display_description", "_name_id",
    "snapshot_id", "cluster_name", "availability_zone", "migration_status", "launched_at",
    "provider_id", "provider_location", "provider_auth", "provider_geometry", "source_volid",
    "encryption_key_id", "group_id", "replication_status", "replication_extended_status",
    "replication_driver_data", "previous_status", "ec2_id", "scheduled_at", "terminated_at",
    "consistencygroup_id", "service_uuid", "deleted_at",
)  # fmt: skip


class Subject:
    """Calls the driver that does nothing."""

    def __init__(self) -> None:
        from benchmarks import nulldriver

        objects.register_all()
        self._context = context.get_admin_context()
        self._driver = nulldriver.NullDriver(configuration=configuration.Configuration([]))
        self._volume: Any = None

    def close(self) -> None:
        pass

    def cycles(self, first: int, count: int) -> dict[str, list[float]]:
        return timed(self._cycle, first, count)

    def _cinder_volume(self, number: int) -> Any:
        """A Cinder volume with the columns that the library sets."""
        return objects.Volume(
            self._context, **dict.fromkeys(_EMPTY), id=str(uuid.uuid4()), status="creating", size=1,
            display_name=f"volume-{number}", host="h@null#p", attach_status="detached",
            volume_type_id=str(uuid.uuid4()), bootable=False, multiattach=False, deleted=False,
            shared_targets=False, use_quota=True, metadata={}, admin_metadata={},
            glance_metadata={},
        )  # fmt: skip

    def _cycle(self, number: int) -> Iterator[Step]:
        volume = self._cinder_volume(number)
        yield "create (driver alone)", lambda: self._driver.create_volume(volume)
        yield "create", lambda: self.create(number)

    def create(self, number: int) -> None:
        self._driver.create_volume(self._cinder_volume(number))

    def connect(self, number: int) -> None:
        self._driver.validate_connector(dict(CONNECTOR))
        self._driver.create_export(self._context, self._cinder_volume(number), dict(CONNECTOR))
        self._driver.initialize_connection(self._cinder_volume(number), dict(CONNECTOR))

    def disconnect(self, number: int) -> None:
        self._driver.terminate_connection(self._cinder_volume(number), dict(CONNECTOR))
        self._driver.remove_export(self._context, self._cinder_volume(number))

    def delete(self, number: int) -> None:
        self._driver.delete_volume(self._cinder_volume(number))
