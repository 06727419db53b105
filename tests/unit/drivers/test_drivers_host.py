"""Calls of a driver: arguments, results and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.persistence.base import Put
from cinderlib.persistence.memory import MemoryStore
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord, new_id


@pytest.fixture
def volume(store: MemoryStore) -> VolumeRecord:
    record = VolumeRecord(id=new_id(), backend="array", size=3, host="controller@array#pool")
    return store.apply(Put(record))[0]  # type: ignore[return-value]


def connection(volume: VolumeRecord, **fields: Any) -> ConnectionRecord:
    return ConnectionRecord(
        **{"id": new_id(), "backend": "array", "volume_id": volume.id,
           "connector": {"initiator": "iqn.a", "host": "a"}, **fields}
    )  # fmt: skip


def raising(error: BaseException) -> Callable[..., Any]:
    def job(driver: Any, made: Any) -> None:
        raise error

    return job


def test_errors_of_drivers_become_errors_of_this_library(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    from cinder import exception

    port = load(asking_password="hunter2")
    for error, expected in (
        (ValueError("no space, said hunter2"), errors.DriverError),
        (NotImplementedError(), errors.Unsupported),
        (exception.VolumeIsBusy(volume_name="v"), errors.InvalidVolume),
        (exception.SnapshotIsBusy(snapshot_name="s"), errors.InvalidSnapshot),
        (exception.InvalidConnectorException(missing="wwpns"), errors.InvalidConnector),
        (errors.StoreError("the store is down"), errors.StoreError),
    ):
        port._driver.job = raising(error)
        with pytest.raises(expected) as caught:
            port.create_volume(volume)
        assert type(caught.value) is expected
        assert "hunter2" not in str(caught.value)
        if expected is not errors.StoreError:
            # The cause, which would show the password in a traceback, is left out.
            assert caught.value.__cause__ is (None if "hunter2" in str(error) else error)
            assert caught.value.resource == volume.id
            assert f"could not create volume {volume.id}" in str(caught.value)


def test_timeouts_are_distinguished_from_other_failures(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    import subprocess

    import requests
    from cinder import exception
    from cinder.volume.drivers.solidfire import SolidFireDataSyncTimeoutError
    from oslo_service import loopingcall

    def wrapped(driver: Any, made: Any) -> None:
        try:
            raise TimeoutError("timed out")
        except OSError as exc:
            raise exception.VolumeBackendAPIException(data="no luck") from exc

    port = load()
    for job in (
        raising(TimeoutError("timed out")),
        raising(requests.exceptions.ReadTimeout("read timed out")),
        raising(subprocess.TimeoutExpired("lvs", 5)),
        raising(loopingcall.LoopingCallTimeOut("no end")),
        raising(SolidFireDataSyncTimeoutError(name="v", size=1)),
        wrapped,
    ):
        port._driver.job = job
        with pytest.raises(errors.DriverTimeout) as caught:
            port.create_volume(volume)
        assert caught.value.retryable
        assert caught.value.code == "DEADLINE_EXCEEDED"
        assert caught.value.resource == volume.id
    port._driver.job = raising(exception.VolumeBackendAPIException(data="a full pool"))
    with pytest.raises(errors.DriverError) as other:
        port.create_volume(volume)
    assert type(other.value) is errors.DriverError


@pytest.mark.parametrize(
    "rubbish", [[], "x", 7, ["pool"], {"pools": {"name": 1}}, {"pools": [None]}, {"pools": "p"}]
)
def test_missing_stats_are_a_clear_error(load: Callable[..., Any], rubbish: Any) -> None:
    port = load()
    port._driver.get_volume_stats = lambda refresh: rubbish
    with pytest.raises(errors.DriverError, match="report its capacity: the driver returned"):
        port.stats(refresh=True)


def test_pools_without_names_have_the_name_of_the_backend(load: Callable[..., Any]) -> None:
    port = load()
    port._driver.get_volume_stats = lambda refresh: {
        "volume_backend_name": None,
        "pools": [{"pool_name": None}, {"pool_name": 7}],
    }
    assert [pool["pool_name"] for pool in port.stats()["pools"]] == ["array", "7"]
    port._driver.get_volume_stats = lambda refresh: None
    assert [pool["pool_name"] for pool in port.stats()["pools"]] == ["array"]


@pytest.mark.parametrize(
    "rubbish",
    [
        {"host": None},
        {"size": "large"},
        {"metadata": "none"},
        {"provider_location": "\ud800"},
        {7: "x"},
    ],
    ids=str,
)
def test_an_update_that_cannot_be_stored_is_the_drivers_error(
    load: Callable[..., Any], volume: VolumeRecord, store: MemoryStore, rubbish: Any
) -> None:
    port = load()
    port._driver.job = lambda driver, made: rubbish
    with pytest.raises(errors.DriverError):
        port.create_volume(volume)

    def writes(driver: Any, made: Any) -> None:
        driver.db.volume_update(driver._context, made.id, {"host": None})

    port._driver._context = None
    port._driver.job = writes
    with pytest.raises(errors.DriverError, match="not a valid volume"):
        port.create_volume(volume)
    assert store.get(VolumeRecord, volume.id) == volume


@pytest.mark.parametrize("rubbish", [None, "x", [], 7, object()], ids=lambda each: repr(each)[:9])
def test_an_empty_update_is_ignored(
    load: Callable[..., Any], volume: VolumeRecord, rubbish: Any
) -> None:
    port = load()
    port._driver.job = lambda driver, made: rubbish
    assert port.create_volume(volume) == volume


def test_an_interrupt_is_not_an_error_of_the_driver(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    port = load()
    port._driver.job = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        port.create_volume(volume)


def test_already_deleted_resources_can_be_deleted(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    from cinder import exception

    port = load()
    port._driver.job = raising(exception.VolumeNotFound(volume_id=volume.id))
    port.delete_volume(volume)
    snapshot = SnapshotRecord(id=new_id(), backend="array", volume_id=volume.id, volume_size=3)
    port.delete_snapshot(snapshot, volume)


def test_operations_that_a_driver_lacks_are_unsupported(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    port = load()
    with pytest.raises(errors.Unsupported):
        port.extend_volume(volume, 4)
    assert port.exists(volume) is None


def test_an_export_is_recorded_with_its_secret_protected(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    exported = load().create_export(volume, {"initiator": "iqn.a"})
    assert exported.provider_location == "iqn.a"
    assert exported.provider_auth == Secret("CHAP u p")
    assert "CHAP" not in repr(exported)


def test_a_connection_has_the_additions_of_cinders_manager(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    port = load(report_discard_supported=True, disk_geometry="512e")
    volume: Any = store.apply(
        Put(
            VolumeRecord(
                id=new_id(), backend="array", size=3, host="controller@array#pool",
                extra_specs={"cacheable": "<is> True"},
                qos_specs={"consumer": "both", "read_iops_sec_per_gb": "10",
                           "read_iops_sec_per_gb_min": "5", "read_iops_sec_max": "25", "x": "y"},
            )
        )
    )[0]  # fmt: skip
    old = connection(volume, status="attached", attached_host="b")
    new = connection(volume, attach_mode="ro", connector={"initiator": "i", "enforce_multipath": 1})
    store.apply(Put(old), Put(new))
    info = port.initialize_connection(volume, new)
    assert info == {
        "driver_volume_type": "iscsi",
        "data": {
            "target_lun": 1,
            "targets": ["a", "b"],
            "qos_specs": {"read_iops_sec": 25, "x": "y"},
            "access_mode": "ro",
            "encrypted": False,
            "cacheable": True,
            "discard": True,
            "physical_block_size": "4096",
            "logical_block_size": "512",
            "enforce_multipath": 1,
        },
    }
    # The new attachment does not count yet.
    assert set(port._driver.seen["attachments"]) == {(None, "attaching"), ("b", "attached")}
    assert port.terminate_connection(volume, new) is True


def test_capacity_of_the_backend_is_a_pool(load: Callable[..., Any]) -> None:
    stats = load(extra_capabilities='{"tier": "gold"}').stats(refresh=True)
    assert stats["pools"] == [
        {
            "pool_name": "array",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": 7.5,
            "tier": "gold",
        }
    ]
    assert stats["volume_backend_name"] == "array"


def test_stats_are_copies(load: Callable[..., Any]) -> None:
    port = load()
    port.stats()["pools"].clear()
    port.stats()["free_capacity_gb"] = 0
    assert port.stats()["pools"][0]["free_capacity_gb"] == 7.5


def test_names_on_the_storage_come_from_ids(load: Callable[..., Any], volume: VolumeRecord) -> None:
    port = load()
    assert port.name_in_storage(volume) == f"volume-{volume.id}"
    migrated = VolumeRecord(id=new_id(), backend="array", size=1, host="h", name_id=volume.id)
    assert port.name_in_storage(migrated) == f"volume-{volume.id}"
    snapshot = SnapshotRecord(id=new_id(), backend="array", volume_id=volume.id, volume_size=1)
    assert port.name_in_storage(snapshot) == f"snapshot-{snapshot.id}"


def test_other_attributes_come_from_the_driver(
    load: Callable[..., Any], volume: VolumeRecord
) -> None:
    port = load()
    assert port.attribute("VERSION") == "1.2.3"
    assert port.attribute("get_version")() == "1.2.3"
    port._driver.job = raising(NotImplementedError())
    with pytest.raises(errors.Unsupported):
        port.attribute("create_volume")(volume)
    for name in ("no_such_thing", "_driver", "__deepcopy__"):
        with pytest.raises(AttributeError):
            port.attribute(name)


def test_a_closed_driver_is_not_called(load: Callable[..., Any], volume: VolumeRecord) -> None:
    port = load()
    port.close()
    port.close()
    with pytest.raises(errors.InvalidState, match="closed"):
        port.create_volume(volume)


@pytest.mark.parametrize("bad", ["pool", "replication_status"])
def test_unexpected_updates_of_a_driver_are_harmless(
    load: Callable[..., Any], volume: VolumeRecord, bad: str
) -> None:
    port = load()
    port._driver.job = lambda driver, made: {bad: "x", "volume_metadata": [
        {"key": "k", "value": "v"}], "provider_location": "p"}  # fmt: skip
    returned = port.create_volume(volume)
    assert (returned.provider_location, returned.metadata) == ("p", {"k": "v"})


def test_cinders_lock_files_are_deleted_with_their_resource(
    load: Callable[..., Any], volume: VolumeRecord, store: MemoryStore
) -> None:
    import os

    from cinder import utils
    from oslo_config import cfg

    port = load()
    snapshot = SnapshotRecord(id=new_id(), backend="array", volume_id=volume.id, volume_size=3)
    store.apply(Put(snapshot))
    names = [f"{volume.id}-delete_volume", volume.id, f"{volume.id}-detach_volume"]
    for name in (*names, f"{snapshot.id}-delete_snapshot"):
        utils.synchronized(name, external=True)(lambda: None)()

    def left() -> list[str]:
        folder = cfg.CONF.oslo_concurrency.lock_path
        return [each for each in os.listdir(folder) if volume.id in each or snapshot.id in each]

    assert len(left()) == 4
    port.delete_snapshot(snapshot, volume)
    assert len(left()) == 3
    port.delete_volume(volume)
    assert left() == []


def test_all_lock_files_that_cinder_removes_are_known(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinder import utils

    from cinderlib.drivers import lockfiles

    removed: list[str] = []
    port = load()
    monkeypatch.setattr(utils, "synchronized_remove", lambda name: removed.append(f"cinder-{name}"))
    utils.clean_volume_file_locks("v", port._driver)
    assert sorted(removed) == sorted(name.format("v") for name in lockfiles.OF_VOLUME)
    removed.clear()
    utils.clean_snapshot_file_locks("s", port._driver)
    assert sorted(removed) == sorted(name.format("s") for name in lockfiles.OF_SNAPSHOT)


def test_a_driver_with_its_own_lock_files_is_notified(
    load: Callable[..., Any], volume: VolumeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, reported = type(load()._driver), []
    monkeypatch.setattr(
        kind, "clean_volume_file_locks",
        classmethod(lambda cls, volume_id: reported.append(volume_id)), raising=False,
    )  # fmt: skip
    load().delete_volume(volume)
    assert reported == [volume.id]
