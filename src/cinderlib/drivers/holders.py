"""Lists the clients that have a volume open, for errors of drivers that do not name them."""

from __future__ import annotations

import logging
import sys
from typing import Any

_log = logging.getLogger(__name__)


def of(driver: Any, name: str) -> list[str]:
    """The clients that have a volume open, as the storage identifies them; empty if unknown.

    :param name: name of the volume on the storage.
    """
    rbd = sys.modules.get("cinder.volume.drivers.rbd")
    if rbd is None or not isinstance(driver, rbd.RBDDriver):
        return []
    try:
        with rbd.RBDVolumeProxy(driver, name, read_only=True) as image:
            return [
                f"client.{watcher['id']} ({watcher['addr']}) has it open"
                for watcher in image.watchers_list()
            ]
    except Exception as error:
        # The driver's error is more important.
        _log.debug("The clients of image %s are not known: %s", name, error)
        return []
