"""The part of the conformance suite for controllers on a Ceph cluster. The nodes of the lab run the
part for nodes, because they have the kernel's RBD client. The driver has no group snapshots."""

from __future__ import annotations

from collections.abc import Iterator

import plugins
import pytest
import servers.ceph

from cinderlib.testing.csi import (
    CSIConformance,
    IdentityTests,
    PublishTests,
    SnapshotTests,
    VolumeTests,
)

pytestmark = pytest.mark.root
_BACKEND = """
[backends.ceph]
volume_driver = "rbd"
rbd_pool = "volumes"
rbd_user = "cinder"
rbd_ceph_conf = "{cluster.configuration}"
rbd_keyring_conf = "{cluster.keyring}"
"""


@pytest.fixture(scope="module")
def plugin(
    ceph: servers.ceph.Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[plugins.Process]:
    backend = _BACKEND.format(cluster=ceph)
    with plugins.running(tmp_path_factory.mktemp("csi"), backend=backend, protocol="rbd") as each:
        yield each
        assert ceph.images() == []
        assert "Traceback" not in each.log


class _OnRBD(CSIConformance):
    fast = frozenset[str]()

    @pytest.fixture(autouse=True)
    def _start(self, plugin: plugins.Process) -> None:
        self._plugin = plugin

    def endpoint(self) -> str:
        return self._plugin.endpoint


class TestIdentity(_OnRBD, IdentityTests):
    pass


class TestVolumes(_OnRBD, VolumeTests):
    pass


class TestPublish(_OnRBD, PublishTests):
    pass


class TestSnapshots(_OnRBD, SnapshotTests):
    pass
