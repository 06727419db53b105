"""Fibre Channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import InvalidDocument
from cinderlib.node import block
from cinderlib.node.base import HostSettings
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.scsi import ScsiConnector

_PORTS = "class/fc_remote_ports"


class FibreChannelData(msgspec.Struct, frozen=True):
    """What the connection data may have; ports and units must be there in one of the forms."""

    target_wwn: str | list[str] | None = None
    target_wwns: list[str] | None = None
    target_lun: int | str | None = None
    target_luns: list[int | str] | None = None
    initiator_target_map: dict[str, list[str]] | None = None


class FibreChannelConnector(ScsiConnector):
    """Through the host bus adapters of this host."""

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        data = check(FibreChannelData, document.data, where="conn.data")
        one = [data.target_wwn] if isinstance(data.target_wwn, str) else data.target_wwn or []
        self._ports = frozenset(_plain(name) for name in (*one, *(data.target_wwns or [])))
        if not self._ports or not self.luns:
            missing = "target_lun" if self._ports else "target_wwn"
            raise InvalidDocument(
                f"The connection document is not usable: conn.data.{missing} missing."
            )

    @property
    def key(self) -> str:
        units = {"ports": sorted(self._ports), "luns": sorted(self.luns)}
        return self.document.key(units)

    def options(self) -> dict[str, Any]:
        return {}

    def foreign_target(self, disk: Path) -> str | None:
        for folder in disk.parents:
            if folder.name.startswith("rport-"):
                name = block.read(block.SYS / _PORTS / folder.name / "port_name")
                return name if name and _plain(name) not in self._ports else None
        return None


def _plain(name: str) -> str:
    return name.lower().removeprefix("0x").replace(":", "")
