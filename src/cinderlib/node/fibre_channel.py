"""Fibre Channel."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import InvalidDocument
from cinderlib.node import block
from cinderlib.node.base import HostSettings
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.scsi import ScsiConnector, check_lun

_PORTS = "class/fc_remote_ports"


class FibreChannelData(msgspec.Struct, frozen=True):
    """The fields of the connection data. Ports and units are required, in one of two forms."""

    target_wwn: str | list[str] | None = None
    target_wwns: list[str] | None = None
    target_lun: int | str | None = None
    target_luns: list[int | str] | None = None
    initiator_target_map: dict[str, list[str]] | None = None


class FibreChannelConnector(ScsiConnector):
    """A connection through the host bus adapters of this host."""

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        data = check(FibreChannelData, document.data, where="conn.data")
        one = [data.target_wwn] if isinstance(data.target_wwn, str) else data.target_wwn or []
        ports = data.target_wwns or one
        luns = data.target_luns or ([] if data.target_lun is None else [data.target_lun])
        missing = "target_lun" if ports else "target_wwn"
        if not ports or not luns:
            raise InvalidDocument(
                f"The connection document is not valid: conn.data.{missing} is missing."
            )
        pairs = zip(ports, luns, strict=True) if len(ports) == len(luns) else product(ports, luns)
        self.units = frozenset((_plain(name), check_lun(lun)) for name, lun in pairs)

    @property
    def key(self) -> str:
        return self.document.key({"units": sorted(self.units)})

    @property
    def uses_multipath(self) -> bool:
        # os-brick scans all adapters, so multipathd can create a map although the connection does
        # not request multipath. If os-brick removed only the disks, the map would remain and queue
        # writes.
        return self.document.multipath or self.has_map()

    def options(self) -> dict[str, Any]:
        return {}

    def target_of(self, disk: Path) -> str | None:
        for folder in disk.parents:
            if folder.name.startswith("rport-"):
                return _plain(block.read(block.SYS / _PORTS / folder.name / "port_name") or "")
        return None


def _plain(name: str) -> str:
    return name.lower().removeprefix("0x").replace(":", "")
