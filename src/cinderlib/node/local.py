"""Volumes that are files or block devices of this host (``driver_volume_type`` 'local')."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import msgspec

from cinderlib.errors import DeviceUnavailable
from cinderlib.node import block, loop
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.state import Entry


class LocalData(msgspec.Struct, frozen=True):
    """The fields of the connection data."""

    device_path: str


class LocalConnector(Connector):
    """If this process is root, a file is attached as a loop device; otherwise its path is returned.

    The path of a block device is returned, except for read-only: a flag on the device itself would
    affect all users on this host, so a read-only loop device is created.
    """

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        self.source = check(LocalData, document.data, where="conn.data").device_path

    @property
    def key(self) -> str:
        return self.document.key({"device_path": os.path.realpath(self.source)})

    @property
    def _read_only(self) -> bool:
        return self.document.mode == "ro"

    def survey(self) -> dict[str, Any]:
        source = loop.Source.of(self.source)
        return {
            "loops": [[t.name, t.diskseq] for t in loop.devices_of(source)],
            "source": _listed(source),
        }

    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        if not os.path.exists(self.source):
            raise DeviceUnavailable(
                f"{self.source} does not exist on this host.", resource=self.document.id
            )
        if os.geteuid() != 0 or (block.is_block(self.source) and not self._read_only):
            return {"type": "local", "path": self.source}
        ours = self._ours(before) or self._recorded()
        path = ours[0] if ours else loop.create(self.source, read_only=self._read_only)
        return {"type": "local", "path": path, "source": _listed(loop.Source.of(self.source))}

    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        path = device.get("path") if device else None
        # The name may belong to another loop device now, so compare the file.
        source = self._source(device)
        if isinstance(path, str) and source is not None and loop.is_of(path, source):
            loop.remove(path, source)

    def extend(self, device: dict[str, Any]) -> int:
        path: str = device["path"]
        if loop.backing_file(path) is not None:
            loop.refresh(path)
        return block.size(path)

    def identify(self, device: dict[str, Any]) -> None:
        super().identify(device)
        path, source = device["path"], self._source(device)
        is_itself = source is not None and source.is_same(loop.Source.of(path))
        if not is_itself and not loop.is_of(path, source):
            raise DeviceUnavailable(
                f"{path} is not a device of {self.source}.", resource=self.document.id
            )

    def exists(self, device: dict[str, Any]) -> bool:
        path = device.get("path")
        # The device nodes of free loop devices remain.
        return super().exists(device) and not (isinstance(path, str) and loop.is_free(path))

    def verify(self, device: dict[str, Any]) -> None:
        super().verify(device)
        path = device["path"]
        is_loop = loop.is_of(path, self._source(device))
        if not self._read_only and is_loop and block.is_read_only(path):
            raise DeviceUnavailable(
                f"{path} is read-only, but 'rw' was requested.", resource=self.document.id
            )

    def traces(self, device: dict[str, Any]) -> list[block.Trace]:
        if not loop.is_of(device["path"], self._source(device)):
            return []  # The volume itself, which existed before and must remain.
        return block.traces(device["path"])

    def users(self, device: dict[str, Any]) -> list[str]:
        return super().users(device) if self.traces(device) else []

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        ours = self._ours(entry.before)
        return {"type": "local", "path": ours[0]} if ours else None

    def _ours(self, before: dict[str, Any]) -> list[str]:
        others = [tuple(seen) for seen in before.get("loops", ())]
        return [
            f"/dev/{t.name}"
            for t in loop.devices_of(self._source(before))
            if (t.name, t.diskseq) not in others
        ]

    def _recorded(self) -> list[str]:
        """The recorded device, if a process with another state folder attached it."""
        path = (self.document.device or {}).get("path")
        is_ours = isinstance(path, str) and loop.is_of(path, loop.Source.of(self.source))
        return [path] if is_ours and path is not None else []

    def _source(self, recorded: dict[str, Any] | None) -> loop.Source | None:
        """The volume's file: the recorded file of the device, if there is one. Another
        file may have its name now."""
        recorded_source = (recorded or {}).get("source")
        if isinstance(recorded_source, list | tuple):
            with contextlib.suppress(msgspec.ValidationError):
                return msgspec.convert(recorded_source, loop.Source)
        return loop.Source.of(self.source)


def _listed(source: loop.Source | None) -> list[int | str] | None:
    """The source as a list, the form of it in documents."""
    return None if source is None else list(source)
