"""Drivers that refuse an operation or lack a method: records stay correct and volumes usable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api.conftest import LoadBackend, connector
from api.play import Played, reset

import cinderlib as cl
from cinderlib import errors
from cinderlib.persistence.base import Put
from cinderlib.records import ConnectionRecord, replace

Load = Callable[[str], cl.Backend]


@pytest.fixture
def play() -> Iterator[Played]:
    yield reset()
    reset()


@pytest.fixture
def load(load_backend: LoadBackend, play: Played) -> Load:
    def load(kind: str) -> cl.Backend:
        backend = load_backend("played", volume_driver=f"api.played_drivers.{kind}")
        play.calls.clear()
        return backend

    return load


def statuses(backend: cl.Backend) -> list[str]:
    found = [volume.status for volume in backend.volumes]
    return found + [each.status for volume in backend.volumes for each in volume.snapshots]


# --- delete --------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", ["VolumeIsBusy", "VolumeAttached", "NotImplementedError"])
def test_a_volume_that_the_driver_does_not_delete_is_unchanged(
    load: Load, play: Played, busy: str
) -> None:
    backend = load("StubDriver")
    from cinder import exception

    volume, lone = backend.create_volume(1, name="data"), backend.create_volume(1)
    clone = volume.clone(name="copy")
    play.fails["delete_volume"] = {
        "VolumeIsBusy": exception.VolumeIsBusy("192.0.2.7 has it open"),
        "VolumeAttached": exception.VolumeAttached(volume_id="192.0.2.7 has it open"),
        "NotImplementedError": NotImplementedError("192.0.2.7 has it open"),
    }[busy]
    for each, dependent in (volume, f"copy ({clone.id})"), (lone, ""):
        with pytest.raises((errors.InvalidVolume, errors.Unsupported)) as caught:
            each.delete()
        assert "192.0.2.7 has it open" in str(caught.value)
        assert caught.value.retryable == (busy != "NotImplementedError")
        assert dependent in "".join(getattr(caught.value, "__notes__", []))
        each.refresh()
        assert each.status == "available"
        each.create_snapshot().delete()
        each.extend(2)
        each.disconnect(each.connect(connector("alpha")))
    assert backend.controller.recover() == []
    play.fails.clear()
    clone.delete()
    volume.delete()
    lone.delete()
    assert play.storage == {}


def test_a_snapshot_that_the_driver_does_not_delete_is_unchanged(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    from cinder import exception

    snapshot = backend.create_volume(1).create_snapshot()
    restored = snapshot.create_volume(name="restored")
    play.fails["delete_snapshot"] = exception.SnapshotIsBusy(snapshot_name="monday")
    with pytest.raises(errors.InvalidSnapshot, match="monday") as caught:
        snapshot.delete()
    assert caught.value.retryable
    assert f"restored ({restored.id})" in caught.value.__notes__[0]
    snapshot.refresh()
    assert snapshot.status == "available"
    restored.delete()
    play.fails.clear()
    snapshot.delete()


def test_a_volume_keeps_the_status_of_a_failed_deletion(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    from cinder import exception

    volume = backend.create_volume(1)
    for failure, status in (
        (exception.VolumeBackendAPIException(data="broken"), "error_deleting"),
        (exception.VolumeIsBusy(volume_name="data"), "error_deleting"),
    ):
        play.fails["delete_volume"] = failure
        with pytest.raises(errors.CinderlibError):
            volume.delete()
        volume.refresh()
        assert volume.status == status


@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_file_in_use_is_not_deleted_and_stays_usable(backend: cl.Backend, root: Path) -> None:
    from cinderlib.node import loop

    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    file = str(root / volume.name_in_storage)
    device = loop.create(file, read_only=False)

    def refused(call: Callable[[], None]) -> None:
        with pytest.raises(errors.InvalidVolume, match=device) as caught:
            call()
        assert caught.value.retryable
        volume.refresh()
        assert volume.status == "available"

    try:
        refused(lambda: volume.revert_to_snapshot(snapshot))
        snapshot.delete()
        refused(volume.delete)
    finally:
        loop.remove(device, loop.Source.of(file))
    volume.delete()


# --- revert --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BareDriver", "StubDriver"])
def test_revert_with_a_driver_that_does_not_support_it(load: Load, play: Played, kind: str) -> None:
    backend = load(kind)
    volume = backend.create_volume(1)
    snapshot = volume.create_snapshot()
    with pytest.raises(errors.Unsupported) as caught:
        volume.revert_to_snapshot(snapshot)
    assert f"the driver {kind} does not implement revert_to_snapshot()" in str(caught.value)
    assert "create a volume from the snapshot" in caught.value.__notes__[0]
    assert not backend.capabilities()["volume.revert"].is_possible
    assert statuses(backend) == ["available", "available"]
    assert backend.controller.recover() == []
    volume.disconnect(volume.connect(connector("alpha")))


def test_revert_to_the_newest_snapshot_only(load: Load, play: Played) -> None:
    backend = load("RevertingDriver")
    volume = backend.create_volume(1)
    first, second, third = (volume.create_snapshot(name) for name in ("one", "two", "three"))
    for old, newer in ((first, (second, third)), (second, (third,))):
        with pytest.raises(errors.InvalidVolume) as caught:
            volume.revert_to_snapshot(old)
        assert all(f"{each.name} ({each.id})" in str(caught.value) for each in newer)
        assert old.name not in str(caught.value)
    assert "revert_to_snapshot" not in play.calls
    assert set(statuses(backend)) == {"available"}
    volume.revert_to_snapshot(third)
    third.delete()
    volume.revert_to_snapshot(second)
    assert play.calls.count("revert_to_snapshot") == 2


def test_revert_to_any_snapshot_if_newer_snapshots_are_kept(
    backend: cl.Backend, root: Path
) -> None:
    volume = backend.create_volume(1)
    first, second = volume.create_snapshot(), volume.create_snapshot()
    volume.revert_to_snapshot(first)
    volume.revert_to_snapshot(second)
    assert len(list(root.glob("snapshot-*"))) == 2


# --- reconcile -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BareDriver", "StubDriver", "PartialDriver", "AskableDriver"])
def test_existing_volumes_are_never_reported_missing(load: Load, play: Played, kind: str) -> None:
    backend = load(kind)
    volume = backend.create_volume(1, name="precious")
    snapshot = volume.create_snapshot("monday")
    copies = volume.clone(name="copy"), snapshot.create_volume(name="restored")
    copies[0].connect(connector("alpha"))
    found = backend.reconcile(repair=True)
    assert {each.problem for each in found} == {"unverified"}
    assert {each.remedy for each in found} == {""}
    volumes = [each.detail for each in found if each.kind == "volume"]
    if kind == "AskableDriver":
        assert volumes == []
    elif kind == "PartialDriver":
        assert "precious" not in volumes[0]
        assert "these 1 volumes: copy" in volumes[0]
    else:
        assert "these 3 volumes: precious, copy, restored" in volumes[0]
    ids = [volume.id, snapshot.id, *(copy.id for copy in copies)]
    for id in ids:
        with pytest.raises(errors.InvalidInput):
            backend.reconcile(remove=[id])
    assert len(backend.volumes) == 3


def test_a_volume_is_not_reported_missing_without_evidence(load: Load, play: Played) -> None:
    backend = load("AskableDriver")
    volume = backend.create_volume(1, name="gone")
    play.storage.clear()
    (found,) = backend.reconcile()
    assert (found.problem, found.kind) == ("unverified", "volume")
    assert "gone" in found.detail
    volume.delete()
    assert backend.reconcile() == []


def test_a_volume_that_the_listing_omits_is_searched_by_name(
    load: Load, play: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RBD does not list images that it temporarily cannot open."""
    backend = load("AskableDriver")
    from api.played_drivers import AskableDriver

    monkeypatch.setattr(AskableDriver, "complete_listings", {"volume"}, raising=False)
    there, gone = backend.create_volume(1), backend.create_volume(1)
    del play.storage[gone.name_in_storage]
    (found,) = backend.reconcile()
    assert (found.problem, found.resource_id) == ("missing", gone.id)
    (found,) = backend.reconcile(remove=[gone.id])
    assert found.outcome == "removed"
    assert [volume.id for volume in backend.volumes] == [there.id]


