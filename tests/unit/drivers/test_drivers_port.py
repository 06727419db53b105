"""The interface to drivers."""

from __future__ import annotations

from cinderlib.drivers import port, port_groups, port_replication

#: These are not calls of the driver.
NO_CALLS = {"info", "close"}


def test_every_method_has_a_task() -> None:
    """Isolated drivers refuse others, and the crash tests kill drivers in these methods only."""
    parts = port.Driver, port_groups.GroupingPort, port_replication.ReplicatingDriver
    methods = {name for part in parts for name in vars(part) if not name.startswith("_")}
    assert methods - NO_CALLS == set(port.TASKS)
    assert set(port.TASKS) >= port.READING
