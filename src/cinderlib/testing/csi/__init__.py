"""The conformance suite for CSI plug-ins, over gRPC: any plug-in, in any language.

It tests the error tables and the rules for repeated calls of the specification, with real mounts
and devices of this host. It also tests the protection of the host: paths with ``..``, links,
foreign mounts, parallel calls. It needs root, and a plug-in whose service Node runs on this host::

    from cinderlib.testing.csi import CSIConformance

    class TestMyPlugin(CSIConformance):
        parameters = {"pool": "fast"}

        def endpoint(self):
            return "unix:///run/my-plugin.sock"
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cinderlib.testing.csi.groups import GroupSnapshotTests
from cinderlib.testing.csi.hostile import HostileTests
from cinderlib.testing.csi.identity import IdentityTests
from cinderlib.testing.csi.node import NodeTests
from cinderlib.testing.csi.plugin import GIB, Plugin
from cinderlib.testing.csi.publishing import PublishTests
from cinderlib.testing.csi.snapshots import SnapshotTests
from cinderlib.testing.csi.volumes import VolumeTests, csi_needs


class CSIConformance:
    """The settings of the suite; subclasses set them, and inherit the tests of the other classes.

    Each test has its own volumes, and removes them. What remains fails the test.
    """

    #: Parameters of CreateVolume.
    parameters: Mapping[str, str] = {}
    #: Parameters of ControllerModifyVolume. The tests of changes are skipped without them.
    mutable_parameters: Mapping[str, str] = {}
    #: The size of volumes, in bytes. Tests create up to 32 at once, and extend some threefold.
    size: int = GIB
    #: The filesystems that the host of the node can use. Tests of others are skipped.
    filesystems: tuple[str, ...] = ("ext4", "xfs", "btrfs")
    #: The number of parallel calls.
    threads: int = 32
    #: How often to repeat a call that must be idempotent.
    repeats: int = 10
    #: Seconds for a call.
    timeout: float = 120.0
    #: Capabilities without which the tests of a class are skipped.
    needs: tuple[str, ...] = ()

    def endpoint(self) -> str:
        """The socket of the plug-in, ``unix:///PATH``."""
        raise NotImplementedError

    def controller_endpoint(self) -> str:
        """The socket of the service Controller, if it is another."""
        return self.endpoint()

    def node_endpoint(self) -> str:
        """The socket of the service Node, if it is another."""
        return self.endpoint()

    @pytest.fixture
    def csi(self) -> Iterator[Plugin]:
        """The plug-in."""
        with tempfile.TemporaryDirectory(prefix="csi-") as folder:
            plugin = Plugin(
                self.endpoint(),
                Path(folder),
                controller=self.controller_endpoint(),
                node=self.node_endpoint(),
                parameters=self.parameters,
                mutable_parameters=self.mutable_parameters,
                size=self.size,
                filesystems=self.filesystems,
                threads=self.threads,
                repeats=self.repeats,
                timeout=self.timeout,
            )
            try:
                plugin.wait_until_ready()
                csi_needs(plugin, *self.needs)
                yield plugin
                plugin.clean()
            finally:
                plugin.close()


__all__ = [
    "CSIConformance",
    "GroupSnapshotTests",
    "HostileTests",
    "IdentityTests",
    "NodeTests",
    "Plugin",
    "PublishTests",
    "SnapshotTests",
    "VolumeTests",
]