# --- connect -------------------------------------------------------------------------------------


#: What a program gets. An interrupted thread of a service is an internal error for its client.
UNDONE = (errors.CinderlibError, KeyboardInterrupt)


def failures() -> dict[str, BaseException]:
    from cinder import exception

    return {
        "refused": exception.VolumeBackendAPIException(data="no such initiator"),
        "timed out": TimeoutError("the array does not answer"),
        "interrupted": KeyboardInterrupt(),
    }


@pytest.mark.parametrize("failure", ["refused", "timed out", "interrupted"])
@pytest.mark.parametrize("done", ["before", "after"])
@pytest.mark.parametrize("step", ["create_export", "initialize_connection"])
def test_failed_connect_is_undone(
    load: Load, play: Played, step: str, done: str, failure: str
) -> None:
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    play.calls.clear()
    (play.fails if done == "before" else play.fails_after)[step] = failures()[failure]
    with pytest.raises(UNDONE):
        volume.connect(connector("alpha"))
    undone = [call for call in play.calls if call in ("terminate_connection", "remove_export")]
    if (step, failure) == ("create_export", "refused"):  # like Cinder
        assert undone == []
    else:
        assert undone[-1] == "remove_export"
        assert (play.exported, play.mapped) == (set(), set())
    volume.refresh()
    assert (volume.status, volume.connections) == ("available", [])
    play.fails.clear()
    play.fails_after.clear()
    volume.disconnect(volume.connect(connector("alpha")))
    assert (play.mapped, play.exported) == (set(), set())
    assert backend.controller.recover() == []
    volume.delete()


