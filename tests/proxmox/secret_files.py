"""Files of an array that requires a password."""

from __future__ import annotations

from typing import Any

from cinder import exception
from cinder.volume.drivers.san import san
from oslo_config import cfg

from cinderlib.drivers.file.driver import FileDriver


class SecretFiles(FileDriver):
    """Refuses another password than ``right``. Accepts the connectors of all hosts."""

    host_limited = False

    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Every host has the file system."""

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        return [*FileDriver.get_driver_options(), *san.san_opts]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(san.san_opts)

    def check_for_setup_error(self) -> None:
        """:raises VolumeBackendAPIException: the password is wrong."""
        super().check_for_setup_error()
        if self.configuration.safe_get("san_password") != "right":
            raise exception.VolumeBackendAPIException(data="the login was refused")
