"""Controllers in a database file, with backends of the driver ``file``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import cinderlib as cl


@contextlib.contextmanager
def controller(folder: Path, *names: str) -> Iterator[cl.Controller]:
    """A controller with a backend for each name, whose volumes are in a folder of that name."""
    store = {"storage": "db", "connection": f"sqlite:///{folder}/store.sqlite"}
    with cl.Controller(store, state_path=folder / "state") as made:
        for name in names:
            made.backend(name, volume_driver="file", file_root=str(folder / name))
        yield made


def write(volume: cl.Volume, data: bytes, *places: int) -> None:
    """Write data to these places of a volume, by default to its beginning."""
    with volume.attached() as connection, open(connection.path, "r+b") as device:
        for place in places or (0,):
            device.seek(place)
            device.write(data)
        device.flush()
        os.fsync(device.fileno())


def read(volume: cl.Volume, length: int = 5, place: int = 0) -> bytes:
    """Read a part of a volume."""
    with volume.attached() as connection, open(connection.path, "rb") as device:
        device.seek(place)
        return device.read(length)
