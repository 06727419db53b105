"""Volumes get other specs, by the driver or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from api.conftest import LoadBackend
from api.play import Played, reset

import cinderlib as cl
from cinderlib import errors

THICK = {"provisioning:type": "thick"}
GOLD, SILVER = {"tier": "gold"}, {"tier": "silver"}


@pytest.fixture
def play() -> Iterator[Played]:
    yield reset()
    reset()


@pytest.fixture
def retyping(load_backend: LoadBackend, library: cl.Controller, play: Played) -> cl.Backend:
    library.create_type("gold", extra_specs=GOLD, qos_specs={"total_iops_sec": "5"})
    library.create_type("silver", extra_specs=SILVER)
    return load_backend("played", volume_driver="api.played_drivers.RetypingDriver")


def allocated(root: Path) -> int:
    (file,) = root.glob("volume-*")
    return os.stat(file).st_blocks * 512


def test_the_embedded_driver_makes_volumes_thick_and_thin(backend: cl.Backend, root: Path) -> None:
    backend.controller.create_type("thick", extra_specs=THICK)
    assert backend.capabilities()["volume.retype"].way == "native"
    volume = backend.create_volume(size=1)
    with (root / volume.name_in_storage).open("r+b") as file:
        file.write(b"data" * 4096)
    assert allocated(root) < 1 << 20
    volume.retype("thick")
    assert (volume.status, volume.type_name, volume.changed) == ("available", "thick", True)
    assert allocated(root) >= 1 << 30
    volume.retype("thick")
    assert volume.changed is False
    volume.retype()
    assert (volume.type_name, volume.volume_type_id, volume.extra_specs) == (None, None, {})
    assert allocated(root) < 1 << 20
    assert (root / volume.name_in_storage).read_bytes()[:16384] == b"data" * 4096


def test_new_thick_volumes_are_allocated(backend: cl.Backend, root: Path) -> None:
    volume = backend.create_volume(size=1, extra_specs=THICK)
    assert allocated(root) >= 1 << 30
    volume.extend(2)
    assert allocated(root) >= 2 << 30
    volume.delete()
    with pytest.raises(errors.CinderlibError, match="must be 'thin' or 'thick'"):
        backend.create_volume(size=1, extra_specs={"provisioning:type": "fat"})
    assert backend.volumes == []


def test_an_attached_volume_does_not_become_thin(backend: cl.Backend, root: Path) -> None:
    volume = backend.create_volume(size=1, extra_specs=THICK)
    connection = volume.connect(backend.controller.local_connector(backend))
    with pytest.raises(errors.InvalidState, match="could write to it"):
        volume.retype()
    volume.refresh()
    assert (volume.status, volume.extra_specs) == ("in-use", THICK)
    assert allocated(root) >= 1 << 30
    volume.disconnect(connection)
    volume.retype(extra_specs={"a": "1"})
    assert (volume.status, volume.volume_type_id) == ("available", volume.id)
    connection = volume.connect(backend.controller.local_connector(backend))
    volume.retype(extra_specs=THICK)
    assert volume.status == "in-use"
    assert allocated(root) >= 1 << 30


@pytest.mark.library(reason="looks into the driver")
def test_the_driver_gets_what_cinder_passes(retyping: cl.Backend, play: Played) -> None:
    play.answers["retype"] = (True, {"provider_location": "moved", "metadata": {"a": "1"}})
    volume = retyping.create_volume(size=1, type="gold")
    volume.retype("silver")
    seen = play.retyped
    assert (seen["from"], seen["to"]) == ("gold", "silver")
    assert seen["diff"]["extra_specs"] == {"tier": ("gold", "silver")}
    assert seen["diff"]["qos_specs"]["total_iops_sec"] == ("5", None)
    assert seen["host"]["host"] == volume.host
    assert seen["host"]["capabilities"]["pool_name"] == "pool"
    found = retyping.controller.volume(volume.id)
    assert (found.provider_location, found.metadata) == ("moved", {"a": "1"})
    assert (found.type_name, found.extra_specs, found.qos_specs) == ("silver", SILVER, {})
    # The specs of the type have changed since: the former ones are the volume's own.
    retyping.controller.change_type("silver", extra_specs={"tier": "tin"})
    volume.retype("silver")
    assert play.retyped["diff"]["extra_specs"] == {"tier": ("silver", "tin")}
    assert (play.retyped["from"], play.retyped["to"]) == (volume.id, "silver")
    # Types with the same specs need no driver.
    retyping.controller.create_type("same", extra_specs={"tier": "tin"})
    play.calls.clear()
    volume.retype("same")
    assert (volume.type_name, "retype" in play.calls) == ("same", False)


@pytest.mark.library(reason="looks into the driver")
def test_a_refused_retype_changes_nothing(retyping: cl.Backend, play: Played) -> None:
    volume = retyping.create_volume(size=1, type="gold")
    before = volume.to_dict()
    for answer in (False, (False, None)):
        play.answers["retype"] = answer
        with pytest.raises(errors.Unsupported, match="the driver refused this change"):
            volume.retype("silver")
    volume.refresh()
    changed = {"version", "updated_at"}
    assert {k: v for k, v in volume.to_dict().items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    with pytest.raises(errors.VolumeTypeNotFound):
        volume.retype("bronze")
    with pytest.raises(errors.InvalidInput, match="either"):
        volume.retype("silver", extra_specs=GOLD)


@pytest.mark.library(reason="looks into the driver")
def test_a_failed_retype_is_repeated_or_taken_back(retyping: cl.Backend, play: Played) -> None:
    volume = retyping.create_volume(size=1, type="gold")
    play.fails["retype"] = RuntimeError("the array is on fire")
    with pytest.raises(errors.DriverError, match="could not retype"):
        volume.retype("silver")
    volume.refresh()
    assert (volume.status, volume.type_name) == ("error_retyping", "gold")
    with pytest.raises(errors.InvalidState, match="silver cannot be deleted"):
        retyping.controller.delete_type("silver")
    connection = volume.connect({"host": "other"})
    volume.disconnect(connection)
    play.fails.clear()
    play.answers["retype"] = True
    # The storage can have the new specs: the way back starts from them.
    volume.refresh()
    assert volume.retype_target is not None
    assert volume.retype_target.name == "silver"
    volume.retype("gold")
    assert play.retyped["diff"]["extra_specs"] == {"tier": ("silver", "gold")}
    assert (volume.status, volume.type_name, volume.retype_target) == ("available", "gold", None)


@pytest.mark.library(reason="looks into the driver")
def test_a_driver_without_retype_is_not_asked(load_backend: LoadBackend, play: Played) -> None:
    bare = load_backend("bare", volume_driver="api.played_drivers.BareDriver")
    assert bare.capabilities()["volume.retype"].way == "generic"
    volume = bare.create_volume(size=1)
    with pytest.raises(errors.Unsupported, match="does not implement retype"):
        volume.retype(extra_specs=GOLD)
    assert (volume.status, volume.extra_specs) == ("available", {})
    bare.controller.create_type("empty")
    volume.retype("empty")  # equal specs need no driver
    assert volume.type_name == "empty"
