"""Connections: which hosts may connect, and when volumes are exported, mapped and unmapped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api.conftest import SHARED, LoadBackend, connector

import cinderlib as cl
from cinderlib.locking import process_identity
from cinderlib.persistence.base import Put
from cinderlib.records import IntentRecord, new_id, replace

Hosts = Callable[[cl.Volume], list[str]]


def maps(root: Path, volume: cl.Volume) -> dict[str, Any]:
    path = root / f".{volume.name_in_storage}.maps"
    return json.loads(path.read_text()) if path.exists() else {"exported": False, "hosts": []}


def test_connecting_exports_and_maps_and_disconnecting_undoes_it(
    array: cl.Backend, root: Path
) -> None:
    volume = array.create_volume(1)
    connection = volume.connect(
        connector("alpha"), attached_host="node-1", mountpoint="/mnt", attach_mode="ro"
    )
    assert (volume.status, volume.attach_status) == ("in-use", "attached")
    assert maps(root, volume) == {"exported": True, "hosts": ["alpha"]}
    assert (connection.connected, connection.attached, connection.path) == (True, False, None)
    assert (connection.protocol, connection.attached_host) == ("iscsi", "node-1")
    assert (connection.mountpoint, connection.attach_mode) == ("/mnt", "ro")
    assert connection.connector_info == connector("alpha")
    assert connection.conn_info["data"]["access_mode"] == "ro"
    assert connection.connection_info["conn"] == connection.conn_info
    assert connection.connection_info["connector"] == connector("alpha")
    assert connection.volume == volume
    assert volume.connections == [connection]
    assert array.Connection.get_by_id(connection.id) == connection
    connection.disconnect()
    assert connection.changed
    assert not connection.connected
    volume.refresh()
    assert (volume.status, volume.attach_status) == ("available", "detached")
    assert maps(root, volume) == {"exported": False, "hosts": []}
    assert volume.connections == []
    connection.disconnect()
    assert connection.changed is False


def test_a_host_has_one_connection(array: cl.Backend) -> None:
    volume = array.create_volume(1)
    first = volume.connect(connector("alpha"))
    again = volume.connect(connector("alpha"))
    assert (again, again.changed) == (first, False)
    with pytest.raises(cl.errors.AlreadyExists) as caught:
        volume.connect(connector("alpha"), attach_mode="ro")
    assert caught.value.differences == {"attach_mode": ("rw", "ro")}


def test_attach_uses_a_connection_of_this_host_created_by_hand(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    made = volume.connect(backend.controller.local_connector(backend))
    assert made.attached_host is None
    attachment = volume.attach()
    assert attachment == made
    assert attachment.attached_host
    volume.detach()
    volume.refresh()
    assert (volume.connections, volume.status) == ([], "available")


def test_a_local_backend_refuses_multiattach_volumes(backend: cl.Backend, root: Path) -> None:
    with pytest.raises(cl.errors.Unsupported, match="multiattach"):
        backend.create_volume(1, multiattach=True)
    assert backend.volumes == []


def test_a_second_host_is_refused_and_the_error_names_the_first(
    array: cl.Backend, root: Path
) -> None:
    volume = array.create_volume(1)
    volume.connect(connector("alpha"))
    with pytest.raises(cl.errors.InvalidVolume, match="connected to alpha"):
        volume.connect(connector("beta"))
    assert maps(root, volume)["hosts"] == ["alpha"]


def test_disconnecting_one_of_two_hosts_keeps_the_other(array: cl.Backend, root: Path) -> None:
    volume = array.create_volume(1, multiattach=True)
    alpha = volume.connect(connector("alpha"))
    beta = volume.connect(connector("beta"))
    alpha.disconnect()
    assert maps(root, volume) == {"exported": True, "hosts": ["beta"]}
    volume.refresh()
    assert volume.status == "in-use"
    beta.disconnect()
    assert maps(root, volume) == {"exported": False, "hosts": []}
    volume.refresh()
    assert volume.status == "available"


@pytest.mark.parametrize("first_to_leave", ["the oldest", "the newest"])
def test_the_export_is_removed_with_the_last_of_many_hosts(
    array: cl.Backend, root: Path, first_to_leave: str
) -> None:
    volume = array.create_volume(1, multiattach=True)
    hosts = [f"host-{number}" for number in range(5)]
    connections = [volume.connect(connector(host)) for host in hosts]
    if first_to_leave == "the newest":
        hosts.reverse()
        connections.reverse()
    while connections:
        assert maps(root, volume) == {"exported": True, "hosts": sorted(hosts)}
        assert volume.status == "in-use"
        volume.disconnect(connections.pop(0))
        hosts.pop(0)
    assert volume.status == "available"
    assert maps(root, volume) == {"exported": False, "hosts": []}


def test_interrupted_connects_do_not_block_the_last_disconnect(
    array: cl.Backend, library: cl.Controller, root: Path
) -> None:
    """Even if there are more than a disconnect reads at once."""
    volume = array.create_volume(1, multiattach=True)
    last, *others = [volume.connect(connector(f"host-{number}")) for number in range(5)]
    me = process_identity.this_process()
    for other in others:
        intent = IntentRecord(
            id=new_id(), operation="connection.connect", backend=array.id, resource_id=other.id,
            lock=f"volume:{volume.id}", owner=replace(me, boot_id="earlier"),
        )  # fmt: skip
        begun = replace(other._record, status="attaching", conn_info=None)
        library.store.apply(Put(begun), Put(intent))
    volume.disconnect(last)
    assert (volume.status, volume.connections) == ("available", [])
    assert maps(root, volume) == {"exported": False, "hosts": []}
    assert library.store.find(IntentRecord) == []


@pytest.mark.parametrize("bad", [{}, None, "alpha", [], {"host": "alpha"}, {1: 2}], ids=str)
def test_invalid_connectors_are_refused_before_the_export(
    array: cl.Backend, root: Path, bad: Any
) -> None:
    volume = array.create_volume(1)
    with pytest.raises(cl.errors.InvalidConnector):
        volume.connect(bad)
    volume.refresh()
    assert (volume.status, volume.connections) == ("available", [])
    assert maps(root, volume) == {"exported": False, "hosts": []}
    with pytest.raises(cl.errors.InvalidConnector):
        array.validate_connector(bad)


def test_misspelt_fields_of_a_connection_are_refused(array: cl.Backend) -> None:
    volume = array.create_volume(1)
    with pytest.raises(cl.errors.InvalidInput, match="did you mean 'attach_mode'"):
        volume.connect(connector("alpha"), atach_mode="ro")
    with pytest.raises(cl.errors.InvalidInput, match="attach_mode"):
        volume.connect(connector("alpha"), attach_mode="read-only")


def test_the_device_of_another_host_can_be_recorded(array: cl.Backend) -> None:
    volume = array.create_volume(1)
    connection = volume.connect(connector("alpha"), attached_host="node-1")
    connection.device_attached({"type": "block", "path": "/dev/sdx"})
    found = volume.connections[0]
    assert (found.attached, found.path) == (True, "/dev/sdx")
    assert found.connection_info["device"] == {"type": "block", "path": "/dev/sdx"}
    found.device = {"type": "block", "path": "/dev/dm-3", "multipath_id": "3600"}
    found.save()
    assert array.Connection.get_by_id(connection.id).path == "/dev/dm-3"
    assert volume.local_attach is None
    with pytest.raises(cl.errors.NotLocal, match="node-1"):
        volume.detach()
    volume.cleanup()
    assert volume.connections == [found]
    found.disconnect()


@pytest.mark.library(reason="writes a record")
def test_a_connection_record_can_be_added_by_hand(array: cl.Backend) -> None:
    volume = array.create_volume(1, multiattach=True)
    made = volume.connect(connector("alpha"))
    second = cl.Connection(
        array,
        volume=volume,
        connector=connector("beta"),
        connection_info=made.connection_info,
        status="attached",
        attach_mode="rw",
        attached_host="node-2",
        mountpoint="/stage",
        instance_uuid="x",
    )
    assert second.is_new
    second.save()
    assert not second.is_new
    assert volume.connections == [made, second]
    assert volume.connections[1].conn_info == made.conn_info


def test_secrets_are_only_where_the_node_needs_them(
    array: cl.Backend, library: cl.Controller
) -> None:
    volume = array.create_volume(1)
    connection = volume.connect(connector("alpha"))
    assert connection.conn_info["data"]["auth_password"] == "marked-chap-password"
    assert "marked-chap-password" in library.connection(connection.id).jsons
    shown = [connection, connection.to_dict(), volume, volume.to_dict(), array, array.config]
    assert "marked-chap-password" not in repr(shown)
    assert "marked-chap-password" not in repr([connection._record, volume._record])


def test_attaching_on_this_host(backend: cl.Backend, controller: cl.Controller) -> None:
    volume = backend.create_volume(1)
    with volume.attached() as attachment:
        with open(attachment.path, "r+b") as device:
            device.write(b"*" * 100)
        again = volume.attach()
        assert (again, again.changed, again.path) == (attachment, False, attachment.path)
        assert controller.volume(volume.id).local_attach == attachment
        with pytest.raises(cl.errors.InvalidConnection, match="detach it"):
            attachment.disconnect()
        assert volume.extend(2) == 2 * 1024**3
    volume.refresh()
    assert (volume.status, volume.connections, volume.local_attach) == ("available", [], None)
    with volume.attached() as attachment, open(attachment.path, "rb") as device:
        assert device.read(100) == b"*" * 100
    volume.detach()
    assert volume.changed is False
    volume.cleanup()


@pytest.mark.parametrize("leave", ["detach", "cleanup"])
def test_detach_unmaps_a_volume_whose_connection_was_already_detached(
    backend: cl.Backend, leave: str
) -> None:
    volume = backend.create_volume(1)
    volume.attach().detach()
    getattr(volume, leave)()
    assert (volume.status, volume.connections) == ("available", [])
    getattr(volume, leave)()
    volume.delete()


def test_detaching_only_the_connection_keeps_the_mapping(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    connection = volume.attach()
    connection.detach()
    assert (connection.attached, connection.connected, connection.path) == (False, True, None)
    connection.attach()
    assert connection.attached
    volume.detach()


def test_a_process_detaches_a_volume_attached_by_another(tmp_path: Path) -> None:
    config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    options = {"volume_driver": "file", "file_root": str(tmp_path / "array")}
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        volume = controller.backend("b", **options).create_volume(1)
        path = volume.attach().path
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        found = controller.backend("b", **options).Volume.get_by_id(volume.id)
        assert found.local_attach.path == path
        found.detach()
        found.delete()


@pytest.fixture
def moving(array: cl.Backend) -> cl.Volume:
    """A volume without multiattach."""
    return array.create_volume(1)


@pytest.fixture
def hosts(root: Path) -> Hosts:
    """A function that returns the connected hosts, after checking that store and array agree."""

    def hosts(volume: cl.Volume) -> list[str]:
        found = [c.connector_info["host"] for c in volume.connections]
        assert maps(root, volume) == {"exported": bool(found), "hosts": sorted(found)}
        return found

    return hosts


def test_a_volume_migrates_to_another_host(moving: cl.Volume, hosts: Hosts) -> None:
    source = moving.connect(connector("alpha"))
    with pytest.raises(cl.errors.InvalidVolume, match="connect it as migrating"):
        moving.connect(connector("beta"))
    target = moving.connect(connector("beta"), migrating=True)
    assert hosts(moving) == ["alpha", "beta"]
    source.disconnect()
    assert (hosts(moving), moving.status) == (["beta"], "in-use")
    # The new host has the only connection, and the migration is over.
    with pytest.raises(cl.errors.InvalidVolume):
        moving.connect(connector("alpha"))
    target.disconnect()
    moving.refresh()
    assert (hosts(moving), moving.status) == ([], "available")


def test_an_instance_migrates_with_its_volume(moving: cl.Volume, hosts: Hosts) -> None:
    moving.connect(connector("alpha"), instance_uuid="vm-1")
    for other in ({"instance_uuid": "vm-2"}, {}):
        with pytest.raises(cl.errors.InvalidVolume):
            moving.connect(connector("beta"), **other)
    moving.connect(connector("beta"), instance_uuid="vm-1")
    assert hosts(moving) == ["alpha", "beta"]


def test_a_volume_without_an_instance_is_not_moved_to_an_instance(
    moving: cl.Volume, hosts: Hosts
) -> None:
    moving.connect(connector("alpha"))
    with pytest.raises(cl.errors.InvalidVolume):
        moving.connect(connector("beta"), instance_uuid="vm-1")
    assert hosts(moving) == ["alpha"]


def test_a_program_without_support_for_migration(
    load_backend: LoadBackend, root: Path, hosts: Hosts
) -> None:
    backend = load_backend("array", volume_driver=SHARED, file_root=str(root), live_migration=True)
    moving = backend.create_volume(1)
    for host in ("alpha", "beta"):
        moving.connect(connector(host))
    # It disconnects all connections that it finds.
    for connection in moving.connections:
        connection.disconnect()
    assert hosts(moving) == ["beta"]
    with pytest.raises(cl.errors.InvalidVolume):
        moving.delete()
    for connection in moving.connections:
        connection.disconnect()
    assert hosts(moving) == []

    for host in ("alpha", "beta"):
        moving.connect(connector(host))
    for connection in moving.connections:
        connection.disconnect(force=True)
    assert hosts(moving) == []
    moving.delete()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices")
def test_an_attach_that_cannot_be_persistent_is_undone(
    backend: cl.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise cl.errors.NodeError("No space left.")

    volume = backend.create_volume(1)
    monkeypatch.setattr(cl.PersistentAttachments, "add", refuse)
    with pytest.raises(cl.errors.NodeError, match="No space"):
        volume.attach(persist=True)
    assert (volume.connections, volume.status) == ([], "available")
    existing = volume.attach()
    with pytest.raises(cl.errors.NodeError, match="No space"):
        volume.attach(persist=True)
    assert existing.device_state == "ok"
    volume.detach()
