"""Reconciliation: reported, repaired and preserved resources."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api.conftest import LoadBackend, connector, damage, files

import cinderlib as cl
from cinderlib import errors
from cinderlib.drivers.port_values import InStorage
from cinderlib.operations import repairs
from cinderlib.persistence.base import Put, Remove
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord, new_id, replace

FOREIGN = "aaaaaaaa-0000-4000-8000-000000000001"
DATA = b"somebody's data"
#: A timeout in seconds for processes that hang.
PATIENCE = 300


def found(backend: cl.Backend, **options: Any) -> list[tuple[str, str, str, str]]:
    discrepancies = backend.reconcile(**options)
    assert all(each.backend == backend.id for each in discrepancies)
    return [(each.problem, each.kind, each.resource_id, each.outcome) for each in discrepancies]


def put(root: Path, name: str) -> Path:
    path = root / name
    path.write_bytes(DATA)
    return path


@pytest.fixture
def on_disk(tmp_path: Path, root: Path) -> Callable[..., cl.Controller]:
    """A function that opens a controller with the test's store on disk."""

    def opened(**options: Any) -> cl.Controller:
        controller = cl.Controller(
            {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"},
            state_path=tmp_path / "state",
            **options,
        )
        controller.backend("here", volume_driver="file", file_root=str(root))
        return controller

    return opened


def in_a_process(tmp_path: Path, root: Path, code: str) -> subprocess.Popen[str]:
    """Start a program with a controller that uses the store of ``on_disk``."""
    start = f"""
import os
import cinderlib as cl
from cinderlib import errors
controller = cl.Controller(
    {{"storage": "db", "connection": "sqlite:///{tmp_path}/metadata.sqlite"}},
    state_path="{tmp_path}/state", recover=False,
)
backend = controller.backend("here", volume_driver="file", file_root="{root}")
from cinderlib.drivers.file.driver import FileDriver
"""
    return subprocess.Popen(
        [sys.executable, "-c", start + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_consistent_backend_has_no_findings(array: cl.Backend, backend: cl.Backend) -> None:
    volume = array.create_volume(1, multiattach=True)
    volume.create_snapshot()
    volume.connect(connector("alpha"))
    volume.connect(connector("beta"))
    here = backend.create_volume(1)
    with here.attached():
        assert found(array) == found(backend) == []
        assert found(backend, repair=True) == []


def test_orphans_are_listed_and_removed_only_by_id(backend: cl.Backend, root: Path) -> None:
    kept = backend.create_volume(1)
    others = ["image.raw", "volume-backup", f"volume-{FOREIGN}.deleted", f"my-volume-{FOREIGN}"]
    for name in others:
        put(root, name)
    snapshot_id = new_id()
    put(root, f"volume-{FOREIGN}")
    put(root, f"snapshot-{snapshot_id}")
    expected = [
        ("orphan", "snapshot", snapshot_id, "found"),
        ("orphan", "volume", FOREIGN, "found"),
    ]
    assert found(backend) == expected
    assert found(backend, repair=True) == expected
    (_, discrepancy) = backend.reconcile()
    assert discrepancy.name == f"volume-{FOREIGN}"
    assert "another store" in discrepancy.detail
    assert (root / f"volume-{FOREIGN}").read_bytes() == DATA

    assert found(backend, remove=[FOREIGN]) == [
        expected[0],
        ("orphan", "volume", FOREIGN, "removed"),
    ]
    assert not (root / f"volume-{FOREIGN}").exists()
    assert found(backend, remove=[snapshot_id, FOREIGN]) == [
        ("orphan", "snapshot", snapshot_id, "removed")
    ]
    assert found(backend, remove=[snapshot_id, FOREIGN]) == []
    assert files(root) == sorted([*others, kept.name_in_storage])
    assert [v.id for v in backend.volumes] == [kept.id]


def test_volumes_of_other_backends_and_stores_are_not_orphans(
    load_backend: LoadBackend, backend: cl.Backend, root: Path, tmp_path: Path
) -> None:
    beside = load_backend("beside", volume_driver="file", file_root=str(root))
    beside.create_volume(1).create_snapshot()
    assert found(backend) == []
    with cl.Controller({"storage": "memory"}, state_path=tmp_path / "state") as other:
        theirs = other.backend("here", volume_driver="file", file_root=str(root)).create_volume(1)
        assert found(backend, repair=True) == [("orphan", "volume", theirs.id, "found")]
        assert other.volume(theirs.id).status == "available"
        assert theirs.name_in_storage in files(root)


@pytest.mark.library
def test_data_with_the_name_of_a_migrated_or_managed_volume_is_not_an_orphan(
    load_backend: LoadBackend, backend: cl.Backend, root: Path
) -> None:
    # Two backends share the storage, which has the data under another ID than the volume's.
    beside = load_backend("beside", volume_driver="file", file_root=str(root))
    volume = beside.create_volume(1)
    copy_id = new_id()
    put(root, f"volume-{FOREIGN}")
    assert found(backend) == [("orphan", "volume", FOREIGN, "found")]
    os.rename(root / volume.name_in_storage, root / f"volume-{copy_id}")
    record = replace(volume.record, name_id=copy_id)
    beside.controller.journal.store.apply(Put(record, check=False))
    managed = VolumeRecord(
        id=new_id(), backend="beside", size=1, host=volume.host, status="available",
        managed_from={"source-name": f"volume-{FOREIGN}"},
    )  # fmt: skip
    beside.controller.journal.store.apply(Put(managed))
    assert found(backend) == []
    with pytest.raises(repairs.Changed):
        repairs.remove_volume(
            beside.controller.journal, "here", InStorage(kind="volume", id=copy_id, name="")
        )
    assert (root / f"volume-{copy_id}").exists()


def test_records_of_missing_volumes_are_removed_only_by_id(backend: cl.Backend, root: Path) -> None:
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    for name in files(root):
        (root / name).unlink()
    expected = [
        ("missing", "snapshot", snapshot.id, "found"),
        ("missing", "volume", volume.id, "found"),
    ]
    assert found(backend, repair=True) == expected
    (kept, failed) = backend.reconcile(remove=[volume.id])
    assert (kept.outcome, failed.outcome) == ("found", "failed")
    assert "snapshot" in failed.reason
    assert found(backend, remove=[volume.id, snapshot.id]) == [
        ("missing", "snapshot", snapshot.id, "removed"),
        ("missing", "volume", volume.id, "removed"),
    ]
    assert (backend.volumes, list(backend.controller.snapshots())) == ([], [])


def test_the_copy_of_an_interrupted_migration_is_not_missing(
    backend: cl.Backend, library: cl.Controller, root: Path
) -> None:
    volume, copy = backend.create_volume(1), backend.create_volume(1)
    name = copy.name_in_storage
    record = library.store.get(VolumeRecord, copy.id)
    assert record is not None
    library.store.apply(Put(replace(record, migration_status=f"target:{volume.id}")))
    (root / name).rename(root / "renamed")  # to the name of the volume, by its driver
    assert found(backend) == []
    with pytest.raises(errors.InvalidInput, match="not an orphan and not missing"):
        backend.reconcile(remove=[copy.id])


def test_consistent_volumes_are_not_removed(backend: cl.Backend, root: Path) -> None:
    volume = backend.create_volume(1)
    put(root, f"volume-{FOREIGN}")
    with pytest.raises(cl.errors.InvalidInput, match="delete"):
        backend.reconcile(remove=[volume.id, FOREIGN])
    assert len(files(root)) == 2
    assert found(backend, remove=FOREIGN) == [("orphan", "volume", FOREIGN, "removed")]


def test_the_record_of_a_connected_missing_volume_is_kept(array: cl.Backend, root: Path) -> None:
    volume = array.create_volume(1)
    connection = volume.connect(connector("alpha"))
    (root / volume.name_in_storage).unlink()
    (discrepancy,) = array.reconcile(remove=[volume.id])
    assert (discrepancy.problem, discrepancy.outcome) == ("missing", "failed")
    assert "connection" in discrepancy.reason
    connection.disconnect()
    assert found(array, remove=[volume.id]) == [("missing", "volume", volume.id, "removed")]


def test_an_orphan_that_cannot_be_deleted_leaves_no_record(
    load_backend: LoadBackend, library: cl.Controller, root: Path
) -> None:
    array = load_backend(
        "array", volume_driver="api.shared_array.StubbornArray", file_root=str(root)
    )
    volume = array.create_volume(1)
    name = volume.name_in_storage
    volume.connect(connector("alpha"))
    (record,) = library.store.find(ConnectionRecord)
    library.store.apply(Remove(VolumeRecord, volume.id), Remove(ConnectionRecord, record.id))
    (discrepancy,) = array.reconcile(remove=[volume.id])
    assert (discrepancy.problem, discrepancy.outcome) == ("orphan", "failed")
    assert "could not delete" in discrepancy.reason
    assert (array.volumes, array.controller.recover()) == ([], [])
    assert name in files(root)


def test_a_removal_that_is_killed_is_finished(
    on_disk: Callable[..., cl.Controller], tmp_path: Path, root: Path
) -> None:
    with on_disk() as controller:
        put(root, f"volume-{FOREIGN}")
        code = f"""
FileDriver.delete_volume = lambda *args: os._exit(9)
backend.reconcile(remove=["{FOREIGN}"])
"""
        assert in_a_process(tmp_path, root, code).wait(PATIENCE) == 9
        assert files(root) == [f"volume-{FOREIGN}"]
        assert [done.outcome for done in controller.recover()] == ["finished"]
        assert files(root) == []
        assert found(controller.backends["here"]) == []


@pytest.mark.parametrize("kind", ["volume", "snapshot"])
def test_an_interrupted_removal_is_finished_by_the_same_call(
    on_disk: Callable[..., cl.Controller], root: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    with on_disk() as controller:
        from cinderlib.drivers.file.driver import FileDriver  # after the backend was loaded

        backend = controller.backends["here"]
        volume = backend.create_volume(1)
        if kind == "volume":
            put(root, f"volume-{FOREIGN}")
        else:
            volume.create_snapshot(id=FOREIGN)
            controller.store.apply(Remove(SnapshotRecord, FOREIGN))
        with monkeypatch.context() as patch:
            patch.setattr(FileDriver, f"delete_{kind}", interrupt)
            with pytest.raises(KeyboardInterrupt):
                backend.reconcile(remove=[FOREIGN])
        assert (root / f"{kind}-{FOREIGN}").exists()
        outcomes = found(backend, remove=[FOREIGN])
        assert ("interrupted", "intent", FOREIGN, "removed") in outcomes
        assert not (root / f"{kind}-{FOREIGN}").exists()
        assert found(backend) == []
        assert backend.volumes == [volume]


def test_an_interrupted_operation_is_found_and_settled(
    on_disk: Callable[..., cl.Controller], tmp_path: Path, root: Path
) -> None:
    with on_disk() as controller:
        backend = controller.backends["here"]
        volume = backend.create_volume(1)
        code = f"""
FileDriver.create_cloned_volume = lambda *args: os._exit(9)
controller.volume("{volume.id}").clone(id="{FOREIGN}")
"""
        assert in_a_process(tmp_path, root, code).wait(PATIENCE) == 9
        expected = ("interrupted", "intent", FOREIGN)
        assert found(backend) == [(*expected, "found")]
        assert found(backend, repair=True) == [(*expected, "repaired")]
        assert found(backend) == []
        assert [v.id for v in backend.volumes] == [volume.id]


@pytest.mark.slow
def test_running_operations_are_not_findings(
    on_disk: Callable[..., cl.Controller], tmp_path: Path, root: Path
) -> None:
    """Another process creates, connects and deletes volumes and snapshots meanwhile."""
    with on_disk() as controller:
        backend = controller.backends["here"]
        code = """
import sys, threading
print("ready", flush=True)
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    volume.attach()
    volume.detach()
    snapshot.delete()
    volume.delete()
print("done")
"""
        process = in_a_process(tmp_path, root, code)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        seen = [each for _ in range(30) for each in backend.reconcile(repair=True)]
        out, _ = process.communicate("", timeout=PATIENCE)
        assert (seen, out, process.returncode) == ([], "done\n", 0)
        assert files(root) == []


@pytest.mark.parametrize("after", [False, True], ids=["before the driver", "after the driver"])
def test_a_slow_create_is_not_a_finding(
    backend: cl.Backend, root: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    from cinderlib.drivers.file.driver import FileDriver

    reached, go_on = threading.Event(), threading.Event()
    original = FileDriver.create_volume

    def slow(self: Any, volume: Any) -> None:
        if after:
            original(self, volume)
        reached.set()
        assert go_on.wait(PATIENCE)
        if not after:
            original(self, volume)

    monkeypatch.setattr(FileDriver, "create_volume", slow)
    thread = threading.Thread(target=backend.create_volume, args=(1,), kwargs={"id": FOREIGN})
    thread.start()
    try:
        assert reached.wait(PATIENCE)
        assert found(backend, repair=True) == []
        with pytest.raises(cl.errors.InvalidInput):
            backend.reconcile(remove=[FOREIGN])
    finally:
        go_on.set()
        thread.join(PATIENCE)
    assert backend.controller.volume(FOREIGN).status == "available"
    assert files(root) == [f"volume-{FOREIGN}"]


def test_stale_states_are_findings(backend: cl.Backend, library: cl.Controller, root: Path) -> None:
    store = library.store
    volumes = [backend.create_volume(1) for _ in range(3)]
    statuses = ["creating", "error_deleting", "error"]
    for volume, status in zip(volumes, statuses, strict=True):
        record = store.get(VolumeRecord, volume.id)
        assert record is not None
        store.apply(Put(replace(record, status=status)))
    (root / volumes[2].name_in_storage).unlink()
    discrepancies = backend.reconcile(repair=True)
    assert {each.resource_id: each.problem for each in discrepancies} == {
        volumes[0].id: "stuck",
        volumes[1].id: "failed",
        volumes[2].id: "failed",
    }
    assert {each.outcome for each in discrepancies} == {"found"}
    assert all("delete it" in each.detail for each in discrepancies)
    for volume in volumes:
        volume.delete()
    assert found(backend) == []


def test_a_status_that_contradicts_the_connections(
    array: cl.Backend, library: cl.Controller
) -> None:
    store = library.store
    connected, free = array.create_volume(1), array.create_volume(1)
    connected.connect(connector("alpha"))
    for volume, status in ((connected, "available"), (free, "in-use")):
        record = store.get(VolumeRecord, volume.id)
        assert record is not None
        store.apply(Put(replace(record, status=status)))
    assert {problem for problem, *_ in found(array)} == {"inconsistent"}
    assert {outcome for *_, outcome in found(array, repair=True)} == {"repaired"}
    assert array.controller.volume(connected.id).status == "in-use"
    assert array.controller.volume(free.id).status == "available"
    assert found(array) == []


def test_records_of_a_volume_without_its_record(
    array: cl.Backend, library: cl.Controller, root: Path
) -> None:
    store = library.store
    volume = array.create_volume(1)
    snapshot = volume.create_snapshot()
    connection = volume.connect(connector("alpha"))
    store.apply(Remove(VolumeRecord, volume.id))
    expected = [
        ("dangling", "connection", connection.id),
        ("dangling", "snapshot", snapshot.id),
        ("orphan", "volume", volume.id),
    ]
    assert found(array, repair=True) == [(*each, "found") for each in expected]
    assert [name for name in os.listdir(root) if name.endswith(".maps")]
    removed = found(array, remove=[volume.id, snapshot.id, connection.id])
    assert removed == [(*each, "removed") for each in expected]
    assert os.listdir(root) == []
    assert store.count(ConnectionRecord) + store.count(SnapshotRecord) == 0
    assert found(array) == []


def test_a_snapshot_that_is_missing_on_the_storage(
    backend: cl.Backend, library: cl.Controller, root: Path
) -> None:
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    library.store.apply(Remove(VolumeRecord, volume.id))
    for name in files(root):
        (root / name).unlink()
    expected = ("dangling", "snapshot", snapshot.id)
    assert found(backend, repair=True) == [(*expected, "found")]
    assert found(backend, remove=[snapshot.id]) == [(*expected, "removed")]
    assert found(backend) == []


def test_a_connection_without_its_volume_is_removed(
    array: cl.Backend, library: cl.Controller
) -> None:
    store = library.store
    volume = array.create_volume(1)
    connection = volume.connect(connector("alpha"))
    volume_file = Path(array.config["file_root"]) / volume.name_in_storage
    store.apply(Remove(VolumeRecord, volume.id))
    volume_file.unlink()
    expected = ("dangling", "connection", connection.id)
    assert found(array) == [(*expected, "found")]
    assert found(array, repair=True) == [(*expected, "repaired")]
    assert found(array) == []


def test_a_damaged_record_is_a_finding_and_its_volume_is_not_an_orphan(
    on_disk: Callable[..., cl.Controller], tmp_path: Path, root: Path
) -> None:
    with on_disk() as controller:
        backend = controller.backends["here"]
        volume, whole = backend.create_volume(1), backend.create_volume(1)
        damage(tmp_path, "volume", volume.id)
        expected = ("damaged", "volume", volume.id)
        assert found(backend, repair=True) == [(*expected, "found")]
        assert [v.id for v in backend.volumes] == [whole.id]
        with pytest.raises(cl.errors.DamagedRecord, match="cannot be read"):
            controller.volume(volume.id)
        assert found(backend, remove=[volume.id]) == [(*expected, "removed")]
        assert found(backend) == [("orphan", "volume", volume.id, "found")]
        assert volume.name_in_storage in files(root)


def test_a_volume_with_a_damaged_connection_or_snapshot_is_not_deleted(
    on_disk: Callable[..., cl.Controller], tmp_path: Path, root: Path
) -> None:
    with on_disk() as controller:
        backend = controller.backends["here"]
        connected, snapped = backend.create_volume(1), backend.create_volume(1)
        snapshot = snapped.create_snapshot()
        connected.connect(controller.local_connector(backend))
        damage(tmp_path, "connection", connected.connections[0].id)
        damage(tmp_path, "snapshot", snapshot.id)
        assert (connected.connections, snapped.snapshots) == ([], [])
        for volume in (connected, snapped):
            with pytest.raises(cl.errors.DamagedRecord):
                volume.delete()
        assert len(files(root)) == 3
        assert {(problem, kind) for problem, kind, *_ in found(backend)} == {
            ("damaged", "connection"),
            ("damaged", "snapshot"),
        }


def test_partial_volumes_of_a_killed_process(backend: cl.Backend, root: Path) -> None:
    name = f".volume-{FOREIGN}.0123456789abcdef.part"
    put(root, name)
    (discrepancy,) = backend.reconcile()
    assert (discrepancy.problem, discrepancy.kind, discrepancy.name) == ("leftover", "file", name)
    assert [each.outcome for each in backend.reconcile(repair=True)] == ["repaired"]
    assert os.listdir(root) == []


def test_a_storage_that_does_not_answer(
    backend: cl.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinderlib.drivers.file.driver import FileDriver

    volume = backend.create_volume(1)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(FileDriver, "get_manageable_volumes", fail)
    with pytest.raises(cl.errors.DriverError, match="no answer"):
        backend.reconcile(repair=True, remove=[volume.id])
    assert backend.volumes == [volume]


def test_a_driver_that_can_only_find_volumes_by_name(
    backend: cl.Backend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinderlib.drivers.file.driver import FileDriver

    def cannot(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileDriver, "get_manageable_volumes", cannot)
    monkeypatch.setattr(FileDriver, "get_manageable_snapshots", cannot)
    volume, lost = backend.create_volume(1), backend.create_volume(1)
    snapshot = volume.create_snapshot()
    put(root, f"volume-{FOREIGN}")
    (root / lost.name_in_storage).unlink()
    (root / snapshot.name_in_storage).unlink()
    assert found(backend) == [
        ("missing", "snapshot", snapshot.id, "found"),
        ("missing", "volume", lost.id, "found"),
    ]
    monkeypatch.delattr(FileDriver, "exists_in_storage")
    assert found(backend) == [
        ("unverified", "snapshot", "", "found"),
        ("unverified", "volume", "", "found"),
    ]
