"""A driver whose clones wait for a gate file, in processes that set one."""

from __future__ import annotations

import os
from typing import Any

from api import sharing

from cinderlib.drivers.file.driver import FileDriver


class GatedDriver(FileDriver):
    """The driver ``file``."""

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        super().create_cloned_volume(volume, src_vref)
        if "GATE" in os.environ:
            sharing.wait_at_gate("clone")
