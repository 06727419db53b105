"""Drivers with storage in memory that record their calls and fail on request of a test.

They use only Cinder's classes, and implement different sets of methods, like vendors' drivers.
"""

from __future__ import annotations

from typing import Any

from api.play import PLAY
from cinder import exception
from cinder.volume import driver


def _played(method: Any) -> Any:
    name = method.__name__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        PLAY.calls.append(name)
        PLAY.seen[name] = args
        if name in PLAY.fails:
            raise PLAY.fails[name]
        answer = method(self, *args, **kwargs)
        if name in PLAY.fails_after:
            raise PLAY.fails_after[name]
        return PLAY.answers.get(name, answer)

    return call


class BareDriver(driver.MigrateVD, driver.BaseVD):
    """Has only Cinder's required methods: it can neither revert nor list volumes."""

    VERSION = "1.0"

    @staticmethod
    def get_driver_options() -> list[Any]:
        return []

    def check_for_setup_error(self) -> None: ...

    def migrate_volume(self, context: Any, volume: Any, host: Any) -> Any:
        return False, None

    @_played
    def create_volume(self, volume: Any) -> None:
        PLAY.storage[volume.name] = volume.size

    @_played
    def create_cloned_volume(self, volume: Any, source: Any) -> None:
        PLAY.storage[volume.name] = volume.size

    @_played
    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        PLAY.storage[volume.name] = volume.size

    @_played
    def delete_volume(self, volume: Any) -> None:
        PLAY.storage.pop(volume.name, None)

    @_played
    def extend_volume(self, volume: Any, new_size: int) -> None:
        PLAY.storage[volume.name] = new_size

    @_played
    def create_snapshot(self, snapshot: Any) -> None:
        PLAY.storage[snapshot.name] = snapshot.volume_size

    @_played
    def delete_snapshot(self, snapshot: Any) -> None:
        PLAY.storage.pop(snapshot.name, None)

    @_played
    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        PLAY.exported.add(volume.name)

    @_played
    def ensure_export(self, context: Any, volume: Any) -> None:
        PLAY.exported.add(volume.name)

    @_played
    def remove_export(self, context: Any, volume: Any) -> None:
        PLAY.exported.discard(volume.name)

    @_played
    def initialize_connection(self, volume: Any, connector: Any) -> Any:
        PLAY.mapped.add((volume.name, connector["host"]))
        data = {"target_iqn": "iqn.x", "target_portal": "192.0.2.9:3260", "target_lun": 1}
        return {"driver_volume_type": "iscsi", "data": data}

    @_played
    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        if (volume.name, connector["host"]) not in PLAY.mapped:
            raise exception.ISCSITargetDetachFailed(volume_id=volume.id)  # like LIO
        PLAY.mapped.discard((volume.name, connector["host"]))

    @_played
    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        capacity = {"total_capacity_gb": 100, "free_capacity_gb": 50}
        pool = {"pool_name": "pool", "multiattach": True, **capacity, **PLAY.pool}
        self._stats = {
            "volume_backend_name": "played", "vendor_name": "test", "driver_version": "1",
            "storage_protocol": "iSCSI", "pools": [pool], **PLAY.stats,
        }  # fmt: skip
        return self._stats


class StubDriver(driver.ManageableVD, driver.ManageableSnapshotsVD, BareDriver):
    """Inherits Cinder's empty listings, like the drivers for Unity, ONTAP and Storwize."""

    def manage_existing(self, volume: Any, existing_ref: Any) -> None: ...

    def manage_existing_snapshot(self, snapshot: Any, existing_ref: Any) -> None: ...

    def unmanage(self, volume: Any) -> None: ...

    def unmanage_snapshot(self, snapshot: Any) -> None: ...

    @_played
    def manage_existing_get_size(self, volume: Any, existing_ref: Any) -> int:
        raise exception.ManageExistingInvalidReference(existing_ref=existing_ref, reason="managed")

    @_played
    def manage_existing_snapshot_get_size(self, snapshot: Any, existing_ref: Any) -> int:
        raise exception.ManageExistingInvalidReference(existing_ref=existing_ref, reason="managed")


