"""Drivers' calls of Cinder's database, which the store answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.drivers import seam_check
from cinderlib.persistence.base import Put, Store
from cinderlib.persistence.memory import MemoryStore
from cinderlib.records import (
    ConnectionRecord,
    KeyValueRecord,
    Record,
    Secret,
    SnapshotRecord,
    VolumeRecord,
    new_id,
    replace,
)


def put(store: Store, record: Any) -> Any:
    return store.apply(Put(record))[0]


def volume(store: Store, backend: str = "array", **fields: Any) -> VolumeRecord:
    record = VolumeRecord(
        **{"id": new_id(), "backend": backend, "size": 2, "host": f"controller@{backend}#pool",
           **fields}
    )  # fmt: skip
    return put(store, record)


def test_drivers_can_read_and_write_the_database(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    import asking_driver

    port = load()
    given = volume(
        store,
        name="data",
        metadata={"a": "1"},
        extra_specs={"thin": "<is> True"},
        qos_specs={"maxIOPS": "100"},
    )
    snapshot = put(
        store, SnapshotRecord(id=new_id(), backend="array", volume_id=given.id, volume_size=2)
    )
    put(
        store,
        ConnectionRecord(
            id=new_id(), backend="array", volume_id=given.id, connector={"host": "a"},
            conn_info=Secret({"driver_volume_type": "iscsi", "data": {}}), status="attached",
        ),
    )  # fmt: skip
    port._driver.job = asking_driver.ask_everything
    returned = port.create_volume(given)

    seen = port._driver.seen
    name = f"volume-{given.id}"
    assert seen["row"]["display_name"] == "data"
    assert seen["row"]["name"] == name
    assert seen["type"] == seen["type specs"] == {"thin": "<is> True"}
    assert seen["qos"] == ("back-end", {"maxIOPS": "100"})
    assert seen["qos object"] == {"maxIOPS": "100"}
    assert seen["encrypted"] is False
    assert seen["snapshots"] == [f"snapshot-{snapshot.id}"]
    assert seen["attached to"] == ["a"]
    assert seen["latest"] == snapshot.id
    assert seen["group"] == (None, None, None, None)
    assert seen["glance"] == {}
    assert seen["names"] == (name, given.id, name, None)
    assert seen["all"] == [given.id]
    assert seen["snapshot exists"] is True
    assert seen["exists"] is False
    assert seen["volume of snapshot"] == "data"
    assert seen["image cache"] is None
    assert seen["initiator"] == (True, False, "1")
    assert seen["swapped"] is True
    assert seen["not swapped"] is False
    assert seen["locked"] is True
    assert seen["in a thread"] == "data"

    stored = store.get(VolumeRecord, given.id)
    assert stored is not None
    assert stored.metadata == {"a": "1", "array": "x"}
    assert stored.admin_metadata == {"lun": "7"}
    assert (stored.provider_id, stored.replication_driver_data) == ("written by save()", "here")
    assert (stored.previous_status, stored.migration_status) == ("creating", "done")
    assert stored.size == 2
    # The returned record combines the driver's own writes with the update that it returned.
    assert returned.version == stored.version
    assert returned.provider_id == "written by save()"
    assert returned.provider_geometry == "not saved"
    assert returned.provider_location == "from the update"
    assert returned.metadata["more"] == "1"
    assert store.apply(Put(returned))


def test_initiator_data_has_one_key_for_each_initiator(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    port = load()
    given = volume(store)
    for initiator in ("iqn.a", "iqn.b"):
        connection = ConnectionRecord(
            id=new_id(), backend="array", volume_id=given.id, connector={"initiator": initiator}
        )
        port.initialize_connection(given, connection)
    assert [each.key for each in store.find(KeyValueRecord)] == [
        "cinder/initiator/array/iqn.a",
        "cinder/initiator/array/iqn.b",
    ]


def test_two_drivers_with_two_stores_do_not_see_each_other(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    from cinder import context, exception, objects

    other_store = MemoryStore()
    one, two = load("one"), load("two", store=other_store)
    mine, other = volume(store, "one"), volume(other_store, "two")
    found: dict[str, Any] = {}

    def ask(driver: Any, made: Any) -> None:
        admin = context.get_admin_context()
        found["own"] = objects.Volume.get_by_id(admin, made.id).id
        found["all"] = [each.id for each in objects.VolumeList.get_all(admin)]
        with pytest.raises(exception.VolumeNotFound):
            objects.Volume.get_by_id(admin, mine.id if made.id == other.id else other.id)

    one._driver.job = two._driver.job = ask
    one.create_volume(mine)
    assert found == {"own": mine.id, "all": [mine.id]}
    two.create_volume(other)
    assert found == {"own": other.id, "all": [other.id]}


def test_concurrent_changes_of_a_record_are_both_kept(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    from cinder import context

    port = load()
    given = volume(store)

    def write(driver: Any, made: Any) -> None:
        now: Record | None = store.get(VolumeRecord, given.id)
        assert now is not None
        store.apply(Put(replace(now, name="renamed meanwhile")))
        driver.db.volume_update(context.get_admin_context(), given.id, {"provider_id": "p"})

    port._driver.job = write
    returned = port.create_volume(given)
    stored = store.get(VolumeRecord, given.id)
    assert stored is not None
    assert (stored.name, stored.provider_id) == ("renamed meanwhile", "p")
    assert (returned.version, returned.provider_id) == (stored.version, "p")


def test_a_missing_function_is_reported_by_name(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    port = load()
    port._driver.job = lambda driver, made: driver.db.frobnicate_all(None)
    with pytest.raises(errors.Unsupported, match="frobnicate_all"):
        port.create_volume(volume(store))


def test_temporary_volumes_of_a_driver_are_in_the_store(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    from cinder import context, objects

    port = load()
    given = volume(store)
    found: list[int] = []

    def copy(driver: Any, made: Any) -> None:
        temporary = objects.Volume(
            context=context.get_admin_context(), host=made.host, size=made.size,
            volume_type_id=made.volume_type_id, display_name="temporary",
        )  # fmt: skip
        temporary.create()
        found.append(store.count(VolumeRecord))
        temporary.destroy()
        found.append(store.count(VolumeRecord))

    port._driver.job = copy
    port.create_volume(given)
    assert found == [2, 1]


@pytest.mark.slow
def test_every_missing_function_has_a_reason() -> None:
    assert seam_check.missing() == {}


@pytest.mark.slow
def test_every_reason_is_for_a_function_that_cinder_uses() -> None:
    import fnmatch

    called = set(seam_check.called()) - seam_check.implemented()
    idle = [p for p in seam_check.NOT_IMPLEMENTED if not fnmatch.filter(called, p)]
    assert idle == []


def test_the_real_database_module_of_cinder_is_never_loaded(load: Callable[..., Any]) -> None:
    import sys

    load()
    assert sys.modules["cinder.db.api"].__doc__ == (
        "Cinder's database interface, implemented by cinderlib."
    )
    assert "cinder.db.models" not in sys.modules
