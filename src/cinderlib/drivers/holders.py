"""Lists the clients of a volume that is in use, if the driver's error does not name them."""

from __future__ import annotations

import logging
import sys
from typing import Any

_log = logging.getLogger(__name__)


def of(driver: Any, name: str) -> list[str]:
    """The clients that have a volume open, as the storage names them; empty if unknown.

    :param name: of the volume on the storage.
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
        # The refusal is the error to report.
        _log.debug("The clients of image %s are not known: %s", name, error)
        return []
