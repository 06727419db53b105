"""Replication of groups, as programs and drivers see it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api.conftest import LoadBackend, connector, files

import cinderlib as cl
from cinderlib import errors
from cinderlib.operations.group_members import lock_name
from cinderlib.operations.intents import new_intent
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Put
from cinderlib.records import GroupRecord, replace

REPLICATED = {"replication_enabled": "<is> True"}
SPECS = {"consistent_group_replication_enabled": "<is> True"}
DEVICES = ["backend_id:second,san_ip:192.0.2.2"]


def _options(root: Path, kind: str = "ReplicatedGroups") -> dict[str, Any]:
    module = "replicated_groups" if kind == "ReplicatedGroups" else "replicated_array"
    return {
        "volume_driver": f"api.{module}.{kind}",
        "file_root": str(root),
        "replication_device": DEVICES,
    }


@pytest.fixture
def backend(load_backend: LoadBackend, root: Path) -> cl.Backend:
    return load_backend("array", **_options(root))


@pytest.fixture
def group(backend: cl.Backend) -> cl.Group:
    volumes = [
        backend.create_volume(1, name=name, extra_specs=REPLICATED) for name in ("data", "log")
    ]
    return backend.create_group("database", volumes, group_specs=SPECS)


def _calls(root: Path) -> list[str]:
    file = root / ".replication"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.partition(" ")[2] for line in lines]


def _statuses(group: cl.Group) -> tuple[str, list[str | None]]:
    group.refresh()
    return group.replication_status, [each.replication_status for each in group.volumes]


def test_group_is_replicated_fails_over_and_back(
    backend: cl.Backend, group: cl.Group, root: Path
) -> None:
    assert (group.group_specs, group.replication_status) == (SPECS, "disabled")
    group.enable_replication()
    assert (group.changed, group.replication_status) == (True, "enabled")
    assert _statuses(group) == ("enabled", ["enabled"] * 2)
    group.failover()
    assert (group.changed, group.active_backend_id) == (True, "second")
    assert _statuses(group) == ("failed-over", ["failed-over"] * 2)
    assert {each.replication_driver_data for each in group.volumes} == {"failover-group"}
    assert {each.status for each in group.volumes} == {"available"}
    assert backend.replication.status == "enabled"
    group.failback()
    assert (group.changed, group.active_backend_id) == (True, None)
    assert _statuses(group) == ("enabled", ["enabled"] * 2)
    group.disable_replication()
    assert _statuses(group) == ("disabled", ["disabled"] * 2)
    assert _calls(root) == [
        "enable enabling 2",
        "failover-group failing-over 2 second",
        "failover-group failing-over 2 default",
        "disable disabling 2",
    ]


def test_repeated_calls_change_nothing(group: cl.Group, root: Path) -> None:
    group.disable_replication()
    assert (group.changed, _calls(root)) == (False, [])
    steps: list[Callable[[], None]] = [
        group.enable_replication,
        group.failover,
        group.failback,
        group.disable_replication,
    ]
    for step in steps:
        step()
        assert group.changed
        step()
        assert group.changed is False
    assert len(_calls(root)) == len(steps)


def test_new_group_can_be_replicated_at_once(backend: cl.Backend, root: Path) -> None:
    (root / ".at-once").touch()
    volume = backend.create_volume(1, extra_specs=REPLICATED)
    group = backend.create_group("database", [volume], group_specs=SPECS)
    assert _statuses(group) == ("enabled", ["enabled"])
    group.enable_replication()
    assert (group.changed, _calls(root)) == (False, [])


def test_specs_belong_to_the_group(backend: cl.Backend, group: cl.Group) -> None:
    same = backend.create_group("database", group.volumes, group_specs=SPECS, id=group.id)
    assert same.changed is False
    with pytest.raises(errors.AlreadyExists, match="group_specs"):
        backend.create_group("database", id=group.id, group_specs={"other": "spec"})
    with pytest.raises(errors.InvalidInput, match="group_specs"):
        backend.create_group("other", group_specs={"": "value"})
    copy = group.clone("copy")
    assert (copy.group_specs, copy.replication_status) == (SPECS, "disabled")
    assert group.create_snapshot("kept").create_group("other").group_specs == SPECS


@pytest.mark.parametrize("verb", ["enable_replication", "disable_replication", "failover"])
def test_failure_is_recorded_and_the_call_can_be_repeated(
    group: cl.Group, root: Path, verb: str
) -> None:
    if verb != "enable_replication":
        group.enable_replication()
    volumes = _statuses(group)[1]
    fails = root / ".fails"
    fails.touch()
    for _ in range(2):
        with pytest.raises(errors.DriverError, match="the link is down"):
            getattr(group, verb)()
        assert _statuses(group) == ("error", volumes)
    fails.unlink()
    getattr(group, verb)()
    assert group.changed
    assert group.replication_status != "error"


def test_reported_error_is_recorded_with_the_changes_of_volumes(
    group: cl.Group, root: Path
) -> None:
    group.enable_replication()
    (root / ".reports").touch()
    with pytest.raises(errors.DriverError, match="reports the replication status 'error'"):
        group.failover()
    status, volumes = _statuses(group)
    assert (status, sorted(filter(None, volumes))) == ("error", ["error", "failed-over"])
    assert group.active_backend_id is None
    assert {each.replication_driver_data for each in group.volumes} == {"failover-group"}
    (root / ".reports").unlink()
    group.failback()
    assert _statuses(group) == ("enabled", ["enabled"] * 2)


def test_impossible_calls_change_nothing(backend: cl.Backend, group: cl.Group, root: Path) -> None:
    empty = backend.create_group("empty", group_specs=SPECS)
    plain = backend.create_group("plain", [backend.create_volume(1)])
    mixed = backend.create_group("mixed", [backend.create_volume(1)], group_specs=SPECS)
    before = files(root)
    for call, error, why in (
        (group.failover, errors.InvalidGroup, "Enable it first"),
        (group.failback, errors.InvalidGroup, "Enable it first"),
        (empty.enable_replication, errors.InvalidGroup, "no volumes"),
        (plain.enable_replication, errors.InvalidGroup, "without the group spec"),
        (mixed.enable_replication, errors.InvalidVolume, "do not require one"),
        (lambda: group.failover("fourth"), errors.InvalidInput, "no replication device"),
    ):
        with pytest.raises(error, match=why):
            call()
    assert (_statuses(group)[0], _calls(root), files(root)) == ("disabled", [], before)
    group.enable_replication()
    group.failover()
    for call in (
        group.enable_replication,
        group.disable_replication,
        group.delete,
        lambda: group.remove(group.volumes[0]),
    ):
        with pytest.raises(errors.InvalidGroup, match=r"failed over to 'second'\. Fail back"):
            call()
    assert (_statuses(group)[0], group.status) == ("failed-over", "available")


def test_target_that_the_driver_refuses_changes_nothing(
    load_backend: LoadBackend, root: Path
) -> None:
    options = _options(root) | {"replication_device": [*DEVICES, "backend_id:third"]}
    backend = load_backend("array", **options)
    volume = backend.create_volume(1, extra_specs=REPLICATED)
    group = backend.create_group("database", [volume], group_specs=SPECS)
    group.enable_replication()
    with pytest.raises(errors.InvalidInput, match=r"Choose one .* second, third"):
        group.failover()
    with pytest.raises(errors.InvalidState, match="has no license"):
        group.failover("third")
    assert _statuses(group) == ("enabled", ["enabled"])
    group.failover("second")
    group.failover()
    assert (group.changed, group.active_backend_id) == (False, "second")


def test_attached_volumes_need_a_flag(group: cl.Group) -> None:
    group.enable_replication()
    volume = group.volumes[0]
    volume.connect(connector("a"))
    with pytest.raises(errors.InvalidVolume, match="allow_attached"):
        group.failover()
    assert _statuses(group)[0] == "enabled"
    group.failover(allow_attached=True)
    assert _statuses(group) == ("failed-over", ["failed-over"] * 2)
    volume.refresh()
    assert volume.status == "in-use"
    with pytest.raises(errors.InvalidVolume, match="allow_attached"):
        group.failback()
    group.failback(allow_attached=True)


def test_backend_that_cannot_replicate_groups_refuses_them(
    load_backend: LoadBackend, root: Path
) -> None:
    unable = load_backend("unable", **_options(root / "unable", "ReplicatedArray"))
    alone = _options(root / "alone")
    del alone["replication_device"]
    for backend, why in (
        (unable, "does not implement enable_replication"),
        (load_backend("alone", **alone), "no replication_device"),
    ):
        capability = backend.capabilities()["group.replicate"]
        assert (capability.way, why in capability.reason) == ("none", True)
        with pytest.raises(errors.Unsupported, match=why):
            backend.create_group("database", group_specs=SPECS)
        plain = backend.create_group("plain")
        for call in (plain.enable_replication, plain.failover):
            with pytest.raises(errors.Unsupported, match=why):
                call()
        assert [each.name for each in backend.controller.groups(backend=backend.id)] == ["plain"]


def test_group_fails_over_with_its_backend(
    backend: cl.Backend, group: cl.Group, root: Path
) -> None:
    group.enable_replication()
    backend.failover("second")
    assert _statuses(group) == ("failed-over", ["failed-over"] * 2)
    assert group.active_backend_id == "second"
    with pytest.raises(errors.InvalidState, match="backend failback"):
        group.failback()
    backend.failback()
    assert (_statuses(group), group.active_backend_id) == (("enabled", ["enabled"] * 2), None)
    assert _calls(root) == [
        "enable enabling 2",
        *("failover second 2", "group enabled 2", "failover default 2", "group failed-over 2"),
    ]


def test_frozen_backend_only_fails_over_groups(backend: cl.Backend, group: cl.Group) -> None:
    group.enable_replication()
    backend.freeze()
    with pytest.raises(errors.InvalidState, match="is frozen"):
        group.disable_replication()
    group.failover()
    assert group.changed


@pytest.mark.parametrize("fails", [False, True])
def test_interrupted_call_is_repeated(library: cl.Controller, root: Path, fails: bool) -> None:
    backend = library.backend("array", **_options(root))
    volumes = [backend.create_volume(1, extra_specs=REPLICATED) for _ in range(2)]
    group = backend.create_group("database", volumes, group_specs=SPECS)
    group.enable_replication()
    store = backend.controller.store
    record = in_key_values.find(store, GroupRecord, group.id)
    assert record is not None
    running = replace(record, replication_status="failing-over")
    intent = new_intent("group.failover", record, lock_name(group.id), data={"to": "second"})
    store.apply(Put(intent), in_key_values.put(running))
    if fails:
        (root / ".fails").touch()
    (found,) = backend.controller.recover()
    assert (found.operation, found.outcome) == (
        "group.failover",
        "failed" if fails else "finished",
    )
    if fails:
        assert _statuses(group)[0] == "error"
        (root / ".fails").unlink()
        group.failover()
    assert _statuses(group) == ("failed-over", ["failed-over"] * 2)
    assert group.active_backend_id == "second"


def test_isolated_driver_replicates_groups(library: cl.Controller, root: Path) -> None:
    backend = library.backend("array", **_options(root), isolation="process")
    volume = backend.create_volume(1, extra_specs=REPLICATED)
    group = backend.create_group("database", [volume], group_specs=SPECS)
    group.enable_replication()
    group.failover()
    assert _statuses(group) == ("failed-over", ["failed-over"])
    group.failback()
    backend.failover()
    assert _statuses(group) == ("failed-over", ["failed-over"])


def test_reconcile_keeps_records_of_snapshots_without_a_replica(
    group: cl.Group, root: Path
) -> None:
    group.enable_replication()
    snapshot = group.volumes[0].create_snapshot()
    group.failover()
    (root / f"snapshot-{snapshot.id}").unlink()
    (missing,) = group.backend.reconcile()
    assert (missing.problem, missing.resource_id, missing.remedy) == ("missing", snapshot.id, "")
    assert f"`cinderlib group failback {group.id}`" in missing.detail