@pytest.mark.parametrize("way", ["again", "another host", "delete", "recover", "reconcile"])
@pytest.mark.parametrize("failure", ["refused", "timed out"])
def test_a_failed_undo_does_not_block_the_volume(
    load: Load, play: Played, failure: str, way: str
) -> None:
    """LIO, for example, fails to unmap a volume that was not mapped."""
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    play.fails["initialize_connection"] = failures()[failure]
    play.fails["remove_export"] = RuntimeError("the target is in use")
    with pytest.raises(errors.DriverError) as caught:
        volume.connect(connector("alpha"))
    assert "Undoing it failed too" in caught.value.__notes__[0]
    volume.refresh()
    assert (volume.status, volume.connections) == ("available", [])
    assert {each.problem for each in backend.reconcile()} >= {"unmapped"}
    play.fails.clear()
    if way == "again":
        volume.disconnect(volume.connect(connector("alpha")))
    elif way == "another host":
        volume.disconnect(volume.connect(connector("beta")))
    elif way == "recover":
        assert [done.resource_id for done in backend.controller.recover()] == [volume.id]
    elif way == "reconcile":
        backend.reconcile(repair=True)
    assert play.mapped == set()
    if way == "again" or (failure == "refused" and way != "delete"):
        assert play.exported == set()
        assert "unmapped" not in {each.problem for each in backend.reconcile()}
    volume.delete()
    assert backend.controller.recover() == []


def failed_connection(library: cl.Controller, volume: cl.Volume) -> cl.Connection:
    """A connection of a volume whose connect failed after the host was mapped."""
    connection = volume.connect(connector("alpha"))
    record = library.store.get(ConnectionRecord, connection.id)
    assert record is not None
    library.store.apply(
        Put(replace(record, status="error_attaching", conn_info=None, attached_at=None))
    )
    return connection


@pytest.mark.parametrize("way", ["again", "disconnect", "reconcile"])
def test_an_incomplete_connection_of_an_older_version(
    load: Load, library: cl.Controller, play: Played, way: str
) -> None:
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    failed_connection(library, volume)
    play.mapped.clear()
    if way == "again":
        volume.disconnect(volume.connect(connector("alpha")))
    elif way == "disconnect":
        volume.connections[0].disconnect()
    else:
        backend.reconcile(repair=True)
    assert volume.connections == []
    assert play.exported == set()
    volume.delete()


