"""Arrays whose drivers confuse a volume and its copy, as some of Cinder's drivers do."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from cinderlib.drivers.file.driver import FileDriver


class NamedByID(FileDriver):
    """Ignores ``name_id``, as Cinder's driver for StorPool."""

    uses_name_id = False
    host_limited = False

    @staticmethod
    def get_driver_options() -> list[Any]:
        address = cfg.StrOpt("array_address", help="Address of the array.")
        return [*FileDriver.get_driver_options(), address]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(self.get_driver_options()[-1:])

    def delete_volume(self, volume: Any) -> Any:
        super().delete_volume(_ByID(volume))

    def initialize_connection(self, volume: Any, connector: Any, **options: Any) -> Any:
        return super().initialize_connection(_ByID(volume), connector, **options)

    def retype(self, *_: Any) -> Any:
        return False

    def migrate_volume(self, *_: Any) -> Any:
        return False, None


class _ByID:
    """A volume whose name has its ID."""

    def __init__(self, volume: Any) -> None:
        self._volume = volume
        self.name = f"volume-{volume.id}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._volume, name)
