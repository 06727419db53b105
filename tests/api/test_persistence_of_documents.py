"""A persistence class for cinderlib 5 that stores JSON and returns objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cinderlib as cl
from cinderlib.persistence.base import PersistenceDriverBase
from cinderlib.records import IntentRecord, VolumeRecord, replace


class Documents(PersistenceDriverBase):
    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, dict[str, str]] = {"volume": {}, "snapshot": {}, "connection": {}}
        self.key_values: dict[str, str | None] = {}

    def _get(self, kind: str, id: str | None, **wanted: str | None) -> list[Any]:
        assert self.controller is not None
        found = [self.controller.load(t) for i, t in self.texts[kind].items() if id in (None, i)]
        conditions = {name: value for name, value in wanted.items() if value is not None}
        return [f for f in found if all(getattr(f, n) == v for n, v in conditions.items())]

    controller: cl.Controller | None = None

    def get_volumes(self, volume_id=None, volume_name=None, backend_name=None):
        found = self._get("volume", volume_id, name=volume_name)
        return [v for v in found if backend_name in (None, v._record.backend)]

    def get_snapshots(self, snapshot_id=None, snapshot_name=None, volume_id=None):
        return self._get("snapshot", snapshot_id, name=snapshot_name, volume_id=volume_id)

    def get_connections(self, connection_id=None, volume_id=None):
        return self._get("connection", connection_id, volume_id=volume_id)

    def get_key_values(self, key=None):
        return [cl.KeyValue(k, v) for k, v in self.key_values.items() if key in (None, k)]

    def set_volume(self, volume: Any) -> None:
        self.texts["volume"][volume.id] = volume.jsons
        super().set_volume(volume)

    def set_snapshot(self, snapshot: Any) -> None:
        self.texts["snapshot"][snapshot.id] = snapshot.jsons
        super().set_snapshot(snapshot)

    def set_connection(self, connection: Any) -> None:
        self.texts["connection"][connection.id] = connection.jsons
        super().set_connection(connection)

    def set_key_value(self, key_value: Any) -> None:
        self.key_values[key_value.key] = key_value.value

    def delete_volume(self, volume: Any) -> None:
        del self.texts["volume"][volume.id]

    def delete_snapshot(self, snapshot: Any) -> None:
        del self.texts["snapshot"][snapshot.id]

    def delete_connection(self, connection: Any) -> None:
        del self.texts["connection"][connection.id]

    def delete_key_value(self, key: Any) -> None:
        self.key_values.pop(key if isinstance(key, str) else key.key, None)


def test_a_volume_lives_in_a_persistence_that_keeps_documents(tmp_path: Path) -> None:
    persistence = Documents()
    with cl.Controller(persistence, state_path=tmp_path / "state") as controller:
        persistence.controller = controller
        backend = controller.backend("here", volume_driver="file", file_root=str(tmp_path / "root"))
        volume = backend.create_volume(1, name="first")
        snapshot = volume.create_snapshot("monday")
        volume.extend(2)
        with volume.attached():
            assert controller.volume(volume.id).status == "in-use"
        volume.name = "second"
        volume.save()
        assert [(v.name, v.size, v.status) for v in backend.volumes] == [("second", 2, "available")]
        assert volume.snapshots == [snapshot]
        snapshot.delete()
        volume.delete()
        assert persistence.texts == {"volume": {}, "snapshot": {}, "connection": {}}
        assert persistence.key_values == {}
        with pytest.raises(cl.errors.VolumeNotFound):
            controller.volume(volume.id)


def test_an_operation_that_loses_a_race_leaves_no_intent(tmp_path: Path) -> None:
    """Without transactions, recovery would otherwise undo the operation of another process."""
    persistence = Documents()
    with cl.Controller(persistence, state_path=tmp_path / "state") as controller:
        persistence.controller = controller
        backend = controller.backend("here", volume_driver="file", file_root=str(tmp_path / "root"))
        volume = backend.create_volume(1, name="first")
        before = controller.store.get(VolumeRecord, volume.id)
        new = replace(before, version=0)
        with pytest.raises(cl.errors.StaleRecord):
            controller.journal.begin("volume.create", "lock", new)
        assert not controller.store.count(IntentRecord)
