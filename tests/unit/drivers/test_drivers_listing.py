"""Listings of drivers and the owners of entries, in all formats of Cinder's drivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.drivers.port_values import InStorage
from cinderlib.records import SnapshotRecord, VolumeRecord

ONE, TWO, SNAPSHOT = (f"aaaaaaaa-0000-4000-8000-00000000000{n}" for n in range(3))


def volume(id: str, **fields: Any) -> VolumeRecord:
    return VolumeRecord(id=id, backend="array", size=1, host="controller@array#pool", **fields)


def entry(name: str, key: str = "source-name", **more: Any) -> dict[str, Any]:
    return {"reference": {key: name}, "size": 3, "cinder_id": None, "extra_info": None, **more}


def lists(port: Any, volumes: list[Any], snapshots: list[Any] | None = None) -> None:
    def answer(found: list[Any] | None) -> Callable[..., Any]:
        def method(known: Any, **paging: Any) -> list[Any]:
            if found is None:
                raise NotImplementedError
            return found

        return method

    port._driver.complete_listings = frozenset({"volume", "snapshot"})
    port._driver.get_manageable_volumes = answer(volumes)
    port._driver.get_manageable_snapshots = answer(snapshots)


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        (entry(f"volume-{ONE}"), "volume"),
        (entry(f"host:/export/volume-{ONE}"), "volume"),  # NFS
        (entry(f"volume-{ONE}", key="name"), "volume"),
        ({**entry("00A1"), "reference": {"source-id": "00A1", "source-name": f"volume-{ONE}"}},
         "volume"),
        (entry(f"snapshot-{ONE}"), "snapshot"),
        (entry(f"_snapshot-{ONE}"), "snapshot"),  # thin snapshots of LVM
    ],
)  # fmt: skip
def test_names_that_contain_the_id_identify_the_resource(
    load: Callable[..., Any], listed: dict[str, Any], kind: str
) -> None:
    port = load()
    lists(port, [listed])
    (found,) = port.listing([], []).found
    assert (found.kind, found.id, found.size) == (kind, ONE, 3)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "volume-",
        f"volume-{ONE}.deleted",
        f"volume-{ONE}-cinder",
        f"my-volume-{ONE}",
        f"volume-{ONE.upper()}",
        "volume-data",
        ONE,
        f"_volume-{ONE}",
        f"volume-{ONE}\n",
    ],
)
def test_other_names_identify_no_resource(load: Callable[..., Any], name: str) -> None:
    port = load()
    lists(port, [entry(name), {"size": 1}, {"reference": None}, {"reference": name}])
    assert port.listing([], []).found == ()


def test_resources_are_identified_by_the_driver_or_by_name(load: Callable[..., Any]) -> None:
    port = load()
    migrated = volume(TWO, name_id="bbbbbbbb-0000-4000-8000-000000000001")
    lists(port, [entry("lun 7", cinder_id=ONE), entry(f"volume-{migrated.name_id}")])
    found = port.listing([volume(ONE), migrated], []).found
    assert [(item.kind, item.id) for item in found] == [("volume", ONE), ("volume", TWO)]
    assert port.exists(volume(ONE))
    assert not port.exists(volume("cccccccc-0000-4000-8000-000000000001"))


def test_a_snapshot_identifies_its_volume(load: Callable[..., Any]) -> None:
    port = load()
    source = {"source_reference": {"source-name": f"volume-{ONE}"}}
    lists(port, [entry(f"volume-{ONE}")], [entry(f"snapshot-{SNAPSHOT}", **source)])
    listed = port.listing([volume(ONE)], [])
    assert listed.kinds == {"volume", "snapshot"}
    assert listed.found[1] == InStorage("snapshot", SNAPSHOT, f"snapshot-{SNAPSHOT}", 3, ONE)


def test_resources_that_cannot_be_listed_are_unknown(load: Callable[..., Any]) -> None:
    port = load()
    record = SnapshotRecord(id=SNAPSHOT, backend="array", volume_id=ONE, volume_size=1)
    assert port.listing([], []).kinds == set()
    assert port.exists(volume(ONE)) is None
    lists(port, [])
    assert port.listing([], []).kinds == {"volume"}
    assert port.exists(volume(ONE)) is False
    assert port.snapshot_exists(record, volume(ONE)) is None
    del port._driver.complete_listings
    assert port.listing([], []).kinds == set()
    assert port.exists(volume(ONE)) is None
    assert port.leftovers() == []


@pytest.mark.parametrize("rubbish", [7, [None], [7], ["volume"]])
def test_an_invalid_listing_is_an_error_of_the_driver(
    load: Callable[..., Any], rubbish: Any
) -> None:
    port = load()
    lists(port, rubbish)
    with pytest.raises(errors.DriverError, match="list the resources on its storage"):
        port.listing([], [])
