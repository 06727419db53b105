"""RBD images: mapped by the kernel if possible, otherwise opened through librbd in this process.

If the connection data contains the keys of the cluster, no ceph.conf is needed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import (
    DeviceInUse,
    DeviceUnavailable,
    InvalidDocument,
    MissingDependency,
    NodeError,
)
from cinderlib.node import block, command, osbrick
from cinderlib.node.base import HostSettings
from cinderlib.node.brick import BrickConnector
from cinderlib.node.document import ConnectionDocument, check
from cinderlib.node.state import Entry

_BUS = "bus/rbd"

_handles_lock = threading.Lock()
#: Open images of this process, by attachment key; other processes cannot use the handles.
_handles: dict[str, Any] = {}


class RbdData(msgspec.Struct, frozen=True):
    """The fields of the connection data."""

    name: str
    hosts: list[str]
    ports: list[str | int]
    cluster_name: str = "ceph"
    auth_username: str | None = None
    keyring: str | None = None
    do_local_attach: bool | None = None


class RbdConnector(BrickConnector):
    """An image as ``/dev/rbd<n>`` for root on a host with the kernel's client, otherwise as a
    file-like object. ``do_local_attach`` in the connection data overrides this choice.
    """

    def __init__(self, document: ConnectionDocument, settings: HostSettings) -> None:
        super().__init__(document, settings)
        self._data = check(RbdData, document.data, where="conn.data")
        self._pool, slash, self._image = self._data.name.partition("/")
        if not slash or not self._pool or not self._image or "/" in self._image:
            raise InvalidDocument(
                "The connection document is not valid: conn.data.name must be 'pool/image'."
            )
        if len(self._data.hosts) != len(self._data.ports) or not self._data.hosts:
            raise InvalidDocument(
                "The connection document is not valid: conn.data.hosts and conn.data.ports must "
                "have one entry for each monitor."
            )

    @property
    def key(self) -> str:
        hosts = sorted(self._data.hosts)
        return self.document.key({"name": self._data.name, "hosts": hosts})

    def survey(self) -> dict[str, Any]:
        return {"mapped": self._mapped()}

    def attach(self, before: dict[str, Any]) -> dict[str, Any]:
        if not self._by_kernel():
            return self._open()
        recorded = (self.document.device or {}).get("path")
        others = before.get("mapped", [])
        ours = [path for path in self._mapped() if path not in others or path == recorded]
        if not ours:
            if others:
                raise DeviceInUse(
                    f"Another program on this host mapped {self._data.name} as {others[0]}.",
                    resource=self.document.id,
                )
            device = super().attach(before)
            if conf := device.get("conf"):
                # The file contains the key, and the map does not need it any more.
                self._delete(conf)
            ours = self._mapped()
            if not ours:
                raise DeviceUnavailable(
                    f"The kernel did not map {self._data.name}.", resource=self.document.id
                )
        return {"type": "block", "path": ours[0]}

    def detach(self, device: dict[str, Any] | None, *, force: bool = False) -> None:
        with _handles_lock:
            handle = _handles.pop(self.key, None)
        path: Any = device.get("path") if device else None
        opened: Any
        for opened in {id(h): h for h in (handle, path) if _is_open(h)}.values():
            with self.errors("detach"):
                opened.close()
                opened.rbd_image.close()  # The wrapper does not close the image and its session.
        # The name may belong to another image now, so check in sysfs.
        if isinstance(path, str) and os.path.realpath(path) in self._mapped():
            options = ["-o", "force"] if force else []
            argv = ["rbd", "unmap", *options, os.path.realpath(path)]
            command.run(argv, root_helper=self.settings.root_helper)

    def extend(self, device: dict[str, Any]) -> int:
        path = device["path"]
        if isinstance(path, str):
            # The cluster notifies the kernel of the new size; this makes sure that it is known.
            with contextlib.suppress(OSError):
                (self._folder(path) / "refresh").write_text("1")
        return self.size(device)

    def size(self, device: dict[str, Any]) -> int:
        path = device["path"]
        if isinstance(path, str):
            return block.size(path)
        with self.errors("read the size"):
            return int(path.rbd_image.size())

    def identify(self, device: dict[str, Any]) -> None:
        path = device["path"]
        if isinstance(path, str) and os.path.realpath(path) not in self._mapped():
            raise DeviceUnavailable(f"{path} is not {self._data.name}.", resource=self.document.id)

    def find_interrupted(self, entry: Entry) -> dict[str, Any] | None:
        others = entry.before.get("mapped", [])
        ours = [path for path in self._mapped() if path not in others]
        return {"type": "block", "path": ours[0]} if ours else None

    def data(self, device: dict[str, Any] | None = None) -> dict[str, Any]:
        return {**super().data(), "do_local_attach": True}

    def _by_kernel(self) -> bool:
        if self._data.do_local_attach is not None:
            return self._data.do_local_attach
        if os.geteuid() != 0 or shutil.which("rbd") is None:
            return False
        if not (block.SYS / _BUS).is_dir():
            _load_module()
        return (block.SYS / _BUS).is_dir()

    def _open(self) -> dict[str, Any]:
        with _handles_lock:
            handle = _handles.get(self.key)
        if handle is None or handle.closed:
            connector = self.connector()
            data = super().data()
            with self.errors("attach"):
                # The public method cannot open an image read-only.
                handle = connector._get_rbd_handle(data, read_only=self.document.mode == "ro")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(handle.rbd_conf)  # It contains the key and is not needed any more.
            with _handles_lock:
                _handles[self.key] = handle
        return {"type": "librbd", "path": handle}

    def _delete(self, conf: str) -> None:
        osbrick.prepare(self.settings.root_helper, self.settings.state.brick_locks)
        from os_brick.privileged import rbd as privileged

        privileged.delete_if_exists(conf)

    def _mapped(self) -> list[str]:
        """The devices of the image in the kernel, newest last."""
        found = []
        devices = block.SYS / _BUS / "devices"
        for folder in devices.iterdir() if devices.is_dir() else ():
            names = (block.read(folder / "pool"), block.read(folder / "name"))
            if names == (self._pool, self._image) and block.read(folder / "current_snap") == "-":
                found.append(int(folder.name))
        return [f"/dev/rbd{number}" for number in sorted(found)]

    def _folder(self, path: str) -> Path:
        return (
            block.SYS
            / _BUS
            / "devices"
            / os.path.basename(os.path.realpath(path)).removeprefix("rbd")
        )


@functools.cache
def _load_module() -> None:
    with contextlib.suppress(NodeError, MissingDependency):
        command.run(["modprobe", "rbd"])


def _is_open(handle: Any) -> bool:
    return hasattr(handle, "rbd_image") and not handle.closed
