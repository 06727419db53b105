"""A typical persistence class for cinderlib 5: it stores each resource as a JSON document in a
file, and returns an object that ``load`` creates from it.

Its ``get_key_values`` requires a key, as in the interface of cinderlib 5, so it cannot list them.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import cinderlib as cl
from cinderlib.persistence import base


class DocumentStore(base.PersistenceDriverBase):
    """
    :ivar load: creates an object from a document; by default the default controller's method.
    """

    def __init__(self, folder: str | pathlib.Path) -> None:
        super().__init__()
        self._folder = pathlib.Path(folder)
        self.load: Callable[[str], Any] = cl.load

    def _path(self, kind: str, id: str) -> pathlib.Path:
        return self._folder / kind / (os.fsencode(id).hex() or "empty")

    def _write(self, kind: str, id: str, text: str) -> None:
        path = self._path(kind, id)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(text)
        part.replace(path)

    def _read(self, kind: str, id: str | None, **wanted: str | None) -> Iterator[Any]:
        folder = self._folder / kind
        paths = [self._path(kind, id)] if id is not None else sorted(folder.glob("*"))
        for path in paths:
            if path.suffix or not path.exists():
                continue
            found = self.load(path.read_text())
            values = {"backend": found._record.backend, **found.to_dict()}
            if all(values.get(k) == v for k, v in wanted.items() if v is not None):
                yield found

    def get_volumes(self, volume_id=None, volume_name=None, backend_name=None):
        return list(self._read("volume", volume_id, name=volume_name, backend=backend_name))

    def get_snapshots(self, snapshot_id=None, snapshot_name=None, volume_id=None):
        return list(self._read("snapshot", snapshot_id, name=snapshot_name, volume_id=volume_id))

    def get_connections(self, connection_id=None, volume_id=None):
        return list(self._read("connection", connection_id, volume_id=volume_id))

    def get_key_values(self, key):
        path = self._path("key", key)
        return [cl.KeyValue(key, path.read_text())] if path.exists() else []

    def set_volume(self, volume):
        self._write("volume", volume.id, volume.jsons)
        super().set_volume(volume)

    def set_snapshot(self, snapshot):
        self._write("snapshot", snapshot.id, snapshot.jsons)
        super().set_snapshot(snapshot)

    def set_connection(self, connection):
        self._write("connection", connection.id, connection.jsons)
        super().set_connection(connection)

    def set_key_value(self, key_value):
        self._write("key", key_value.key, key_value.value or "")

    def delete_volume(self, volume):
        self._path("volume", volume.id).unlink(missing_ok=True)
        super().delete_volume(volume)

    def delete_snapshot(self, snapshot):
        self._path("snapshot", snapshot.id).unlink(missing_ok=True)
        super().delete_snapshot(snapshot)

    def delete_connection(self, connection):
        self._path("connection", connection.id).unlink(missing_ok=True)
        super().delete_connection(connection)

    def delete_key_value(self, key):
        self._path("key", key).unlink(missing_ok=True)
