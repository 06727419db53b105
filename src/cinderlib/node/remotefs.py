"""Volumes that are files on a share (NFS and similar). The share is mounted while it is used."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import DeviceUnavailable
from cinderlib.locking import filesystems, state_folder
from cinderlib.node import block, command
from cinderlib.node.attachment import DeviceState
from cinderlib.node.base import HostSettings
from cinderlib.node.brick import BrickConnector
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.state import Entry


class RemoteFsData(msgspec.Struct, frozen=True):
    """The fields of the connection data."""

    export: str
    name: str
    options: str | None = None
    format: str | None = None


class RemoteFsConnector(BrickConnector):
    """The path is the volume's file; the reader must know its format (raw, qcow2).

    Shares are mounted below a separate folder, never where a driver on this host has mounted them,
    so that detach unmounts only our own mounts. Volumes of one share use one mount, and detaching
    the last of them unmounts it. Read-only volumes use a separate mount.
    """

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        self._data = check(RemoteFsData, document.data, where="conn.data")
        base = settings.state.mounts / document.mode
        # os-brick uses this name for the mount point of a share.
        digest = hashlib.md5(self._data.export.encode(), usedforsecurity=False).hexdigest()
        self._base, self._mount = base, base / digest

    @property
    def key(self) -> str:
        return self.document.key({"export": self._data.export, "name": self._data.name})

    @property
    def _path(self) -> Path:
        return self._mount / self._data.name

    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        state_folder.make(self._base, 0o755)
        with self.settings.state.locked(self._mount.name):
            device = super().attach(before)
        return {"type": self.document.protocol, **device}

    def options(self) -> dict[str, Any]:
        mount_type = self.document.protocol
        return {"mount_type": mount_type, "conn": {"mount_point_base": str(self._base)}}

    def data(self, device: dict[str, Any] | None = None) -> dict[str, Any]:
        data = super().data()
        if self.document.mode == "ro":
            data["options"] = f"{data.get('options') or ''} -o ro".strip()
        return data

    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        with self.settings.state.locked(self._mount.name):
            if not self._is_mounted() or self._is_shared():
                return
            lazily = ["--lazy"] if force else []
            argv = ["umount", *lazily, str(self._mount)]
            command.run(argv, root_helper=self.settings.root_helper)
            self._mount.rmdir()

    def extend(self, device: dict[str, Any]) -> int:
        return block.size(device["path"])

    def identify(self, device: dict[str, Any]) -> None:
        if not os.path.isfile(device["path"]):
            raise DeviceUnavailable(
                f"The share {self._data.export} has no file {self._data.name}.",
                resource=self.document.id,
            )

    def exists(self, device: dict[str, Any]) -> bool:
        return self._is_mounted()

    def look(self, device: dict[str, Any]) -> DeviceState:
        # Do not access the file: this would hang if the server does not answer.
        sources = {each.source for each in filesystems.mounts() if each.point == str(self._mount)}
        if not sources:
            return "gone"
        return "ok" if self._data.export in sources else "another"

    def size(self, device: dict[str, Any]) -> int | None:
        return block.size(device["path"]) if self._data.format in (None, "raw") else None

    def remains(self, entry: Entry) -> list[str]:
        if self._is_mounted() and not self._is_shared():
            return [f"the mount of {self._data.export} on {self._mount}"]
        return []

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        mounted = self._is_mounted() and not self._is_shared()
        return {"type": self.document.protocol, "path": str(self._path)} if mounted else None

    def _is_mounted(self) -> bool:
        # Do not access the folder: this would hang if the server does not answer.
        return filesystems.is_mount_point(str(self._mount))

    def _is_shared(self) -> bool:
        """Whether another volume of this host uses the same mount."""
        for entry in self.settings.state.entries():
            other = ConnectionDocument(entry.document)
            same = (other.protocol, other.mode) == (self.document.protocol, self.document.mode)
            if same and entry.key != self.key and other.data.get("export") == self._data.export:
                return True
        return False
