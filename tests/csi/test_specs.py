"""Types, extra specs and QoS specs from the parameters of classes, without gRPC."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from in_process import Calls

import cinderlib as cl
from cinderlib import errors

GOLD = {"spec.test:tier": "gold"}


@pytest.fixture
def calls(tmp_path: pathlib.Path) -> Iterator[Calls]:
    calls = Calls(tmp_path)
    calls.controller.create_type("gold", extra_specs={"test:tier": "gold"})
    calls.controller.create_type("limited", qos_specs={"consumer": "front-end", "iops": "5"})
    yield calls
    calls.controller.close()


def _specs(volume: cl.Volume) -> Any:
    return volume.record.type_name, dict(volume.extra_specs)


def _operations(calls: Calls, volume: cl.Volume) -> list[str]:
    return [each.operation for each in calls.controller.history(volume)]


def test_a_class_selects_a_type(calls: Calls) -> None:
    volume = calls.create("a", {"type": "gold"})
    assert _specs(volume) == ("gold", {"test:tier": "gold"})
    assert calls.create("a", {"type": "gold"}).id == volume.id
    with pytest.raises(errors.AlreadyExists, match="its specs differ"):
        calls.create("a", {"spec.test:tier": "tin"})
    calls.controller.create_type("tin")
    with pytest.raises(errors.AlreadyExists, match="its type is gold"):
        calls.create("a", {"type": "tin"})


def test_a_type_that_does_not_exist_is_an_invalid_parameter(calls: Calls) -> None:
    with pytest.raises(errors.InvalidInput, match=r"'golt' does not exist. Types: gold, limited"):
        calls.create("a", {"type": "golt"})
    volume = calls.create("a")
    with pytest.raises(errors.InvalidInput, match="'golt' does not exist"):
        calls.modify(volume, {"type": "golt"})
    assert _specs(volume) == (None, {})


def test_attributes_take_precedence_and_leave_other_keys(calls: Calls) -> None:
    both = {"spec.test:tier": "tin", "spec.test:copies": "2"}
    volume = calls.create("a", both, GOLD)
    assert _specs(volume) == (None, {"test:tier": "gold", "test:copies": "2"})
    assert calls.create("a", both, GOLD).id == volume.id
    assert _specs(calls.create("b", {"type": "gold"}, {"spec.test:copies": "2"})) == (
        None,
        {"test:tier": "gold", "test:copies": "2"},
    )
    assert _specs(calls.create("c", both, {"type": "gold"})) == ("gold", {"test:tier": "gold"})


def test_a_copy_gets_the_specs_of_its_source_and_the_attributes(calls: Calls) -> None:
    source = calls.create("a", {"spec.test:copies": "2"})
    expected = (None, {"test:tier": "gold", "test:copies": "2"})
    assert _specs(calls.create("b", mutable=GOLD, source=source.id)) == expected
    assert _specs(calls.create("c", source=source.id)) == (None, {"test:copies": "2"})
    source.delete()
    assert _specs(calls.create("b", mutable=GOLD, source=source.id)) == expected
    with pytest.raises(errors.AlreadyExists, match="its specs differ"):
        calls.create("b", mutable={"spec.test:tier": "tin"}, source=source.id)


def test_a_volume_is_modified(calls: Calls) -> None:
    volume = calls.create("a", {"spec.test:copies": "2"})
    for _ in range(10):
        volume = calls.modify(volume, GOLD)
        assert _specs(volume) == (None, {"test:tier": "gold", "test:copies": "2"})
    assert _operations(calls, volume).count("volume.retype") == 1
    assert _specs(calls.modify(volume, {"type": "gold"})) == ("gold", {"test:tier": "gold"})
    # The type has this value already.
    assert _specs(calls.modify(volume, GOLD)) == ("gold", {"test:tier": "gold"})


def test_qos_that_nobody_enforces_is_refused(calls: Calls) -> None:
    with pytest.raises(errors.InvalidInput, match="it reports QoS_support=False"):
        calls.create("a", {"qos.total_iops_sec": "5"})
    for parameters in ({"type": "limited"}, {"qos.consumer": "front-end", "qos.iops": "5"}):
        with pytest.raises(errors.InvalidInput, match="nodes do not limit volumes"):
            calls.create("a", parameters)
    volume = calls.create("a")
    with pytest.raises(errors.InvalidInput, match="nodes do not limit volumes"):
        calls.modify(volume, {"type": "limited"})
    with pytest.raises(errors.InvalidInput, match="QoS_support=False"):
        calls.modify(volume, {"qos.total_iops_sec": "5"})
    assert _operations(calls, volume) == ["volume.create"]


def test_a_change_that_the_driver_refuses_is_an_invalid_parameter(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = calls.create("a")

    def refuse(*_: object) -> None:
        raise errors.Unsupported("the array cannot do it")

    monkeypatch.setattr(calls.backend._driver, "retype", refuse)
    with pytest.raises(errors.InvalidInput, match="cannot have these parameters: the array cannot"):
        calls.modify(volume, GOLD)
    volume = calls.controller.volume(volume.id)
    assert (_specs(volume), volume.status) == ((None, {}), "available")


def test_an_interrupted_change_is_repeated(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = calls.create("a")

    def fail(*_: object) -> None:
        raise errors.DriverError("the array is on fire")

    with monkeypatch.context() as patch:
        patch.setattr(calls.backend._driver, "retype", fail)
        with pytest.raises(errors.DriverError, match="on fire"):
            calls.modify(volume, GOLD)
    assert calls.controller.volume(volume.id).status == "error_retyping"
    volume = calls.modify(volume, GOLD)
    assert (_specs(volume), volume.status) == ((None, {"test:tier": "gold"}), "available")
