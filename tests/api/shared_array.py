"""An array that several hosts can reach: the embedded driver with iSCSI connections.

Its exports cannot be attached; it replaces hardware on the controller side.
"""

from __future__ import annotations

import json
import os
from typing import Any

from oslo_config import cfg

from cinderlib.drivers.file.driver import FileDriver

OPTIONS = [
    cfg.StrOpt("array_password", secret=True, help="Password of the array."),
    cfg.ListOpt("array_pools", default=["fast", "slow"], help="Names of its pools."),
]


class SharedArray(FileDriver):
    """Keeps a file per volume with its export and mapped hosts."""

    host_limited = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)

    @classmethod
    def get_driver_options(cls) -> Any:
        return [*super().get_driver_options(), *OPTIONS]

    def _path(self, volume: Any) -> str:
        return os.path.join(self.configuration.file_root, f".{volume.name}.maps")

    def maps(self, volume: Any) -> dict[str, Any]:
        try:
            with open(self._path(volume)) as file:
                return json.load(file)
        except FileNotFoundError:
            return {"exported": False, "hosts": []}

    def _write(self, volume: Any, maps: dict[str, Any]) -> None:
        if not maps["exported"] and not maps["hosts"]:
            if os.path.exists(self._path(volume)):
                os.unlink(self._path(volume))
            return
        with open(self._path(volume), "w") as file:
            json.dump(maps, file)

    def validate_connector(self, connector: dict[str, Any]) -> None:
        from cinder import exception

        if "initiator" not in connector:
            raise exception.InvalidConnectorException(missing="initiator")

    def create_export(self, context: Any, volume: Any, connector: dict[str, Any]) -> Any:
        maps = self.maps(volume)
        maps["exported"] = True
        self._write(volume, maps)
        return {"provider_auth": "CHAP someone marked-chap-password"}

    def ensure_export(self, context: Any, volume: Any) -> None:
        self.create_export(context, volume, {})

    def remove_export(self, context: Any, volume: Any) -> None:
        maps = self.maps(volume)
        maps["exported"] = False
        self._write(volume, maps)

    def initialize_connection(self, volume: Any, connector: dict[str, Any]) -> dict[str, Any]:
        maps = self.maps(volume)
        assert maps["exported"]
        maps["hosts"] = sorted({*maps["hosts"], connector["host"]})
        self._write(volume, maps)
        return {
            "driver_volume_type": "iscsi",
            "data": {
                "target_iqn": f"iqn.2026-11.org.example:{volume.name}",
                "target_portal": "192.0.2.9:3260",
                "target_lun": 1,
                "volume_id": volume.id,
                "auth_method": "CHAP",
                "auth_username": "someone",
                "auth_password": "marked-chap-password",
            },
        }

    def terminate_connection(self, volume: Any, connector: dict[str, Any], **kwargs: Any) -> None:
        maps = self.maps(volume)
        maps["hosts"] = [host for host in maps["hosts"] if host != connector["host"]]
        self._write(volume, maps)

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        stats = super().get_volume_stats(refresh)
        pool = stats["pools"][0]
        stats["storage_protocol"] = "iSCSI"
        stats["pools"] = [
            {**pool, "pool_name": name, "multiattach": True}
            for name in self.configuration.array_pools
        ]
        return stats


class StubbornArray(SharedArray):
    """Refuses to unmap volumes while its folder contains ``.stubborn``, and to delete mapped
    ones."""

    def _obey(self) -> None:
        from cinder import exception

        if os.path.exists(os.path.join(self.configuration.file_root, ".stubborn")):
            raise exception.VolumeBackendAPIException(data="the array does not feel like it")

    def terminate_connection(self, volume: Any, connector: dict[str, Any], **kwargs: Any) -> None:
        self._obey()
        super().terminate_connection(volume, connector)

    def remove_export(self, context: Any, volume: Any) -> None:
        self._obey()
        super().remove_export(context, volume)

    def delete_volume(self, volume: Any) -> None:
        from cinder import exception

        if self.maps(volume)["hosts"]:
            raise exception.VolumeIsBusy(volume_name=volume.name)
        super().delete_volume(volume)


class FailingArray(SharedArray):
    """Performs each operation and then calls the test's function.

    :ivar after: called with the method's name and answer when its work is done; returns the answer.
    """

    after: Any = None

    def _answer(self, method: str, answer: Any) -> Any:
        return answer if self.after is None else self.after(method, answer)

    def create_volume(self, volume: Any) -> Any:
        return self._answer("create_volume", super().create_volume(volume))

    def delete_volume(self, volume: Any) -> Any:
        return self._answer("delete_volume", super().delete_volume(volume))

    def create_snapshot(self, snapshot: Any) -> Any:
        return self._answer("create_snapshot", super().create_snapshot(snapshot))

    def extend_volume(self, volume: Any, new_size: int) -> Any:
        return self._answer("extend_volume", super().extend_volume(volume, new_size))

    def initialize_connection(self, volume: Any, connector: dict[str, Any]) -> Any:
        answer = super().initialize_connection(volume, connector)
        return self._answer("initialize_connection", answer)

    def terminate_connection(self, volume: Any, connector: dict[str, Any], **kwargs: Any) -> Any:
        super().terminate_connection(volume, connector)
        return self._answer("terminate_connection", None)
