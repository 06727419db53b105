"""Exports that the storage lost, because it was restarted: made again as they are recorded."""

from __future__ import annotations

from pathlib import Path

from api.conftest import connector
from api.test_connections import maps

import cinderlib as cl


def test_what_the_array_forgot_is_exported_and_mapped_again(array: cl.Backend, root: Path) -> None:
    shared = array.create_volume(1, multiattach=True)
    connections = [shared.connect(connector(host), attached_host=host) for host in "ab"]
    array.create_volume(1)
    for file in root.glob(".*.maps"):
        file.unlink()
    assert maps(root, shared) == {"exported": False, "hosts": []}

    assert array.restore_exports() == [shared]
    assert maps(root, shared) == {"exported": True, "hosts": ["a", "b"]}
    assert shared.connections == connections
    assert [c.conn_info for c in shared.connections] == [c.conn_info for c in connections]


def test_what_is_exported_stays(array: cl.Backend, root: Path) -> None:
    volume = array.create_volume(1)
    connection = volume.connect(connector("a"))
    assert array.restore_exports() == [volume]
    assert maps(root, volume) == {"exported": True, "hosts": ["a"]}
    connection.refresh()
    connection.disconnect()
    assert maps(root, volume) == {"exported": False, "hosts": []}
    assert array.restore_exports() == []
