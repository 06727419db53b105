"""Sockets of services that were killed while they started."""

from __future__ import annotations

import os
import pathlib
import socket

from cinderlib.service.listeners import PathSocket

KINDS = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


def test_the_next_service_removes_those_that_nobody_listens_on(folder: pathlib.Path) -> None:
    waiting = [PathSocket(folder / f"{kind.name}.sock", kind, mode=0o600) for kind in KINDS]
    kept = set(folder.iterdir())
    for number, kind in enumerate(KINDS):
        for age in ("old", "new"):
            path = folder / f".{number}{'0000a' if age == 'old' else '0000b'}"
            with socket.socket(socket.AF_UNIX, kind) as killed:
                killed.bind(str(path))
            if age == "new":  # its process listens soon
                kept.add(path)
    (folder / ".00000c").touch()
    kept.add(folder / ".00000c")
    for path in folder.iterdir():
        if not path.name.endswith("b"):
            os.utime(path, (1, 1))
    made = PathSocket(folder / "s.sock", socket.SOCK_STREAM, mode=0o600)
    made.publish()
    assert set(folder.iterdir()) == kept | {folder / "s.sock"}
    for each in (made, *waiting):
        each.close()