def test_a_repair_that_leaves_a_mapping_has_failed(
    load: Load, library: cl.Controller, play: Played
) -> None:
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    connection = failed_connection(library, volume)
    play.fails["terminate_connection"] = RuntimeError("the array does not answer")
    done = {each.resource_id: each for each in backend.reconcile(repair=True)}
    assert done[connection.id].outcome == "failed"
    assert "the array does not answer" in done[connection.id].reason
    assert volume.connections == []
    assert "unmapped" in {each.problem for each in backend.reconcile()}
    play.fails.clear()
    (again,) = (each for each in backend.reconcile(repair=True) if each.remedy == "repair")
    assert (again.problem, again.outcome) == ("unmapped", "repaired")
    assert play.mapped == set()
    assert "unmapped" not in {each.problem for each in backend.reconcile()}


def test_a_failed_reconnect_keeps_the_connection(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    connection = volume.connect(connector("alpha"))
    play.fails["terminate_connection"] = RuntimeError("no")
    with pytest.raises(errors.DriverError):
        connection.disconnect()
    play.fails["initialize_connection"] = RuntimeError("no")
    with pytest.raises(errors.DriverError):
        volume.connect(connector("alpha"))
    (left,) = volume.connections
    assert (left.id, left.status) == (connection.id, "error_detaching")
    assert len(play.mapped) == len(play.exported) == 1
    play.fails.clear()
    left.disconnect()
    assert (play.exported, play.mapped) == (set(), set())


def test_a_failed_connect_of_a_second_host_keeps_the_first(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    volume = backend.create_volume(1, multiattach=True)
    volume.connect(connector("alpha"))
    for failure in failures().values():
        play.fails["initialize_connection"] = failure
        with pytest.raises(UNDONE):
            volume.connect(connector("beta"))
        assert (len(play.exported), len(play.mapped)) == (1, 1)
        assert [each.attached_host for each in volume.connections] == [None]
    assert "remove_export" not in play.calls


# --- extend --------------------------------------------------------------------------------------


def test_an_extend_that_does_not_update_the_target_succeeds(
    load: Load, play: Played, caplog: pytest.LogCaptureFixture
) -> None:
    backend = load("StubDriver")
    from cinder import exception

    volume = backend.create_volume(1)
    play.fails_after["extend_volume"] = exception.TargetUpdateFailed(volume_id=volume.id)
    volume.extend(2)
    assert "connect it again" in caplog.text
    volume.refresh()
    assert (volume.status, volume.size) == ("available", 2)
    assert play.storage == {volume.name_in_storage: 2}


@pytest.mark.parametrize("able", [True, False, None])
def test_connected_volume_is_extended_if_its_pool_can(
    load: Load, play: Played, able: bool | None
) -> None:
    if able is not None:
        play.pool["online_extend_support"] = able
    backend = load("StubDriver")
    volume = backend.create_volume(1)
    connection = volume.connect(connector("alpha"))
    play.calls.clear()
    if able is False:
        with pytest.raises(errors.InvalidVolume, match="alpha"):
            volume.extend(2)
        assert "extend_volume" not in play.calls
        volume.refresh()
        assert (volume.status, volume.size) == ("in-use", 1)
        connection.disconnect()
    volume.extend(2)
    assert volume.size == 2


def test_a_refused_extend_does_not_change_the_volume(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    from cinder import exception

    volume = backend.create_volume(1)
    play.fails["extend_volume"] = exception.VolumeIsBusy(volume_name="x")
    with pytest.raises(errors.InvalidVolume):
        volume.extend(2)
    volume.refresh()
    assert (volume.status, volume.size, volume.previous_status) == ("available", 1, None)


# --- impossible sizes ----------------------------------------------------------------------------


@pytest.mark.parametrize("pool", [{}, {"thin_provisioning_support": True}])
def test_a_size_larger_than_all_pools_leaves_no_record(
    load: Load, play: Played, pool: dict[str, bool]
) -> None:
    play.pool.update(pool, max_over_subscription_ratio="20.0")
    backend = load("StubDriver")
    limit = 2000 if pool else 100
    volume = backend.create_volume(limit)
    snapshot = volume.create_snapshot()
    play.calls.clear()
    for ask in (
        lambda: backend.create_volume(limit + 1),
        lambda: volume.clone(size=9999999),
        lambda: snapshot.create_volume(size=9999999),
        lambda: volume.extend(9999999),
    ):
        for _ in range(2):
            with pytest.raises(errors.OutOfRange, match=f"{limit} GiB") as caught:
                ask()
            assert not caught.value.retryable
    assert [each.status for each in backend.volumes] == ["available"]
    assert set(play.calls) == {"get_volume_stats"}
    play.pool["total_capacity_gb"] = 10**9
    volume.extend(9999999)


@pytest.mark.parametrize("capacity", [0, "infinite", "unknown", float("inf"), None])
def test_a_pool_without_a_reported_capacity_has_no_limit(
    load: Load, play: Played, capacity: object
) -> None:
    play.pool["total_capacity_gb"] = capacity
    load("StubDriver").create_volume(9999999)


def test_a_create_that_can_never_succeed_leaves_no_record(load: Load, play: Played) -> None:
    import errno

    backend = load("StubDriver")
    play.fails_after["create_volume"] = OSError(errno.ENOSPC, "No space left on device")
    for _ in range(3):
        with pytest.raises(errors.DriverError, match="No space left") as caught:
            backend.create_volume(1)
        assert not caught.value.retryable
    assert (backend.volumes, play.storage) == ([], {})
    play.fails["delete_volume"] = RuntimeError("no")
    with pytest.raises(errors.DriverError) as caught:
        backend.create_volume(1)
    (left,) = backend.volumes
    assert left.status == "error"
    assert f"cinderlib volume delete {left.id}" in caught.value.__notes__[-1]


def test_a_create_that_can_succeed_later_reports_the_remaining_record(
    load: Load, play: Played
) -> None:
    backend = load("StubDriver")
    play.fails["create_volume"] = RuntimeError("out of order")
    with pytest.raises(errors.DriverError, match="out of order") as caught:
        backend.create_volume(1)
    assert caught.value.retryable
    (left,) = backend.volumes
    assert f"cinderlib volume delete {left.id}" in caught.value.__notes__[-1]
    play.fails.clear()
    assert backend.create_volume(1, id=left.id).status == "available"


def test_file_larger_than_its_filesystem_can_hold(backend: cl.Backend, root: Path) -> None:
    for _ in range(2):
        with pytest.raises(errors.OutOfRange, match="fits into pool"):
            backend.create_volume(9999999)
    assert (backend.volumes, list(root.glob("volume-*"))) == ([], [])


# --- unreachable storage -------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["socket", "urllib3", "requests", "text"])
def test_refused_connection_is_not_a_timeout(load: Load, play: Played, package: str) -> None:
    import socket

    import requests
    import urllib3

    backend = load("StubDriver")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    try:
        if package == "urllib3":
            urllib3.PoolManager(retries=False).request("GET", url)
        elif package == "requests":
            requests.get(url, timeout=5)
        else:
            socket.create_connection(("127.0.0.1", port))
    except Exception as exc:
        failure = exc
    if package == "text":  # some drivers keep only the message
        failure = RuntimeError(f"Bad answer: {failure}")
    play.fails["create_volume"] = failure
    with pytest.raises(errors.DriverError, match="Connection refused") as caught:
        backend.create_volume(1)
    assert type(caught.value) is errors.DriverError
    assert caught.value.retryable


def test_the_cause_that_a_driver_hides_is_reported(load: Load, play: Played) -> None:
    backend = load("StubDriver")
    failure = RuntimeError("The login failed")
    failure.__cause__ = ConnectionRefusedError(111, "Connection refused")
    play.fails["create_volume"] = failure
    with pytest.raises(errors.DriverError, match=r"login failed .*Connection refused"):
        backend.create_volume(1)
