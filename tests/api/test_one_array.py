"""Copies on the array of the volume, whose driver would confuse the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from api.conftest import LoadBackend, files
from api.file_backends import read, write

import cinderlib as cl
from cinderlib import errors
from cinderlib.records import IntentRecord


@pytest.fixture
def load(load_backend: LoadBackend, tmp_path: Path) -> Callable[..., cl.Backend]:
    def load(name: str, driver: str = "api.confusing_arrays.NamedByID", **more: str) -> cl.Backend:
        folder = str(tmp_path / "array" / name)
        return load_backend(name, volume_driver=driver, file_root=folder, **more)

    return load


def test_a_copy_that_the_driver_would_confuse_is_refused(
    load: Callable[..., cl.Backend], library: cl.Controller, tmp_path: Path
) -> None:
    first, second = load("first"), load("second")
    library.create_type("gold", extra_specs={"tier": "gold"})
    volume = first.create_volume(1, name="data")
    write(volume, b"first")
    before = files(tmp_path / "array")
    for attempt in (
        lambda: volume.retype("gold", migrate=True),
        lambda: volume.retype("gold", migrate=True, backend=second),
        lambda: volume.migrate(second),
        lambda: volume.migrate(second, by_copy=True),
        lambda: volume.start_migration(second),
    ):
        with pytest.raises(errors.Unsupported, match="can be on the same array"):
            attempt()
        volume.refresh()
        assert (volume.status, volume.migration_status, volume.type_name) == (
            "available",
            None,
            None,
        )
        assert (read(volume), files(tmp_path / "array")) == (b"first", before)
        assert library.store.find(IntentRecord) == []
        assert [each.id for each in first.controller.volumes()] == [volume.id]


def test_a_copy_on_another_array_is_possible(load: Callable[..., cl.Backend]) -> None:
    near, far = load("near", array_address="192.0.2.5"), load("far", array_address="192.0.2.7")
    other = load("other", "file")
    volume = near.create_volume(1, name="data")
    write(volume, b"first")
    for place in (far, other, near):
        volume.migrate(place, by_copy=True)
        assert (volume.backend.id, read(volume)) == (place.id, b"first")
    volume.delete()
