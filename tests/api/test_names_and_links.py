"""Names that a program relies on: unique ones, and stable paths of devices."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from api.conftest import LoadBackend, files

import cinderlib as cl

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices")


def test_a_unique_name_is_refused_for_a_second_volume(backend: cl.Backend, root: Path) -> None:
    first = backend.create_volume(1, name="data", unique_name=True)
    with pytest.raises(cl.errors.AlreadyExists, match="'data' already exists"):
        backend.create_volume(1, name="data", unique_name=True)
    with pytest.raises(cl.errors.AlreadyExists):
        first.clone(name="data", unique_name=True)
    assert len(files(root)) == 1
    second = backend.create_volume(1, name="data")
    with pytest.raises(cl.errors.AlreadyExists):
        second.rename("data")
    second.rename("other")
    assert (second.changed, backend.Volume.get_by_id(second.id).name) == (True, "other")
    second.rename("other")
    assert second.changed is False
    snapshot = first.create_snapshot("monday", unique_name=True)
    with pytest.raises(cl.errors.AlreadyExists, match="snapshot with the name 'monday'"):
        first.create_snapshot("monday", unique_name=True)
    assert [each.id for each in first.snapshots] == [snapshot.id]
    second.create_snapshot("monday", unique_name=True)


@pytest.mark.slow
def test_only_one_of_many_at_once_gets_a_unique_name(backend: cl.Backend, root: Path) -> None:
    made, refused = [], []

    def create() -> None:
        try:
            made.append(backend.create_volume(1, name="data", unique_name=True))
        except cl.errors.AlreadyExists as exc:
            refused.append(exc)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused), len(files(root))) == (1, 7, 1)


@pytest.mark.slow
def test_a_volume_is_deleted_with_its_snapshots(array: cl.Backend, root: Path) -> None:
    volume = array.create_volume(1)
    for name in ("a", "b"):
        volume.create_snapshot(name)
    connection = volume.connect({"host": "far", "initiator": "iqn.2026-11.org.example:far"})
    with pytest.raises(cl.errors.InvalidVolume, match="connected to far"):
        volume.delete(snapshots=True)
    assert [each.name for each in volume.snapshots] == ["a", "b"]
    volume.disconnect(connection)
    volume.delete(snapshots=True)
    assert files(root) == []
    volume.delete(snapshots=True)
    assert volume.changed is False


@pytest.mark.slow
def test_newer_snapshots_that_a_revert_would_delete_are_listed(
    load_backend: LoadBackend, root: Path
) -> None:
    backend = load_backend("rolls", volume_driver="api.played_drivers.RevertingDriver")
    volume = backend.create_volume(1)
    first, second, third = (volume.create_snapshot(name) for name in "abc")
    assert [each.name for each in volume.revert_blockers(first)] == ["b", "c"]
    assert volume.revert_blockers(third) == []
    second.delete()
    with pytest.raises(cl.errors.SnapshotNotFound):
        volume.revert_blockers(second)


@as_root
@pytest.mark.slow
def test_the_link_of_an_attachment_follows_it(backend: cl.Backend, tmp_path: Path) -> None:
    link, other = tmp_path / "by-name/files/data", tmp_path / "by-name/files/other"
    volume = backend.create_volume(1, name="data")
    connection = volume.attach(link=str(link))
    assert (link.is_symlink(), os.readlink(link)) == (True, connection.path)
    link.unlink()
    assert volume.attach().changed is False
    assert os.readlink(link) == connection.path, "an attach without a link repairs it"
    volume.attach(link=str(other))
    assert (os.path.lexists(link), os.readlink(other)) == (False, connection.path)
    os.unlink(other)
    os.symlink("/dev/null", other)
    volume.detach()
    assert os.readlink(other) == "/dev/null", "a link to another device is not touched"
    volume.attach(link=str(other))
    volume.detach()
    assert os.listdir(other.parent) == []
    other.write_text("a file")
    with pytest.raises(cl.errors.AlreadyExists, match="not a symbolic link"):
        volume.attach(link=str(other))
    assert (volume.connections, other.read_text()) == ([], "a file")
    for bad in ("relative", "/", "/a/../b", "/a//b", ""):
        with pytest.raises(cl.errors.InvalidInput, match=r"absolute path|must be in the folder"):
            volume.attach(link=bad)
