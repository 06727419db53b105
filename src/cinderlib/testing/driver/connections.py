"""Tests of connections to one host and to several."""

from __future__ import annotations

from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.driver.base import DriverTests, needs


class ConnectionTests(DriverTests):
    """Each host has one connection, and none disconnects another host."""

    def test_repeated_connect_returns_the_same_connection(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        connector = self.connector(backend)
        first, second = volume.connect(connector), volume.connect(connector)
        assert first.id == second.id
        assert set(first.connection_info["conn"]) >= {"driver_volume_type", "data"}
        volume.disconnect(first)
        volume.disconnect(second)
        assert volume.connections == []
        assert (volume.status, volume.attach_status) == ("available", "detached")

    def test_connected_volume_is_not_deleted(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        connection = volume.connect(self.connector(backend))
        with pytest.raises(errors.InvalidVolume):
            volume.delete()
        volume.disconnect(connection)
        volume.delete()

    @pytest.mark.parametrize("connector", [{}, None, "host", {"host": ""}])
    def test_connector_without_a_host_is_refused(self, backend: Any, connector: Any) -> None:
        volume = backend.create_volume(self.size)
        with pytest.raises(errors.InvalidInput):
            volume.connect(connector)
        assert volume.connections == []

    def test_second_host_is_refused_without_multiattach(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        volume.connect(self.connector(backend))
        with pytest.raises((errors.InvalidVolume, errors.InvalidConnector)):
            volume.connect(self._other_host(backend))
        assert len(volume.connections) == 1

    @needs("live_migration")
    @pytest.mark.parametrize("disconnected", ["source", "destination"])
    def test_volume_migrates_to_a_second_host(self, backend: Any, disconnected: str) -> None:
        volume = backend.create_volume(self.size)
        source = volume.connect(self.connector(backend))
        destination = volume.connect(self._other_host(backend), migrating=True)
        assert source.id != destination.id
        first, second = (source, destination) if disconnected == "source" else (destination, source)
        volume.disconnect(first)
        assert [c.id for c in volume.connections] == [second.id]
        assert volume.status == "in-use"
        # The other host is still mapped, and can be disconnected as usual.
        again = volume.connect(second.connector_info)
        assert (again.id, again.changed) == (second.id, False)
        volume.disconnect(second)
        assert (volume.status, volume.connections) == ("available", [])

    @needs("multiattach")
    def test_disconnect_of_one_host_does_not_affect_the_other(self, backend: Any) -> None:
        volume = backend.create_volume(self.size, multiattach=True)
        first, second = (
            volume.connect(self.connector(backend)),
            volume.connect(self._other_host(backend)),
        )
        assert first.id != second.id
        volume.disconnect(first)
        assert [c.id for c in volume.connections] == [second.id]
        assert volume.status == "in-use"
        volume.disconnect(second)
        assert volume.status == "available"
