"""NVMe over Fabrics."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import DeviceUnavailable, InvalidDocument
from cinderlib.node import block
from cinderlib.node.base import HostSettings
from cinderlib.node.brick import BrickConnector
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.state import Entry

_CONTROLLERS = "class/nvme"
_FABRICS = frozenset({"tcp", "rdma", "fc"})


class NvmeData(msgspec.Struct, frozen=True):
    """The fields of the connection data, in the three forms that drivers use."""

    nqn: str | None = None
    target_portal: str | None = None
    target_port: int | str | None = None
    transport_type: str | None = None
    target_nqn: str | None = None
    portals: list[tuple[str, int | str, str]] | None = None
    vol_uuid: str | None = None
    volume_nguid: str | None = None
    ns_id: int | str | None = None
    volume_replicas: list[dict[str, Any]] | None = None


class NvmeConnector(BrickConnector):
    """A connection through nvme-cli; the kernel's own multipath handles several paths."""

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        self._data = data = check(NvmeData, document.data, where="conn.data")
        if data.volume_replicas:
            targets = [
                check(NvmeData, replica, where=f"conn.data.volume_replicas[{number}]")
                for number, replica in enumerate(data.volume_replicas)
            ]
        else:
            targets = [data]
        for target in targets:
            missing = _missing(target)
            if missing:
                raise InvalidDocument(
                    "The connection document is not valid: these fields are missing: "
                    f"{', '.join(f'conn.data.{name}' for name in missing)}."
                )
        self.targets = frozenset(t.target_nqn or t.nqn for t in targets)

    @property
    def key(self) -> str:
        fields = ("nqn", "target_nqn", "vol_uuid", "volume_nguid", "ns_id", "volume_replicas")
        return self.document.key({name: self.document.data.get(name) for name in fields})

    def options(self) -> dict[str, Any]:
        return {}

    def data(self, device: dict[str, Any] | None = None) -> dict[str, Any]:
        data = super().data()
        if device and device.get("path"):
            data["device_path"] = device["path"]  # os-brick's extend reads only this field.
        return data

    def survey(self) -> dict[str, Any]:
        return {"controllers": sorted(controller.name for controller in self._controllers())}

    def identify(self, device: dict[str, Any]) -> None:
        super().identify(device)
        path: str = device["path"]
        if self._data.volume_replicas:
            return  # An md device of the replicas has none of their identities.
        folder = block.sysfs(path)
        subsystem = block.read(folder / "device" / "subsysnqn")
        if subsystem and subsystem not in self.targets:
            raise self._wrong(path, "subsystem", subsystem, ", ".join(map(str, self.targets)))
        wanted = (("nguid", self._data.volume_nguid), ("uuid", self._data.vol_uuid))
        for name, expected in wanted:
            actual = block.read(folder / name)
            if expected and actual and _plain(actual) != _plain(expected):
                raise self._wrong(path, name.upper(), actual, expected)
        number = block.read(folder / "nsid")
        if self._data.ns_id is not None and number and number != str(self._data.ns_id):
            raise self._wrong(path, "namespace", number, str(self._data.ns_id))

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        if entry.device or self._data.volume_replicas:
            return entry.device
        found = []
        for folder in sorted((block.SYS / "block").glob("nvme*n*")):
            device = {"type": "block", "path": f"/dev/{folder.name}"}
            if block.read(folder / "device" / "subsysnqn") in self.targets:
                with contextlib.suppress(DeviceUnavailable):
                    self.identify(device)
                    found.append(device)
        # If the connection matches several namespaces, none of them can be used.
        return found[0] if len(found) == 1 else None

    def remains(self, entry: Entry) -> list[str]:
        before = entry.before.get("controllers", ())
        unused = [
            f"the NVMe controller {controller.name} of {block.read(controller / 'subsysnqn')}"
            for controller in self._controllers()
            if controller.name not in before
            and not any(controller.glob("nvme*n*"))
            and not self.is_attaching_from(block.read(controller / "subsysnqn"), entry)
        ]
        # Only the array can remove a namespace from a subsystem that other volumes need.
        traces = [trace for trace in entry.traces if not _other_namespaces(trace.name)]
        return super().remains(msgspec.structs.replace(entry, traces=traces)) + unused

    def _controllers(self) -> list[Path]:
        folder = block.SYS / _CONTROLLERS
        return [
            controller
            for controller in (folder.iterdir() if folder.is_dir() else ())
            if block.read(controller / "transport") in _FABRICS
            and block.read(controller / "subsysnqn") in self.targets
        ]

    def _wrong(self, path: str, what: str, actual: str, expected: str) -> DeviceUnavailable:
        return DeviceUnavailable(
            f"{path} has the {what} {actual}, but the volume has {expected}.",
            resource=self.document.id,
        )


def _missing(target: NvmeData) -> list[str]:
    if target.target_nqn:
        return [] if target.portals else ["portals"]
    fields = ("nqn", "target_portal", "target_port", "transport_type")
    return [name for name in fields if not getattr(target, name)]


def _other_namespaces(name: str) -> list[str]:
    """The other namespaces that this host uses of a namespace's subsystem."""
    subsystem = block.SYS / "block" / name / "device"
    return [folder.name for folder in subsystem.glob("nvme*n*") if folder.name != name]


def _plain(identity: str) -> str:
    return identity.lower().replace("-", "")
