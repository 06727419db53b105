"""cinderlib.connect() on another host than the service's: the program attaches volumes itself."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from service.site import Site

import cinderlib as cl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices"),
]


def connect(site: Site, name: str, **options: Any) -> cl.RemoteController:
    return cl.connect(
        site.url,
        certificate=site.authority.issue(name, common_name=name),
        key=site.folder / f"{name}.key",
        ca=site.authority.certificate,
        **options,
    )


@pytest.fixture
def controller(site: Site, tmp_path: pathlib.Path) -> Iterator[cl.RemoteController]:
    with connect(site, "operator", state_path=str(tmp_path)) as made:
        yield made


def test_a_volume_is_attached_and_detached(controller: cl.RemoteController) -> None:
    volume = controller.backend("files").create_volume(1)
    connection = volume.attach()
    assert pathlib.Path(connection.path).is_block_device()
    assert (connection.changed, volume.attach().changed) == (True, False)
    (listed,) = volume.connections
    assert (listed.path, listed.protocol, listed.device_state) == (connection.path, "local", "ok")
    volume.detach()
    assert volume.changed
    assert (volume.status, volume.connections) == ("available", [])
    volume.detach()
    assert not volume.changed
    volume.delete()


def test_a_connection_without_a_device_is_disconnected(controller: cl.RemoteController) -> None:
    """Its device was removed, or the attach was interrupted."""
    volume = controller.backend("files").create_volume(1)
    for interrupted in (volume.detach, volume.cleanup):
        volume.attach().detach()
        assert len(volume.connections) == 1
        interrupted()
        assert (volume.status, volume.connections) == ("available", [])
    volume.delete()


def test_a_volume_on_another_host_is_not_detached(controller: cl.RemoteController) -> None:
    volume = controller.backend("files").create_volume(1)
    connector = {"host": "elsewhere", "ip": "192.0.2.1", "initiator": "iqn.x:elsewhere"}
    connection = volume.connect(connector, attached_host="elsewhere")
    with pytest.raises(cl.errors.NotLocal, match="elsewhere"):
        volume.detach()
    volume.disconnect(connection)
    volume.delete()


def test_a_device_in_use_is_not_detached_without_force(controller: cl.RemoteController) -> None:
    volume = controller.backend("files").create_volume(1)
    connection = volume.attach()
    with open(connection.path, "rb"):
        with pytest.raises(cl.errors.NodeError):
            volume.detach()
        assert [each.attached for each in volume.connections] == [True]
    volume.detach()
    assert volume.connections == []
    volume.delete()


def test_a_reader_sees_connections_without_their_keys(
    site: Site, controller: cl.RemoteController
) -> None:
    volume = controller.backend("files").create_volume(1)
    connection = volume.attach()
    with connect(site, "reader") as reader:
        (seen,) = reader.volume(volume.id).connections
        assert seen == reader.connection(connection.id)
        assert (seen.path, seen.protocol) == (connection.path, "local")
        assert "device_path" not in str(seen.conn_info)
        for needs_keys in (lambda: seen.connection_info, seen.attach, seen.detach):
            with pytest.raises(cl.errors.PermissionDenied, match="hidden"):
                needs_keys()
    volume.detach()
    volume.delete()


def test_documents_with_keys_are_not_made(controller: cl.RemoteController) -> None:
    volume = controller.backend("files").create_volume(1)
    with pytest.raises(cl.errors.Unsupported, match="store dump"):
        assert volume.json
    volume.delete()
