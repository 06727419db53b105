"""A driver with secrets in all places where drivers have them."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from service.secrets_of_driver import CHAP, KEY, PASSWORD

from cinderlib.drivers.file.driver import FileDriver

OPTIONS = [cfg.StrOpt("test_password", secret=True, help="The password of the array.")]


class SecretDriver(FileDriver):
    """Like ``file``, with CHAP. Volumes with the name ``refused`` cannot be created."""

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        return [*FileDriver.get_driver_options(), *OPTIONS]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(OPTIONS)

    def create_volume(self, volume: Any) -> dict[str, Any]:
        assert self.configuration.safe_get("test_password") == PASSWORD
        if volume.display_name == "refused":
            raise RuntimeError(f"login admin:{PASSWORD} was refused")
        super().create_volume(volume)
        return {"provider_auth": f"CHAP user {CHAP}"}

    def initialize_connection(
        self, volume: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        info = super().initialize_connection(volume, connector, **kwargs)
        return {**info, "data": {**info["data"], "auth_username": "user", "auth_password": KEY}}
