"""iSCSI and iSER."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import InvalidDocument
from cinderlib.node import block
from cinderlib.node.base import HostSettings
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.scsi import ScsiConnector, check_lun
from cinderlib.node.state import Entry

_SESSIONS = "class/iscsi_session"


class IscsiData(msgspec.Struct, frozen=True):
    """The fields of the connection data. One of the two groups must be complete."""

    target_portal: str | None = None
    target_iqn: str | None = None
    target_lun: int | str | None = None
    target_portals: list[str] | None = None
    target_iqns: list[str] | None = None
    target_luns: list[int | str] | None = None
    auth_method: str | None = None
    auth_username: str | None = None
    auth_password: str | None = None


class IscsiConnector(ScsiConnector):
    """A connection through open-iscsi; with multipath over all portals, as one device."""

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        data = check(IscsiData, document.data, where="conn.data")
        one = {"target_portal": data.target_portal, "target_iqn": data.target_iqn}
        one |= {"target_lun": None if data.target_lun is None else str(data.target_lun)}
        several = (data.target_portals, data.target_iqns, data.target_luns)
        if not all(several):
            missing = [name for name, value in one.items() if not value]
            if missing:
                raise InvalidDocument(
                    "The connection document is not valid: these fields are missing: "
                    f"{', '.join(f'conn.data.{name}' for name in missing)}."
                )
        elif len({len(values or ()) for values in several}) != 1:
            raise InvalidDocument(
                "The connection document is not valid: conn.data.target_portals, target_iqns and "
                "target_luns have different lengths."
            )
        units = list(zip(data.target_iqns or (), data.target_luns or (), strict=False))
        if data.target_iqn and data.target_lun is not None:
            units.append((data.target_iqn, data.target_lun))
        self.units = frozenset((name, check_lun(lun)) for name, lun in units)
        self.targets = frozenset(name for name, _ in self.units)

    @property
    def key(self) -> str:
        fields = ("target_iqn", "target_iqns", "target_lun", "target_luns")
        return self.document.key({name: self.document.data.get(name) for name in fields})

    def options(self) -> dict[str, Any]:
        return {"transport": "iser"} if self.document.protocol == "iser" else {}

    def survey(self) -> dict[str, Any]:
        return {"sessions": sorted(session.name for session in self._sessions())}

    @property
    def names_all_targets(self) -> bool:
        # Otherwise discovery finds the other portals, which may have other target names.
        return not self.document.multipath or bool(self.document.data.get("target_iqns"))

    def target_of(self, disk: Path) -> str | None:
        for folder in disk.parents:
            if folder.name.startswith("session"):
                return block.read(block.SYS / _SESSIONS / folder.name / "targetname")
        return None

    def remains(self, entry: Entry) -> list[str]:
        before = entry.before.get("sessions", ())
        unused = [
            f"the iSCSI session to {block.read(session / 'targetname')}"
            for session in self._sessions()
            if session.name not in before
            and not any(session.glob("device/target*/*/block/*"))
            and not self.is_attaching_from(block.read(session / "targetname"), entry)
        ]
        return super().remains(entry) + unused

    def _sessions(self) -> list[Path]:
        folder = block.SYS / _SESSIONS
        sessions = folder.iterdir() if folder.is_dir() else ()
        return [s for s in sessions if block.read(s / "targetname") in self.targets]
