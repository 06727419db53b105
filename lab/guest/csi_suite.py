"""The conformance suite of the CSI plug-in, run on a node: the plug-in has another mount namespace,
and the controller is on another machine."""

import os

import pytest

from cinderlib.testing.csi import (
    CSIConformance,
    HostileTests,
    IdentityTests,
    NodeTests,
    PublishTests,
    SnapshotTests,
    VolumeTests,
)


class _InTheLab(CSIConformance):
    parameters = {"backend": os.environ["BACKEND"]}
    filesystems = ("ext4", "xfs")
    # The processors are emulated.
    threads = 4
    repeats = 3
    timeout = 600.0

    def endpoint(self):
        return "unix:///run/csi/controller.sock"

    def node_endpoint(self):
        return "unix:///run/csi/node.sock"


class TestIdentity(_InTheLab, IdentityTests):
    pass


class TestVolumes(_InTheLab, VolumeTests):
    pass


class TestPublish(_InTheLab, PublishTests):
    pass


class TestSnapshots(_InTheLab, SnapshotTests):
    pass


class TestNode(_InTheLab, NodeTests):
    pass


class TestHostile(_InTheLab, HostileTests):
    pass


if __name__ == "__main__":
    import sys

    # The folder with this file cannot be written.
    raise SystemExit(pytest.main([__file__, "-p", "no:cacheprovider", *sys.argv[1:]]))
