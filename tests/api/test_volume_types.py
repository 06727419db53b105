"""Types that volumes share, as programs and drivers see them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api.conftest import LoadBackend
from api.play import Played, reset

import cinderlib as cl
from cinderlib import errors
from cinderlib.operations import volume_types
from cinderlib.persistence.base import Put
from cinderlib.persistence.volume_types import StoredType, find, text
from cinderlib.records import TypeSpecs, replace

GOLD = {"tier": "gold"}
LIMITS = {"consumer": "both", "total_iops_sec": "500"}


@pytest.fixture
def play() -> Iterator[Played]:
    yield reset()
    reset()


def test_a_type_is_created_once_changed_and_deleted(controller: cl.Controller) -> None:
    made = controller.create_type("gold", description="fast", extra_specs=GOLD, qos_specs=LIMITS)
    assert (made.name, made.description, made.extra_specs) == ("gold", "fast", GOLD)
    assert made.qos_specs is not None
    assert (made.qos_specs.consumer, made.qos_specs.specs) == ("both", {"total_iops_sec": "500"})
    again = controller.create_type("gold", description="fast", extra_specs=GOLD, qos_specs=LIMITS)
    assert again == made
    with pytest.raises(errors.AlreadyExists) as refused:
        controller.create_type("gold", description="fast", extra_specs={"tier": "silver"})
    assert refused.value.differences["extra_specs"] == (GOLD, {"tier": "silver"})
    changed = controller.change_type("gold", extra_specs={"tier": None, "a": "1"}, description="")
    assert (changed.extra_specs, changed.qos_specs, changed.description) == (
        {"a": "1"},
        made.qos_specs,
        "",
    )
    assert controller.volume_type("gold") == controller.volume_type(made.id) == changed
    assert list(controller.types()) == [changed]
    assert controller.delete_type("gold") is True
    assert controller.delete_type("gold") is False
    assert list(controller.types()) == []
    with pytest.raises(errors.VolumeTypeNotFound, match="'gold' does not exist"):
        controller.volume_type("gold")


def test_arguments_that_are_not_valid_change_nothing(controller: cl.Controller) -> None:
    with pytest.raises(errors.InvalidInput, match="needs a name"):
        controller.create_type("")
    with pytest.raises(errors.InvalidInput, match="consumer"):
        controller.create_type("x", qos_specs={"consumer": "nobody"})
    with pytest.raises(errors.InvalidInput):
        controller.create_type("x", extra_specs={"a": []})  # type: ignore[dict-item]
    controller.create_type("x")
    with pytest.raises(errors.InvalidInput):
        controller.change_type("x", extra_specs={"a": []})  # type: ignore[dict-item]
    with pytest.raises(errors.InvalidInput, match="consumer"):
        controller.change_type("x", qos_specs={"consumer": "nobody"})
    assert [each.extra_specs for each in controller.types()] == [{}]


def test_a_volume_has_the_specs_of_its_type(backend: cl.Backend, root: object) -> None:
    controller = backend.controller
    gold = controller.create_type("gold", extra_specs=GOLD, qos_specs=LIMITS)
    volume = backend.create_volume(size=1, name="v", type="gold")
    assert (volume.type_name, volume.volume_type_id) == ("gold", gold.id)
    assert (volume.extra_specs, volume.qos_specs) == (GOLD, LIMITS)
    assert volume.volume_type == gold
    again = backend.create_volume(size=1, name="v", id=volume.id, type="gold")
    assert again.changed is False
    controller.create_type("silver")
    with pytest.raises(errors.AlreadyExists, match="type_name"):
        backend.create_volume(size=1, name="v", id=volume.id, type="silver")
    clone = volume.clone(name="c")
    assert (clone.type_name, clone.extra_specs) == ("gold", GOLD)
    copied = volume.create_snapshot().create_volume(type="silver")
    assert (copied.type_name, copied.extra_specs) == ("silver", {})
    own = volume.clone(extra_specs={"a": "1"})
    assert (own.type_name, own.volume_type_id, own.extra_specs) == (None, own.id, {"a": "1"})
    # A later change of the type does not change its volumes.
    controller.change_type("gold", extra_specs={"tier": "platinum"})
    assert controller.volume(volume.id).extra_specs == GOLD


def test_a_type_in_use_is_not_deleted(backend: cl.Backend) -> None:
    controller = backend.controller
    controller.create_type("gold", extra_specs=GOLD)
    volume = backend.create_volume(size=1, name="data", type="gold")
    with pytest.raises(errors.InvalidState, match=r"gold cannot be deleted.*data \("):
        controller.delete_type("gold")
    assert controller.volume_type("gold").extra_specs == GOLD
    volume.delete()
    assert controller.delete_type("gold") is True


def test_a_volume_is_not_created_with_a_wrong_type(backend: cl.Backend) -> None:
    with pytest.raises(errors.VolumeTypeNotFound, match="'gold'"):
        backend.create_volume(size=1, type="gold")
    backend.controller.create_type("gold")
    with pytest.raises(errors.InvalidInput, match="not both"):
        backend.create_volume(size=1, type="gold", extra_specs=GOLD)
    assert backend.volumes == []


def mark(library: cl.Controller, name: str) -> None:
    """Mark a type as a deletion does first."""
    record, there = find(library.store, library.volume_type(name).id)
    assert there is not None
    marked = StoredType(specs=there.specs, deleting=True)
    library.store.apply(Put(replace(record, value=text(marked))))


@pytest.mark.library(reason="changes the store between two steps")
def test_a_type_is_not_deleted_while_a_volume_with_it_is_created(
    backend: cl.Backend, library: cl.Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.create_type("gold", extra_specs=GOLD)
    users = volume_types._users
    found: list[str] = []

    def then_created(*args: object) -> str:
        found.append(users(*args))  # type: ignore[arg-type]
        if len(found) == 1:
            backend.create_volume(size=1, name="data", type="gold")
        return found[-1]

    monkeypatch.setattr(volume_types, "_users", then_created)
    with pytest.raises(errors.InvalidState, match=r"gold cannot be deleted.*data \("):
        library.delete_type("gold")
    assert found[0] == ""
    assert library.volume_type("gold").extra_specs == GOLD


@pytest.mark.library(reason="changes the store between two steps")
def test_a_volume_is_not_created_if_its_type_is_deleted_meanwhile(
    backend: cl.Backend, library: cl.Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.create_type("gold", extra_specs=GOLD)
    assign = volume_types.assign

    def then_deleted(*args: object) -> object:
        assigned = assign(*args)  # type: ignore[arg-type]
        assert library.delete_type("gold") is True
        return assigned

    monkeypatch.setattr(volume_types, "assign", then_deleted)
    with pytest.raises(errors.InvalidState, match="gold was deleted"):
        backend.create_volume(size=1, type="gold")
    assert backend.volumes == []


@pytest.mark.library(reason="changes the store")
def test_a_type_stays_usable_after_an_interrupted_deletion(
    backend: cl.Backend, library: cl.Controller
) -> None:
    library.create_type("gold", extra_specs=GOLD)
    mark(library, "gold")
    assert library.create_type("gold", extra_specs=GOLD).extra_specs == GOLD
    volume = backend.create_volume(size=1, type="gold")
    mark(library, "gold")
    with pytest.raises(errors.InvalidState, match="gold cannot be deleted"):
        library.delete_type("gold")
    volume.delete()
    mark(library, "gold")
    assert library.change_type("gold", extra_specs={"a": "1"}).extra_specs == {**GOLD, "a": "1"}
    mark(library, "gold")
    assert library.delete_type("gold") is True
    assert list(library.types()) == []


@pytest.mark.library(reason="looks into the driver")
def test_a_driver_sees_a_type_of_cinder(
    load_backend: LoadBackend, library: cl.Controller, play: Played
) -> None:
    gold = library.create_type("gold", extra_specs=GOLD, qos_specs=LIMITS)
    backend = load_backend("played", volume_driver="api.played_drivers.TypeDriver")
    volume = backend.create_volume(size=1, type="gold")
    seen = play.seen["create_volume"]
    assert seen["id"] == gold.id
    assert (seen["object"], seen["by id"], seen["by name"]) == ("gold", "gold", gold.id)
    assert seen["extra specs"] == GOLD
    assert seen["qos"] == ("both", {"total_iops_sec": "500"}, gold.id)
    snapshot = volume.create_snapshot()
    assert play.seen["create_snapshot"] == gold.id
    own = backend.create_volume(size=1, extra_specs={"a": "1"})
    assert play.seen["create_volume"]["id"] == own.id
    assert play.seen["create_volume"]["extra specs"] == {"a": "1"}
    snapshot.create_volume()
    assert play.seen["source"] == gold.id


def test_types_survive_a_restart_and_a_copy_of_the_store(tmp_path: object) -> None:
    config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/s.sqlite"}
    with cl.Controller(config) as controller:
        gold = controller.create_type("gold", extra_specs=GOLD)
    with cl.Controller(config) as controller:
        assert controller.volume_type("gold") == gold
    with cl.Controller() as other:  # its name determines its ID
        assert other.create_type("gold", extra_specs=GOLD) == gold


def test_the_specs_of_a_volume_are_one_mechanism() -> None:
    own = TypeSpecs(id="v", extra_specs=GOLD)
    assert own.fields() == {
        "type_name": None, "volume_type_id": "v", "extra_specs": GOLD, "qos_specs": {},
        "encryption": {},
    }  # fmt: skip
    assert TypeSpecs(id="v").fields()["volume_type_id"] is None
