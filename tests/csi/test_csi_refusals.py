"""Refusals that depend on the storage or the settings."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from in_process import Calls

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import node_identity
from cinderlib.csi.failures import Exhausted, Pending
from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import mount


def test_a_node_gets_no_more_volumes_than_its_limit(tmp_path: pathlib.Path) -> None:
    calls = Calls(tmp_path, max_volumes=1)
    connector = cl.Node(state_path=tmp_path / "node").connector_properties("local")
    node_id = node_identity.encode(connector)

    def publish(volume: cl.Volume) -> None:
        request = m.ControllerPublishVolumeRequest(
            volume_id=volume.id, node_id=node_id, volume_capability=mount()
        )
        calls.service.controller_publish_volume(request)

    first, second = calls.create("first"), calls.create("second")
    for _ in range(10):
        publish(first)
    with pytest.raises(Exhausted, match=r"already has 1 volumes, the maximum") as caught:
        publish(second)
    assert caught.value.code == "RESOURCE_EXHAUSTED"
    calls.controller.close()


def test_volumes_of_a_driver_without_groups_have_no_group_snapshot(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    volumes = [calls.create(name).id for name in ("a", "b")]

    def refuse(*_: object) -> None:
        raise errors.Unsupported("not of these volumes")

    monkeypatch.setattr(calls.backend._driver, "create_group_snapshot", refuse)
    request = m.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=volumes)
    with pytest.raises(errors.InvalidGroup, match="not of these volumes") as caught:
        calls.groups.create_volume_group_snapshot(request)
    assert caught.value.code == "FAILED_PRECONDITION"
    assert list(calls.controller.groups()) == []
    assert list(calls.controller.snapshots()) == []
    calls.controller.close()


def test_one_group_snapshot_of_a_volume_at_a_time(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    request = m.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=[calls.create("a").id])
    meanwhile = m.CreateVolumeGroupSnapshotRequest(
        name="other", source_volume_ids=request.source_volume_ids
    )
    refused: list[str] = []
    take = calls.backend._driver.create_group_snapshot

    def slow(*arguments: object) -> object:
        with pytest.raises(Pending) as caught:
            calls.groups.create_volume_group_snapshot(meanwhile)
        refused.append(caught.value.code)
        return take(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(calls.backend._driver, "create_group_snapshot", slow)
    calls.groups.create_volume_group_snapshot(request)
    assert refused == ["ABORTED"]
    calls.controller.close()


def _stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_failed_group_snapshot_leaves_no_group(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    volumes = [calls.create(name).id for name in ("a", "b")]

    def fail(*_: object) -> None:
        raise errors.DriverError("the array is full")

    monkeypatch.setattr(calls.backend._driver, "create_group_snapshot", fail)
    request = m.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=volumes)
    with pytest.raises(errors.DriverError, match="the array is full"):
        calls.groups.create_volume_group_snapshot(request)
    assert list(calls.controller.groups()) == []
    assert list(calls.controller.snapshots()) == []
    calls.controller.close()


def test_volumes_of_an_interrupted_group_snapshot_can_be_deleted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    volumes = [calls.create(name).id for name in ("a", "b")]
    request = m.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=volumes)
    with monkeypatch.context() as patch:
        patch.setattr(cl.Group, "create_snapshot", _stop)
        with pytest.raises(KeyboardInterrupt):
            calls.groups.create_volume_group_snapshot(request)
    assert len(list(calls.controller.groups())) == 1
    for id in volumes:
        calls.service.delete_volume(m.DeleteVolumeRequest(volume_id=id))
    assert list(calls.controller.volumes()) == []
    assert list(calls.controller.groups()) == []
    calls.controller.close()


def test_a_volume_of_a_users_group_is_not_deleted(tmp_path: pathlib.Path) -> None:
    calls = Calls(tmp_path)
    volume = calls.create("a")
    group = calls.backend.create_group("g", [volume])
    with pytest.raises(errors.InvalidVolume, match="is in group g") as caught:
        calls.service.delete_volume(m.DeleteVolumeRequest(volume_id=volume.id))
    assert caught.value.code == "FAILED_PRECONDITION"
    group.refresh()
    assert group.volume_ids == (volume.id,)
    calls.controller.close()


def test_a_group_snapshot_has_all_volumes_or_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    volumes = [calls.create(name) for name in ("a", "b")]
    take = cl.Group.create_snapshot

    def after_another_controller(group: cl.Group, *args: Any, **kwargs: Any) -> cl.GroupSnapshot:
        group.remove(volumes[1])
        return take(group, *args, **kwargs)

    request = m.CreateVolumeGroupSnapshotRequest(
        name="g", source_volume_ids=[each.id for each in volumes]
    )
    with monkeypatch.context() as patch:
        patch.setattr(cl.Group, "create_snapshot", after_another_controller)
        with pytest.raises(errors.InvalidVolume, match="changed meanwhile"):
            calls.groups.create_volume_group_snapshot(request)
    assert list(calls.controller.snapshots()) == []
    taken = calls.groups.create_volume_group_snapshot(request).group_snapshot
    assert len(taken.snapshots) == 2
    calls.controller.close()


def test_a_group_snapshot_in_use_is_not_deleted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    volumes = [calls.create(name).id for name in ("a", "b")]
    request = m.CreateVolumeGroupSnapshotRequest(name="g", source_volume_ids=volumes)
    id = calls.groups.create_volume_group_snapshot(request).group_snapshot.group_snapshot_id

    def refuse(*_: object) -> None:
        raise errors.InvalidSnapshot("the array copies it")

    monkeypatch.setattr(calls.backend._driver, "delete_group_snapshot", refuse)
    with pytest.raises(errors.InvalidSnapshot, match="the array copies it") as caught:
        calls.groups.delete_volume_group_snapshot(
            m.DeleteVolumeGroupSnapshotRequest(group_snapshot_id=id)
        )
    assert caught.value.code == "FAILED_PRECONDITION"
    assert calls.controller.group_snapshot(id).status == "available"
    calls.controller.close()


def test_a_snapshot_in_use_is_not_deleted(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(tmp_path)
    request = m.CreateSnapshotRequest(name="s", source_volume_id=calls.create("a").id)
    snapshot_id = calls.service.create_snapshot(request).snapshot.snapshot_id

    def refuse(*_: object) -> None:
        raise errors.InvalidSnapshot("the array copies it")

    monkeypatch.setattr(calls.backend._driver, "delete_snapshot", refuse)
    with pytest.raises(errors.InvalidSnapshot, match="the array copies it") as caught:
        calls.service.delete_snapshot(m.DeleteSnapshotRequest(snapshot_id=snapshot_id))
    assert caught.value.code == "FAILED_PRECONDITION"
    assert calls.controller.snapshot(snapshot_id).status == "available"
    calls.controller.close()
