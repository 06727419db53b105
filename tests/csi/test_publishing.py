"""ControllerPublishVolume: the ID of the node that it stores, and its cost."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest
from in_process import Calls

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import node_identity
from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import mount


def test_the_list_has_the_id_that_the_node_has_now(tmp_path: pathlib.Path) -> None:
    calls = Calls(tmp_path)
    connector = cl.Node(state_path=tmp_path / "node").connector_properties("local")
    volume = calls.create("a")
    for properties in (connector, connector, {**connector, "uuid": "another"}):
        node_id = node_identity.encode(properties)
        request = m.ControllerPublishVolumeRequest(
            volume_id=volume.id, node_id=node_id, volume_capability=mount()
        )
        calls.service.controller_publish_volume(request)
        (entry,) = calls.service.list_volumes(m.ListVolumesRequest()).entries
        assert list(entry.status.published_node_ids) == [node_id]
    found = [each.operation for each in calls.controller.history(volume)]
    # The first call stores everything with one operation.
    assert found.count("connection.set") <= 1
    calls.controller.close()


def test_a_publish_reads_only_the_volume_in_addition_to_the_connect(
    tmp_path: pathlib.Path, statements: list[str]
) -> None:
    calls = Calls(
        tmp_path, store={"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    )
    connector = cl.Node(state_path=tmp_path / "node").connector_properties("local")
    request = m.ControllerPublishVolumeRequest(
        volume_id=calls.create("a").id,
        node_id=node_identity.encode(connector),
        volume_capability=mount(),
    )
    other = calls.create("b")

    def count(work: Callable[[], object]) -> int:
        statements.clear()
        work()
        return len(statements)

    published = count(lambda: calls.service.controller_publish_volume(request))
    connected = count(lambda: other.connect(connector))
    assert published == connected + 1
    calls.controller.close()


def test_the_option_for_live_migrations_does_not_let_two_nodes_write(
    tmp_path: pathlib.Path,
) -> None:
    options = {"volume_driver": "api.shared_array.SharedArray", "live_migration": True}
    calls = Calls(tmp_path, options=options)
    volume = calls.create("a")
    requests = [
        m.ControllerPublishVolumeRequest(
            volume_id=volume.id,
            node_id=node_identity.encode(
                {"host": name, "initiator": f"iqn.2026-11.org.example:{name}"}
            ),
            volume_capability=mount(),
        )
        for name in ("one", "two")
    ]
    calls.service.controller_publish_volume(requests[0])
    with pytest.raises(errors.InvalidVolume, match="connected to one") as caught:
        calls.service.controller_publish_volume(requests[1])
    assert caught.value.code == "FAILED_PRECONDITION"
    assert len(volume.connections) == 1
    calls.service.controller_publish_volume(requests[0])
    calls.controller.close()
