"""A driver with secrets in all places where drivers can have them."""

from __future__ import annotations

from typing import Any

from array_driver import ArrayDriver
from cinder import exception
from marks import AUTH, INITIATOR, KEY
from oslo_config import cfg

opts = [cfg.StrOpt("array_password", secret=True, help="Of the array's administrator.")]


class SecretiveDriver(ArrayDriver):
    """Has different secrets for each volume, connection and initiator, and one for its array."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(opts)

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        return [*ArrayDriver.get_driver_options(), *opts]

    def create_volume(self, volume: Any) -> dict[str, str]:
        super().create_volume(volume)
        return {"provider_auth": f"CHAP user {AUTH}"}

    def initialize_connection(
        self, volume: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        answer = super().initialize_connection(volume, connector)
        self.driver_utils.insert_driver_initiator_data(connector["host"], "chap", INITIATOR)
        answer["data"] |= {"auth_method": "CHAP", "auth_username": "user", "auth_password": KEY}
        return answer

    def extend_volume(self, volume: Any, new_size: int) -> None:
        if new_size == 13:
            # Drivers report failed commands with all arguments.
            secret = self.configuration.safe_get("array_password")
            raise exception.VolumeDriverException(f"array-cli --password {secret} extend: no")
        super().extend_volume(volume, new_size)
