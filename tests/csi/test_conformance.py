"""The conformance suite on this project's plug-in, with the embedded driver and real mounts."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Iterator, Mapping

import plugins
import pytest

from cinderlib.testing.csi import (
    CSIConformance,
    GroupSnapshotTests,
    HostileTests,
    IdentityTests,
    NodeTests,
    PublishTests,
    SnapshotTests,
    VolumeTests,
)

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[plugins.Process]:
    # The suite mounts below this folder, and other processes mount elsewhere at the same time.
    mounts = tmp_path_factory.mktemp("mounts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(mounts))
        with plugins.running(tmp_path_factory.mktemp("csi")) as process:
            yield process
            assert not list((process.folder / "volumes").rglob("volume-*"))
            assert str(mounts) not in pathlib.Path("/proc/self/mountinfo").read_text()
            assert "Traceback" not in process.log


class _OwnPlugin(CSIConformance):
    mutable_parameters: Mapping[str, str] = {"spec.test:tier": "gold"}

    @pytest.fixture(autouse=True)
    def _start(self, plugin: plugins.Process) -> None:
        self._plugin = plugin

    def endpoint(self) -> str:
        return self._plugin.endpoint


class TestIdentity(_OwnPlugin, IdentityTests):
    fast = frozenset[str]()


class TestVolumes(_OwnPlugin, VolumeTests):
    fast = frozenset[str]()


class TestPublish(_OwnPlugin, PublishTests):
    fast = frozenset[str]()


class TestSnapshots(_OwnPlugin, SnapshotTests):
    fast = frozenset[str]()


class TestGroupSnapshots(_OwnPlugin, GroupSnapshotTests):
    fast = frozenset[str]()


class TestNode(_OwnPlugin, NodeTests):
    fast = frozenset[str]()


class TestHostile(_OwnPlugin, HostileTests):
    fast = frozenset[str]()
