"""Determines the protocol of a backend from the driver's name and options.

This does not import Cinder. A loaded driver reports the protocol in its stats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: The order matters: ``RBDISCSIDriver`` exports RBD images over iSCSI.
_NAMED = (
    ("iscsi", re.compile(r"iscsi|solidfire", re.IGNORECASE)),
    ("nvme", re.compile(r"nvme", re.IGNORECASE)),
    ("nfs", re.compile(r"nfs", re.IGNORECASE)),
    ("rbd", re.compile(r"rbd", re.IGNORECASE)),
    ("fc", re.compile(r"FC|FibreChannel|(^|[._])fc([._]|$)")),
    ("local", re.compile(r"^file$|FileDriver$", re.IGNORECASE)),
)
_LVM = re.compile(r"lvm", re.IGNORECASE)
_IN_OPTIONS = re.compile(r"protocol$")


def of(options: Mapping[str, Any]) -> str | None:
    """The protocol of a backend with these options; ``None`` if it is unknown."""
    driver = str(options.get("volume_driver", ""))
    chosen = [str(value) for name, value in options.items() if _IN_OPTIONS.search(name) and value]
    if _LVM.search(driver):
        # An old LIO or tgt target uses iSCSI by default.
        chosen = chosen or ["iscsi"]
    for text in (*chosen, driver):
        for protocol, pattern in _NAMED:
            if pattern.search(text):
                return protocol
    return None


def is_lvm(options: Mapping[str, Any]) -> bool:
    """Whether the volumes are logical volumes on this host."""
    return bool(_LVM.search(str(options.get("volume_driver", ""))))
