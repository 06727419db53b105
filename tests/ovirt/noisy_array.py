"""An array whose driver prints output that could be mistaken for an answer."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from api.shared_array import SharedArray


class NoisyArray(SharedArray):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shout()

    def _shout(self) -> None:
        print("error of a driver that prints")
        os.write(1, b"cid-1 not the answer\n")
        os.write(2, b"error on standard error\n")
        subprocess.run(["echo", "error of a child"], check=True)

    def create_volume(self, volume: Any) -> Any:
        self._shout()
        return super().create_volume(volume)

    def initialize_connection(self, volume: Any, connector: dict[str, Any]) -> dict[str, Any]:
        self._shout()
        found: dict[str, Any] = super().initialize_connection(volume, connector)
        return found
