"""The conformance suite for drivers, which tests a driver on real storage.

The suite uses the public API and pytest. The author of a driver writes one short class::

    from cinderlib.testing import DriverConformance

    class TestMyDriver(DriverConformance):
        supports = frozenset({"attach", "block_device"})

        def backend_options(self, tmp_path):
            return {"volume_driver": "my_package.MyDriver", "san_ip": "192.0.2.1"}

The suite reads from the backend which operations the driver implements.
:attr:`~DriverConformance.supports` lists the other capabilities. Tests that need a capability that
the driver does not have are skipped. Each test uses its own controller and backend, removes its
resources at the end, and fails if any of them remain.
"""

from cinderlib.testing.driver.base import CAPABILITIES, REPORTED, needs
from cinderlib.testing.driver.connections import ConnectionTests
from cinderlib.testing.driver.copies import CopyTests
from cinderlib.testing.driver.data import DataTests
from cinderlib.testing.driver.groups import GroupTests
from cinderlib.testing.driver.managed import ManageTests
from cinderlib.testing.driver.migration import MigrationTests
from cinderlib.testing.driver.replication import ReplicationTests
from cinderlib.testing.driver.snapshot_access import SnapshotAccessTests
from cinderlib.testing.driver.streams import StreamTests
from cinderlib.testing.driver.volumes import VolumeTests

__all__ = ["CAPABILITIES", "REPORTED", "DriverConformance", "needs"]


class DriverConformance(
    VolumeTests,
    DataTests,
    CopyTests,
    ConnectionTests,
    ManageTests,
    MigrationTests,
    StreamTests,
    SnapshotAccessTests,
    GroupTests,
    ReplicationTests,
):
    """The suite. A subclass must define :meth:`backend_options` and :attr:`supports`."""
