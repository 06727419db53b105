"""Exports that the storage lost in a restart are restored from the store."""

from __future__ import annotations

from pathlib import Path

from api.conftest import connector
from api.test_connections import maps

import cinderlib as cl


def test_exports_that_the_array_lost_are_restored(array: cl.Backend, root: Path) -> None:
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


def test_existing_exports_are_kept(array: cl.Backend, root: Path) -> None:
    volume = array.create_volume(1)
    connection = volume.connect(connector("a"))
    assert array.restore_exports() == [volume]
    assert maps(root, volume) == {"exported": True, "hosts": ["a"]}
    connection.refresh()
    connection.disconnect()
    assert maps(root, volume) == {"exported": False, "hosts": []}
    assert array.restore_exports() == []