class AskableDriver(StubDriver):
    """Cannot list volumes, but returns the size of a volume by name."""

    def manage_existing_get_size(self, volume: Any, existing_ref: Any) -> int:
        if existing_ref["source-name"] not in PLAY.storage:
            super().manage_existing_get_size(volume, existing_ref)
        return PLAY.storage[existing_ref["source-name"]]


class PartialDriver(StubDriver):
    """Does not list clones, like PowerFlex."""

    def get_manageable_volumes(self, cinder_volumes: Any, *args: Any, **kwargs: Any) -> Any:
        return [
            {"reference": {"source-name": each.name}, "size": each.size, "cinder_id": each.id}
            for each in cinder_volumes
            if each.name in PLAY.storage and each.source_volid is None
        ]


class RevertingDriver(StubDriver):
    """Can revert to a snapshot by rolling the volume back."""

    @_played
    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None: ...


class CompletingDriver(StubDriver):
    """Adds provider data that its earlier versions did not store."""

    @_played
    def update_provider_info(self, volumes: Any, snapshots: Any) -> Any: ...


class ManagingDriver(StubDriver):
    """Renames existing volumes, and cannot list them."""

    @_played
    def manage_existing_get_size(self, volume: Any, existing_ref: Any) -> float:
        if existing_ref.get("source-name") not in PLAY.storage:
            raise exception.ManageExistingInvalidReference(
                existing_ref=existing_ref, reason="not found"
            )
        return PLAY.storage[existing_ref["source-name"]]

    @_played
    def manage_existing(self, volume: Any, existing_ref: Any) -> dict[str, Any]:
        PLAY.storage[volume.name] = PLAY.storage.pop(existing_ref["source-name"])
        return {"provider_location": "there", "metadata": {"driver": "x"}}

    @_played
    def unmanage(self, volume: Any) -> None:
        PLAY.storage[f"unmanaged-{volume.id}"] = PLAY.storage.pop(volume.name)


class TypeDriver(BareDriver):
    """Reads the types of volumes in all ways that vendors' drivers use."""

    uses_name_id = True

    def create_volume(self, volume: Any) -> None:
        from cinder.volume import qos_specs, volume_types

        found = volume_types.get_volume_type(None, volume.volume_type_id)
        qos = volume_types.get_volume_type_qos_specs(volume.volume_type_id)["qos_specs"]
        specs = qos_specs.get_qos_specs(None, found["qos_specs_id"]) if qos else None
        PLAY.seen["create_volume"] = {  # type: ignore[assignment]
            "id": volume.volume_type_id,
            "object": volume.volume_type.name,
            "by id": found["name"],
            "by name": volume_types.get_volume_type_by_name(None, found["name"])["id"],
            "extra specs": volume_types.get_volume_type_extra_specs(volume.volume_type_id),
            "qos": specs and (specs["consumer"], specs["specs"], specs["id"]),
        }
        PLAY.storage[volume.name] = volume.size

    def create_snapshot(self, snapshot: Any) -> None:
        PLAY.seen["create_snapshot"] = snapshot.volume_type_id
        PLAY.storage[snapshot.name] = snapshot.volume_size

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        PLAY.seen["source"] = snapshot.volume_type_id
        PLAY.storage[volume.name] = volume.size


class RetypingDriver(TypeDriver):
    """Retypes volumes as a test specifies."""

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any, host: Any) -> Any:
        from cinder.volume import volume_types

        old = volume_types.get_volume_type(None, volume.volume_type_id)
        new = volume_types.get_volume_type(None, new_type.id)
        PLAY.calls.append("retype")
        PLAY.retyped = {"from": old["name"], "to": new["name"], "diff": diff, "host": host}
        if "retype" in PLAY.fails:
            raise PLAY.fails["retype"]
        return PLAY.answers.get("retype", True)
