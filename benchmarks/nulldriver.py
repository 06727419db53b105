"""Drivers for both libraries: one that does nothing, to measure the library alone, and one that
needs 50 ms to create a volume, like an array."""

from __future__ import annotations

import os
import time
from typing import Any

from cinder.volume import driver

#: Seconds for a call of the slow driver.
SLOW = 0.05


class NullDriver(driver.VolumeDriver):  # type: ignore[misc]
    """Does nothing. Connections have the file that the environment specifies."""

    VERSION = "1"

    def do_setup(self, context: Any) -> None:
        pass

    def check_for_setup_error(self) -> None:
        pass

    def create_volume(self, volume: Any) -> None:
        pass

    def delete_volume(self, volume: Any) -> None:
        pass

    def extend_volume(self, volume: Any, new_size: int) -> None:
        pass

    def create_snapshot(self, snapshot: Any) -> None:
        pass

    def delete_snapshot(self, snapshot: Any) -> None:
        pass

    def create_export(self, context: Any, volume: Any, connector: Any = None) -> None:
        pass

    def ensure_export(self, context: Any, volume: Any) -> None:
        pass

    def remove_export(self, context: Any, volume: Any) -> None:
        pass

    def validate_connector(self, connector: Any) -> None:
        pass

    def initialize_connection(self, volume: Any, connector: Any, **kwargs: Any) -> dict[str, Any]:
        path = os.environ.get("BENCH_DEVICE", "/dev/null")
        return {"driver_volume_type": "local", "data": {"device_path": path}}

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        pass

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        pool = {"pool_name": "p", "multiattach": True, "reserved_percentage": 0}
        pool |= {"total_capacity_gb": "infinite", "free_capacity_gb": "infinite"}
        return {
            "volume_backend_name": "null",
            "vendor_name": "none",
            "driver_version": "1",
            "storage_protocol": "local",
            "pools": [pool],
        }


class SlowDriver(NullDriver):
    """Needs :data:`SLOW` seconds to create a volume."""

    def create_volume(self, volume: Any) -> None:
        time.sleep(SLOW)
