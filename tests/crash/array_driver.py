"""A driver whose storage records exports and mappings like an array, and checks them strictly."""

from __future__ import annotations

import pathlib
from typing import Any

from cinder import exception
from cinder.volume import driver

from cinderlib.drivers.file.driver import FileDriver


class ArrayDriver(FileDriver):
    """Keeps volumes in files, and exports and mappings in another folder.

    A mapped volume must be exported, an exported volume cannot be deleted, and an export cannot be
    removed while there is a mapping. Any host may be mapped.
    """

    @property
    def _access(self) -> pathlib.Path:
        root = pathlib.Path(self.configuration.safe_get("file_root"))
        folder = root.with_name(f"{root.name}-access")
        folder.mkdir(exist_ok=True)
        return folder

    def _mappings(self, volume: Any) -> list[pathlib.Path]:
        return list(self._access.glob(f"map {volume.name} *"))

    def _export(self, volume: Any) -> pathlib.Path:
        return self._access / f"export {volume.name}"

    def validate_connector(self, connector: dict[str, Any]) -> None:
        if not connector.get("host"):
            raise exception.InvalidConnectorException(missing="host")

    def create_export(self, context: Any, volume: Any, connector: dict[str, Any]) -> None:
        self._export(volume).touch()

    def ensure_export(self, context: Any, volume: Any) -> None:
        self._export(volume).touch()

    def initialize_connection(
        self, volume: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        if not self._export(volume).exists():
            raise exception.VolumeDriverException(f"{volume.name} is not exported")
        answer = super().initialize_connection(volume, connector)
        (self._access / f"map {volume.name} {connector['host']}").touch()
        return answer

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        (self._access / f"map {volume.name} {connector['host']}").unlink(missing_ok=True)

    def remove_export(self, context: Any, volume: Any) -> None:
        if self._mappings(volume):
            raise exception.VolumeDriverException(f"{volume.name} is mapped")
        self._export(volume).unlink(missing_ok=True)

    def delete_volume(self, volume: Any) -> None:
        if self._mappings(volume) or self._export(volume).exists():
            raise exception.VolumeIsBusy(volume_name=volume.name)
        super().delete_volume(volume)

    def delete_group(self, context: Any, group: Any, volumes: Any) -> tuple[None, None]:
        for volume in volumes:
            if self._mappings(volume) or self._export(volume).exists():
                raise exception.VolumeIsBusy(volume_name=volume.name)
        return super().delete_group(context, group, volumes)

    def create_export_snapshot(
        self, context: Any, snapshot: Any, connector: dict[str, Any]
    ) -> None:
        self.create_export(context, snapshot, connector)

    def initialize_connection_snapshot(
        self, snapshot: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        return self.initialize_connection(snapshot, connector)

    def terminate_connection_snapshot(self, snapshot: Any, connector: Any, **kwargs: Any) -> None:
        self.terminate_connection(snapshot, connector)

    def remove_export_snapshot(self, context: Any, snapshot: Any) -> None:
        self.remove_export(context, snapshot)

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        stats: dict[str, Any] = super().get_volume_stats(refresh)
        for pool in stats["pools"]:
            pool["multiattach"] = True
        return stats


class CopyingDriver(ArrayDriver):
    """Cannot map snapshots."""

    initialize_connection_snapshot = driver.BaseVD.initialize_connection_snapshot


class NamingDriver(ArrayDriver):
    """Neither moves nor renames volumes."""

    migrate_volume = driver.BaseVD.migrate_volume
    update_migrated_volume = driver.BaseVD.update_migrated_volume


class UnretypingDriver(ArrayDriver):
    """Cannot change the specs of volumes."""

    retype = driver.BaseVD.retype


class RefusingDriver(ArrayDriver):
    """Refuses each change of specs."""

    def retype(
        self, context: Any, volume: Any, new_type: Any, diff: Any, host: Any
    ) -> tuple[bool, None]:
        return False, None


class SequentialDriver(ArrayDriver):
    """Has groups, but cannot copy them."""

    create_group_from_src = driver.VolumeDriver.create_group_from_src


class UngroupedDriver(ArrayDriver):
    """Has no groups."""

    create_group = driver.VolumeDriver.create_group
    update_group = driver.VolumeDriver.update_group
    delete_group = driver.VolumeDriver.delete_group
    create_group_snapshot = driver.VolumeDriver.create_group_snapshot
    delete_group_snapshot = driver.VolumeDriver.delete_group_snapshot
    create_group_from_src = driver.VolumeDriver.create_group_from_src


class ReplicatedDriver(ArrayDriver):
    """Two arrays with the same files. Each volume is used on one of them.

    The storage records which volumes are used on the second array. A driver that assumes the wrong
    array cannot use a volume. As drivers of Cinder do, it returns no changes if it uses the
    requested array already.
    """

    SECOND = "second"

    def __init__(self, *args: Any, active_backend_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._active = active_backend_id

    def _used_on_second(self, volume: Any) -> pathlib.Path:
        return self._access / f"{self.SECOND} {volume.name}"

    def _replica(self, volume: Any) -> pathlib.Path:
        return self._access / f"replica {volume.name}"

    def _check(self, volume: Any) -> None:
        of_group = volume.group is not None and volume.group.replication_status == "failed-over"
        if self._used_on_second(volume).exists() != (of_group or self._active == self.SECOND):
            raise exception.VolumeDriverException(f"{volume.name} is on the other array")

    def create_volume(self, volume: Any) -> Any:
        if self._active:
            raise exception.VolumeDriverException("the second array has only replicas")
        return super().create_volume(volume)

    def delete_volume(self, volume: Any) -> None:
        self._check(volume)
        super().delete_volume(volume)
        self._used_on_second(volume).unlink(missing_ok=True)
        self._replica(volume).unlink(missing_ok=True)

    def initialize_connection(
        self, volume: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        self._check(volume)
        return super().initialize_connection(volume, connector, **kwargs)

    def failover_host(
        self, context: Any, volumes: Any, secondary_id: str | None = None, groups: Any = None
    ) -> Any:
        active = None if secondary_id == "default" else self.SECOND
        if active == self._active:
            return active, [], []
        changes = []
        for volume in volumes:
            if active:
                self._used_on_second(volume).touch()
            else:
                self._used_on_second(volume).unlink(missing_ok=True)
            changes.append({"volume_id": volume.id, "updates": {"provider_id": active}})
        self._active = active
        return active or "default", changes, []

    def enable_replication(self, context: Any, group: Any, volumes: Any) -> Any:
        for volume in volumes:
            self._replica(volume).touch()
        return {"replication_status": "enabled"}, None

    def disable_replication(self, context: Any, group: Any, volumes: Any) -> Any:
        for volume in volumes:
            self._replica(volume).unlink(missing_ok=True)
        return {"replication_status": "disabled"}, None

    def failover_replication(
        self, context: Any, group: Any, volumes: Any, secondary_backend_id: str
    ) -> Any:
        active = None if secondary_backend_id == "default" else self.SECOND
        updates = []
        for volume in volumes:
            if active and not self._replica(volume).exists():
                raise exception.VolumeDriverException(f"{volume.name} has no replica")
            if active:
                self._used_on_second(volume).touch()
            else:
                self._used_on_second(volume).unlink(missing_ok=True)
            updates.append({"id": volume.id, "provider_id": active})
        return {}, updates
