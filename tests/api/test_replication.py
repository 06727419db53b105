"""Failover of a backend, and frozen backends, as programs and drivers see them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.conftest import LoadBackend, connector, files

import cinderlib as cl
from cinderlib import errors
from cinderlib.client.controller import RemoteController
from cinderlib.operations import replication
from cinderlib.operations.failover import lock_name
from cinderlib.operations.intents import new_intent
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Put
from cinderlib.records import ReplicationRecord, VolumeRecord, replace

REPLICATED = {"replication_enabled": "<is> True"}
DEVICES = ["backend_id:second,san_ip:192.0.2.2", "backend_id:third"]


def _options(root: Path, kind: str = "ReplicatedArray") -> dict[str, Any]:
    return {
        "volume_driver": f"api.replicated_array.{kind}",
        "file_root": str(root),
        "replication_device": DEVICES,
    }


@pytest.fixture
def backend(load_backend: LoadBackend, root: Path) -> cl.Backend:
    return load_backend("array", **_options(root))


@pytest.fixture
def another(library: cl.Controller, tmp_path: Path) -> Iterator[cl.Controller]:
    """A controller of another process with the same store."""
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        yield controller


def _calls(root: Path) -> list[str]:
    file = root / ".replication"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.partition(" ")[2] for line in lines]


def _replicated(backend: cl.Backend, name: str = "kept") -> cl.Volume:
    return backend.create_volume(1, name=name, extra_specs=REPLICATED)


def test_failover_changes_volumes_and_state_together(backend: cl.Backend, root: Path) -> None:
    kept, broken = _replicated(backend), _replicated(backend, "broken")
    (root / f".broken-{broken.id}").touch()
    lost = backend.create_volume(1, name="lost")
    alone = backend.create_volume(1)
    snapshot = lost.create_snapshot()
    assert backend.replication == cl.Replication("enabled", None, False, ("second", "third"))
    state = backend.failover("second")
    assert state == cl.Replication("failed-over", "second", False, ("second", "third"), True)
    for each in (kept, broken, lost):
        each.refresh()
    assert (kept.status, kept.replication_status) == ("available", "failed-over")
    assert (kept.provider_location, kept.replication_driver_data) == ("second", "data")
    assert (broken.status, broken.replication_status) == ("error", "failover-error")
    assert (lost.status, lost.previous_status) == ("error", "available")
    assert lost.replication_extended_status == "no-replica"
    assert _calls(root) == ["failover second 2"]
    before = files(root)
    for refused in (alone.delete, lost.create_snapshot, snapshot.delete, snapshot.create_volume):
        with pytest.raises(errors.CinderlibError, match=r"no replica there|it is 'error'"):
            refused()
    assert files(root) == before

    (root / f".broken-{broken.id}").unlink()
    assert backend.failback().status == "enabled"
    for each in (kept, lost):
        each.refresh()
    assert (kept.replication_status, kept.provider_location) == ("enabled", None)
    assert (lost.status, lost.previous_status) == ("available", None)
    snapshot.delete()
    lost.delete()


def test_repeated_calls_change_nothing(backend: cl.Backend, root: Path) -> None:
    assert not backend.failback().changed
    assert backend.failover().changed
    assert not backend.failover().changed
    assert not backend.failover("second").changed
    assert _calls(root) == ["failover None 0"]
    assert backend.failback().changed
    assert not backend.failback().changed
    assert not backend.failover("default").changed
    assert _calls(root) == ["failover None 0", "failover default 0"]


def test_target_that_the_driver_refuses_changes_nothing(backend: cl.Backend) -> None:
    volume = _replicated(backend)
    with pytest.raises(errors.InvalidState, match="has no license"):
        backend.failover("third")
    assert backend.replication.status == "enabled"
    volume.refresh()
    assert (volume.status, volume.replication_status) == ("available", "enabled")


@pytest.mark.parametrize("wrong", ["fourth", "", 5, ["second"]])
def test_unknown_target_is_refused(backend: cl.Backend, root: Path, wrong: Any) -> None:
    with pytest.raises(errors.InvalidInput):
        backend.failover(wrong)
    assert backend.replication.status == "enabled"
    assert _calls(root) == []


def test_failed_failover_can_be_repeated_or_taken_back(backend: cl.Backend, root: Path) -> None:
    volume = _replicated(backend)
    fails = root / ".fails"
    fails.touch()
    for _ in range(2):
        with pytest.raises(errors.DriverError, match="the link is down"):
            backend.failover()
        assert backend.replication.status == "failover-error"
    volume.disconnect(volume.connect(connector("a")))
    fails.unlink()
    assert backend.failover().status == "failed-over"
    fails.touch()
    with pytest.raises(errors.DriverError):
        backend.failback()
    state = backend.replication
    assert (state.status, state.active_backend_id) == ("failover-error", "second")
    fails.unlink()
    assert backend.failback() == cl.Replication("enabled", None, False, state.targets, True)


@pytest.mark.library
@pytest.mark.parametrize("through", ["db"])
@pytest.mark.parametrize("isolation", ["none", "process"])
def test_a_new_process_fails_over_a_backend_whose_storage_is_lost(
    backend: cl.Backend,
    root: Path,
    another: cl.Controller,
    isolation: str,
) -> None:
    volume, alone = _replicated(backend), backend.create_volume(1)
    options = {**_options(root), "isolation": isolation}
    (root / ".lost").touch()
    with pytest.raises(errors.DriverError, match=r"does not answer.*failover"):
        another.backend("array", **options)
    with pytest.raises(errors.InvalidInput, match="no replication device 'fourth'"):
        another.failover("array", "fourth", **options)
    (root / ".fails").touch()
    with pytest.raises(errors.DriverError, match="the link is down"):
        another.failover("array", **options)
    assert backend.replication.status == "failover-error"
    (root / ".fails").unlink()
    state = another.failover("array", "second", **options)
    assert state == cl.Replication("failed-over", "second", False, ("second", "third"), True)
    another.backend("array", **options)
    found = next(another.volumes(name=volume.name))
    assert (found.status, found.replication_status) == ("available", "failed-over")
    assert found.provider_location == "second"
    alone.refresh()
    assert alone.status == "error"
    found.disconnect(found.connect(connector("a")))
    assert not another.failover("array", "second", **options).changed
    (root / ".lost").unlink()
    assert another.failover("array", "default", **options).changed


def test_a_loaded_backend_fails_over_by_its_name(
    controller: cl.Controller, backend: cl.Backend, root: Path
) -> None:
    options = {} if isinstance(controller, RemoteController) else _options(root)
    assert controller.failover("array", **options).active_backend_id == "second"
    assert backend.replication.active_backend_id == "second"
    with pytest.raises(errors.CinderlibError, match=r"other options|options .* of the service"):
        controller.failover("array", **_options(root), reserved_percentage=5)
    assert controller.failover("array", "default", **options).active_backend_id is None


def test_wrong_options_are_not_a_lost_storage(library: cl.Controller, root: Path) -> None:
    plain = {"volume_driver": "file", "file_root": str(root)}
    with pytest.raises(errors.Unsupported, match="no replication"):
        library.failover("plain", **plain)
    with pytest.raises(errors.ConfigurationError):
        library.failover("array", **_options(root), unknown_option=1)
    assert not library.backends


def test_backends_that_cannot_fail_over_say_why(load_backend: LoadBackend, root: Path) -> None:
    without = load_backend("plain", volume_driver="file", file_root=str(root / "plain"))
    unable = load_backend("unable", **_options(root / "unable", "Unable"))
    for backend, why in ((without, "implement failover_host"), (unable, "implement failover_host")):
        for refused in (backend.failover, backend.failback, backend.freeze, backend.thaw):
            with pytest.raises(errors.Unsupported, match=why):
                refused()
        assert not backend.capabilities()["backend.failover"].is_possible
    assert "frozen" not in without.stats()
    with pytest.raises(errors.Unsupported, match="no replication_device"):
        _replicated(without)


def test_frozen_backend_refuses_changes(backend: cl.Backend, root: Path) -> None:
    volume = backend.create_volume(1, name="data")
    alone = backend.create_volume(1, name="alone")
    snapshot = volume.create_snapshot("monday")
    assert backend.freeze() == cl.Replication("enabled", None, True, ("second", "third"), True)
    assert backend.stats()["frozen"] is True
    before = files(root)
    for refused in (
        alone.delete,
        volume.create_snapshot,
        volume.clone,
        alone.unmanage,
        lambda: volume.extend(2),
        lambda: volume.revert_to_snapshot(snapshot),
        lambda: volume.retype(extra_specs={"provisioning:type": "thick"}),
        snapshot.delete,
        snapshot.create_volume,
        lambda: backend.create_volume(1),
        lambda: backend.create_group("pair", [volume]),
    ):
        with pytest.raises(errors.InvalidState, match=r"is frozen, so .* Thaw it first"):
            refused()
    assert files(root) == before
    assert (volume.status, snapshot.status) == ("available", "available")
    volume.name = "renamed"
    volume.save()
    volume.disconnect(volume.connect(connector("a")))
    backend.failover()
    assert backend.replication.frozen
    backend.failback()
    assert not backend.thaw().frozen
    assert "frozen" in backend.stats()
    snapshot.delete()
    volume.delete()
    assert _calls(root) == ["freeze", "failover None 0", "failover default 0", "thaw"]


def test_backend_whose_driver_cannot_thaw_stays_frozen(backend: cl.Backend, root: Path) -> None:
    (root / ".fails").touch()
    assert backend.freeze().frozen
    with pytest.raises(errors.DriverError, match="the link is down"):
        backend.thaw()
    assert backend.replication.frozen
    (root / ".fails").unlink()
    assert not backend.thaw().frozen


def test_connected_volume_is_lost_and_found(backend: cl.Backend) -> None:
    lost = backend.create_volume(1)
    connection = lost.connect(connector("a"))
    backend.failover()
    lost.refresh()
    assert (lost.status, lost.attach_status) == ("error", "attached")
    backend.failback()
    lost.refresh()
    assert (lost.status, lost.attach_status) == ("in-use", "attached")
    connection.disconnect()
    lost.refresh()
    assert lost.status == "available"


def test_connection_to_the_storage_before_a_failover_is_not_used_again(backend: cl.Backend) -> None:
    volume = _replicated(backend)
    connection = volume.connect(connector("a"))
    for move in (backend.failover, backend.failback):
        move()
        volume.refresh()
        with pytest.raises(errors.InvalidVolume, match="before a failover or failback"):
            volume.connect(connector("a"))
        assert [each.id for each in volume.connections] == [connection.id]
        connection.disconnect()
        connection = volume.connect(connector("a"))
    backend.failover()
    backend.failback()
    volume.refresh()
    assert volume.connect(connector("a")).id == connection.id


def test_reconcile_knows_the_failover(backend: cl.Backend, root: Path) -> None:
    kept, lost = _replicated(backend), backend.create_volume(1, name="lost")
    connection = kept.connect(connector("a"))
    assert backend.reconcile() == []
    backend.failover()
    left, failed = sorted(backend.reconcile(repair=True), key=lambda each: each.kind)
    assert (left.problem, left.resource_id, left.outcome) == ("left-behind", connection.id, "found")
    assert "a uses the storage that the volume had before a failover" in left.detail
    assert (failed.problem, failed.resource_id, failed.outcome) == ("failed", lost.id, "found")
    # Deleting the record would lose the data on the storage before the failover.
    assert "cinderlib backend failback array" in failed.detail
    assert "delete" not in failed.detail
    connection.disconnect()
    kept.connect(connector("a"))
    assert [each.resource_id for each in backend.reconcile()] == [lost.id]
    kept.connections[0].disconnect()
    backend.failback()
    assert backend.reconcile() == []
    (root / ".fails").touch()
    with pytest.raises(errors.DriverError):
        backend.failover()
    (of_backend,) = [each for each in backend.reconcile() if each.kind == "backend"]
    assert (of_backend.problem, of_backend.name) == ("failed", "array")
    assert "repeat `cinderlib backend failover array`" in of_backend.detail


def test_reconcile_keeps_records_of_what_has_no_replica(backend: cl.Backend, root: Path) -> None:
    kept = _replicated(backend)
    snapshot = kept.create_snapshot()
    name = f"snapshot-{snapshot.id}"
    backend.failover()
    (root / name).rename(root / "on-the-first-storage")
    (missing,) = backend.reconcile()
    assert (missing.problem, missing.resource_id, missing.remedy) == ("missing", snapshot.id, "")
    assert "`cinderlib backend failback array`" in missing.detail
    with pytest.raises(errors.InvalidInput):
        backend.reconcile(remove=[snapshot.id])
    (root / "on-the-first-storage").rename(root / name)
    backend.failback()
    assert backend.reconcile() == []
    (root / name).unlink()
    assert [each.remedy for each in backend.reconcile()] == ["remove"]


@pytest.mark.library
def test_driver_is_loaded_for_the_active_storage(
    library: cl.Controller, root: Path, tmp_path: Path, through: str
) -> None:
    if through == "memory":
        pytest.skip("another process does not see the store")
    options = _options(root)
    backend = library.backend("array", **options)
    volume = _replicated(backend)
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    backend.failover()
    from api.replicated_array import ReplicatedArray  # imports Cinder

    ReplicatedArray.loaded_for.clear()
    with cl.Controller(store, state_path=tmp_path / "state") as other:
        same = other.backend("array", **options)
        assert ReplicatedArray.loaded_for == ["second"]
        same.failback()
    assert backend.driver_info.active_backend_id == "second"
    volume.create_snapshot().delete()
    assert backend.driver_info.active_backend_id is None
    assert ReplicatedArray.loaded_for == ["second", None]


@pytest.mark.library
def test_operations_wait_for_a_failover(library: cl.Controller, root: Path) -> None:
    backend = library.backend("array", **_options(root))
    volume = _replicated(backend)
    state = replication.find(library.store, "array")
    library.store.apply(in_key_values.put(replace(state, status="failing-over")))
    with pytest.raises(errors.Busy, match="fails over now"):
        volume.create_snapshot()
    current = in_key_values.find(library.store, ReplicationRecord, "array")
    assert current is not None
    library.store.apply(in_key_values.put(replace(current, status="enabled")))
    assert volume.create_snapshot().status == "available"


@pytest.mark.library
def test_isolated_driver_keeps_the_active_storage(library: cl.Controller, root: Path) -> None:
    backend = library.backend("array", **_options(root), isolation="process")
    volume = _replicated(backend)
    backend.failover()
    backend._driver._driver._host.end()
    volume.create_snapshot()
    assert backend.driver_info.active_backend_id == "second"
    assert not backend.failover().changed
    assert backend.failback().changed
    volume.refresh()
    assert volume.replication_status == "enabled"


@pytest.mark.library
def test_new_volumes_are_not_placed_on_unusable_backends(
    library: cl.Controller, root: Path
) -> None:
    first = library.backend("first", **_options(root / "first"))
    first.freeze()
    with pytest.raises(errors.NoBackendFits, match="first: it is frozen"):
        library.create_volume(1)
    first.thaw()
    first.failover()
    with pytest.raises(errors.NoBackendFits, match="its replication is 'failed-over'"):
        library.create_volume(1)
    library.backend("second", volume_driver="file", file_root=str(root / "second"))
    assert library.create_volume(1).backend.id == "second"


@pytest.mark.library
def test_volume_in_an_operation_keeps_its_status(library: cl.Controller, root: Path) -> None:
    """Its operation or recovery settles it."""
    backend = library.backend("array", **_options(root))
    lost, kept, new = backend.create_volume(1), _replicated(backend), _replicated(backend, "new")
    for volume, status in ((lost, "extending"), (kept, "extending"), (new, "creating")):
        record = library.store.get(VolumeRecord, volume.id)
        assert record is not None
        library.store.apply(Put(replace(record, status=status)))
    backend.failover()
    assert _calls(root) == ["failover None 1"]
    for volume in (lost, kept, new):
        volume.refresh()
    assert (lost.status, lost.replication_extended_status) == ("extending", "no-replica")
    assert (kept.status, kept.replication_status) == ("extending", "failed-over")
    assert (new.status, new.replication_extended_status) == ("creating", "no-replica")
    backend.failback()
    lost.refresh()
    assert (lost.status, lost.replication_extended_status) == ("extending", None)


def test_volume_gets_a_replica_by_retype(
    load_backend: LoadBackend, backend: cl.Backend, root: Path
) -> None:
    volume = backend.create_volume(1)
    volume.retype(extra_specs=REPLICATED)
    assert volume.replication_status == "enabled"
    volume.retype(extra_specs={"replication_enabled": "<is> False"})
    assert volume.replication_status == "disabled"
    plain = load_backend("plain", volume_driver="file", file_root=str(root / "plain"))
    other = plain.create_volume(1)
    with pytest.raises(errors.Unsupported, match=r"was not retyped: .* no replication_device"):
        other.retype(extra_specs=REPLICATED)
    other.refresh()
    assert (other.status, other.extra_specs) == ("available", {})


@pytest.mark.library
def test_mapped_snapshot_does_not_fail_over(library: cl.Controller, root: Path) -> None:
    """The storage has no volume for the record of a snapshot that is mapped without a copy."""
    backend = library.backend("array", **_options(root))
    record = library.store.get(VolumeRecord, _replicated(backend).id)
    assert record is not None
    (mapped,) = library.store.apply(Put(replace(record, snapshot_access="native")))
    backend.failover()
    assert _calls(root) == ["failover None 0"]
    assert library.store.get(VolumeRecord, record.id) == mapped


@pytest.mark.library
def test_recovery_begins_with_the_failover(library: cl.Controller, root: Path) -> None:
    """Operations on volumes need the storage that the backend uses after it."""
    backend = library.backend("array", **_options(root))
    record = library.store.get(VolumeRecord, backend.create_volume(1).id)
    assert record is not None
    state = replication.find(library.store, "array")
    library.store.apply(Put(new_intent("volume.create", record, f"volume:{record.id}")))
    library.store.apply(
        Put(new_intent("backend.failover", state, lock_name("array"), data={"to": None}))
    )
    found = [(each.operation, each.outcome) for each in library.recover()]
    assert found == [("backend.failover", "finished"), ("volume.create", "undone")]
    assert backend.replication.active_backend_id == "second"


@pytest.mark.library
def test_history_has_failover_and_freeze(library: cl.Controller, root: Path) -> None:
    backend = library.backend("array", **_options(root))
    backend.failover("second")
    backend.freeze()
    backend.thaw()
    found = [(each.operation, each.outcome, each.arguments) for each in library.history()]
    assert found == [
        ("backend.failover", "done", {"to": "second"}),
        ("backend.freeze", "done", {}),
        ("backend.thaw", "done", {}),
    ]
