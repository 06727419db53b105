"""A volume driver without storage that calls all functions of Cinder that drivers use."""

from __future__ import annotations

import threading
from typing import Any

from cinder import context as cinder_context
from cinder import coordination, exception, objects
from cinder.volume import configuration, driver, qos_specs, volume_types
from oslo_config import cfg

asking_opts = [
    cfg.StrOpt("asking_host", help="Where the array is."),
    cfg.PortOpt("asking_port", default=3260),
    cfg.BoolOpt("asking_thin", default=False),
    cfg.StrOpt("asking_mode", default="one", choices=["one", "two"]),
    cfg.StrOpt("asking_password", secret=True),
    cfg.ListOpt("asking_pools", default=[]),
    cfg.IntOpt("asking_limit", min=1, max=9, deprecated_name="asking_old_limit"),
]
cfg.CONF.register_opts(asking_opts, group=configuration.SHARED_CONF_GROUP)


class AskingDriver(driver.VolumeDriver):
    VERSION = "1.2.3"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(asking_opts)
        self.seen: dict[str, Any] = {}
        self.job: Any = None

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        return asking_opts

    def check_for_setup_error(self) -> None:
        if self.configuration.asking_host == "nowhere":
            raise exception.VolumeBackendAPIException(
                data=f"cannot log in with {self.configuration.asking_password}"
            )

    def _update_volume_stats(self) -> None:
        self._stats = {"total_capacity_gb": "infinite", "free_capacity_gb": 7.5}

    def create_volume(self, volume: Any) -> Any:
        return self.job(self, volume) if self.job else None

    def delete_volume(self, volume: Any) -> Any:
        return self.job(self, volume) if self.job else None

    def create_snapshot(self, snapshot: Any) -> Any:
        return self.job(self, snapshot) if self.job else None

    def delete_snapshot(self, snapshot: Any) -> None:
        raise exception.SnapshotNotFound(snapshot_id=snapshot.id)

    def local_path(self, volume: Any) -> str:
        return f"/dev/null/{volume.name}"

    def ensure_export(self, context: Any, volume: Any) -> None:
        pass

    def create_export(self, context: Any, volume: Any, connector: Any) -> Any:
        return {"provider_location": connector["initiator"], "provider_auth": "CHAP u p"}

    def remove_export(self, context: Any, volume: Any) -> None:
        pass

    def initialize_connection(self, volume: Any, connector: Any) -> Any:
        attachments = [(a.attached_host, a.attach_status) for a in volume.volume_attachment]
        self.seen["attachments"] = attachments
        self.driver_utils.insert_driver_initiator_data(connector["initiator"], "met", volume.id)
        return {"driver_volume_type": "iscsi", "data": {"target_lun": 1, "targets": ("a", "b")}}

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> bool:
        return True


def ask_everything(self: AskingDriver, volume: Any) -> dict[str, Any]:
    """Call the functions that drivers use while they create a volume."""
    context = cinder_context.get_admin_context()
    seen = self.seen
    seen["row"] = dict(self.db.volume_get(context, volume.id))
    seen["type"] = volume.volume_type.extra_specs
    seen["type specs"] = volume_types.get_volume_type_extra_specs(volume.volume_type_id)
    qos = volume_types.get_volume_type_qos_specs(volume.volume_type_id)["qos_specs"]
    seen["qos"] = (qos["consumer"], qos["specs"])
    seen["qos object"] = qos_specs.get_qos_specs(context, volume.volume_type.qos_specs_id).specs
    seen["encrypted"] = volume_types.is_encrypted(context, volume.volume_type_id)
    seen["snapshots"] = [each.name for each in volume.snapshots]
    seen["attached to"] = [each.connector["host"] for each in volume.volume_attachment]
    seen["latest"] = volume.get_latest_snapshot().id
    seen["group"] = (volume.group, volume.group_id, volume.consistencygroup, volume.cluster)
    seen["glance"] = volume.glance_metadata
    seen["names"] = (volume.name, volume.name_id, volume["name"], volume.get("no such"))
    seen["all"] = [v.id for v in objects.VolumeList.get_all_by_host(context, self.host)]
    seen["snapshot exists"] = objects.Snapshot.exists(context, volume.snapshots[0].id)
    seen["exists"] = objects.Volume.exists(context, "00000000-0000-4000-8000-000000000000")
    seen["volume of snapshot"] = volume.snapshots[0].volume.display_name
    seen["image cache"] = self.db.image_volume_cache_get_by_volume_id(context, volume.id)

    self.db.volume_admin_metadata_update(context, volume.id, {"lun": "7"}, False)
    self.db.volume_metadata_update(context, volume.id, {"array": "x"}, False)
    other = objects.Volume.get_by_id(context, volume.id)
    other.provider_id = "written by save()"
    other.replication_driver_data = "here"
    other.save()
    seen["swapped"] = other.conditional_update(
        {"previous_status": other.model.status, "migration_status": "done"},
        {"status": other.Not("deleting"), "migration_status": (None, "done")},
    )
    seen["not swapped"] = other.conditional_update({"size": 99}, {"status": "in-use"})
    utils = self.driver_utils
    first = utils.insert_driver_initiator_data("iqn.a", "host", "1", context)
    second = utils.insert_driver_initiator_data("iqn.a", "host", "2", context)
    seen["initiator"] = (first, second, utils.get_driver_initiator_data("iqn.a")[0]["value"])
    volume.provider_geometry = "not saved"
    with_lock(self, volume)

    def in_a_thread() -> None:
        seen["in a thread"] = objects.Volume.get_by_id(context, volume.id).display_name

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    return {"provider_location": "from the update", "metadata": {**volume.metadata, "more": "1"}}


@coordination.synchronized("{self.host}-{volume.id}")
def with_lock(self: AskingDriver, volume: Any) -> None:
    self.seen["locked"] = True


class RetiredDriver(AskingDriver):
    SUPPORTED = False
