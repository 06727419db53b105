"""Encrypted volumes through the plug-in: their classes, and how a node opens them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import luks_host
import pytest
from in_process import Calls

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi.node import mounts
from cinderlib.csi.node.service import NodeService
from cinderlib.csi.wire import messages as m
from cinderlib.persistence import generate_key
from cinderlib.records import VolumeRecord
from cinderlib.testing.csi.plugin import GIB, mount

CLASS = {"type": "secret"}
LUKS = {"provider": "luks2", "control_location": "front-end"}
MORE = {"spec.test:tier": "gold"}


def _detach(folder: pathlib.Path) -> None:
    """Detach what a failed test left."""
    for each in reversed(mounts.every()):
        if each.path.startswith(str(folder)):
            subprocess.run(["umount", each.path], check=False)
    luks_host.remove_devices(folder / "luks")
    for file in folder.glob("volumes/*"):
        found = subprocess.check_output(["losetup", "--noheadings", "-O", "NAME", "-j", file])
        for device in found.split():
            subprocess.run(["losetup", "--detach", device], check=False)


@pytest.fixture
def calls(tmp_path: pathlib.Path) -> Iterator[Calls]:
    calls = Calls(tmp_path, store={"encryption_keys": generate_key()}, protocols=["local"])
    calls.controller.create_type("secret", encryption=LUKS)
    yield calls
    with contextlib.suppress(FileNotFoundError):
        _detach(tmp_path)
    calls.controller.close()


def _key(calls: Calls, volume: cl.Volume) -> str:
    record = calls.controller.store.get(VolumeRecord, volume.id)
    assert record is not None
    assert record.encryption_key is not None
    return str(record.encryption_key.reveal())


@pytest.mark.parametrize("mutable", [{}, MORE], ids=["class", "class and attributes"])
def test_a_class_encrypts_its_volumes(calls: Calls, mutable: dict[str, str]) -> None:
    volume = calls.create("a", CLASS, mutable)
    assert volume.encryption == LUKS
    assert calls.create("a", CLASS, mutable).id == volume.id
    with pytest.raises(errors.AlreadyExists, match="its encryption differs"):
        calls.create("a", {}, mutable)
    calls.create("b", {}, mutable)
    with pytest.raises(errors.AlreadyExists, match=r"its type is none|its encryption differs"):
        calls.create("b", CLASS, mutable)


@pytest.mark.parametrize("parameters", [{}, MORE, CLASS], ids=["none", "specs", "type"])
@pytest.mark.parametrize("mutable", [{}, {"spec.test:copies": "2"}], ids=["none", "attributes"])
def test_a_copy_is_encrypted_like_its_source(
    calls: Calls, parameters: dict[str, str], mutable: dict[str, str]
) -> None:
    source = calls.create("a", CLASS)
    copy = calls.create("b", parameters, mutable, source=source.id)
    assert copy.encryption == LUKS
    assert _key(calls, copy) == _key(calls, source)
    assert calls.create("b", parameters, mutable, source=source.id).id == copy.id


def test_attributes_do_not_change_the_encryption(calls: Calls) -> None:
    volume = calls.modify(calls.create("a", CLASS), MORE)
    assert (volume.encryption, dict(volume.extra_specs)) == (LUKS, {"test:tier": "gold"})
    calls.controller.create_type("clear")
    with pytest.raises(errors.InvalidInput, match="is not encrypted again"):
        calls.modify(volume, {"type": "clear"})


def test_a_store_without_keys_is_refused(tmp_path: pathlib.Path) -> None:
    calls = Calls(tmp_path)
    calls.controller.create_type("secret", encryption=LUKS)
    with pytest.raises(errors.InvalidPersistence, match="generate-key") as caught:
        calls.create("a", CLASS)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert list(calls.controller.volumes()) == []
    calls.controller.close()


class Host:
    """A node that can open encrypted volumes.

    :param calls: the controller.
    """

    def __init__(self, calls: Calls, folder: pathlib.Path) -> None:
        self._calls, self._folder = calls, folder
        self.staging = folder / "staging"
        self.staging.mkdir()
        self.restart()

    def restart(self) -> None:
        node = cl.Node(state_path=self._folder / "state" / "node")
        self.node = NodeService(self._calls.settings, node)

    def publish(self, volume: cl.Volume) -> dict[str, str]:
        answer = self._calls.service.controller_publish_volume(
            m.ControllerPublishVolumeRequest(
                volume_id=volume.id, node_id=self.node.node_id, volume_capability=mount()
            )
        )
        return dict(answer.publish_context)

    def stage(self, volume: cl.Volume, context: dict[str, str], filesystem: str) -> None:
        request = m.NodeStageVolumeRequest(
            volume_id=volume.id,
            publish_context=context,
            staging_target_path=str(self.staging),
            volume_capability=mount(filesystem=filesystem),
        )
        self.node.node_stage_volume(request)

    def unstage(self, volume: cl.Volume) -> None:
        request = m.NodeUnstageVolumeRequest(
            volume_id=volume.id, staging_target_path=str(self.staging)
        )
        self.node.node_unstage_volume(request)

    def expand(self, volume: cl.Volume, size: int) -> int:
        request = m.NodeExpandVolumeRequest(
            volume_id=volume.id,
            volume_path=str(self.staging),
            capacity_range=m.CapacityRange(required_bytes=size),
        )
        answer: Any = self.node.node_expand_volume(request)
        return int(answer.capacity_bytes)


@pytest.fixture
def host(calls: Calls, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    if luks_host.missing():
        pytest.skip(luks_host.missing())
    path = luks_host.install(tmp_path / "luks", monkeypatch.setattr, devices=True)
    monkeypatch.setenv("PATH", path)
    return Host(calls, tmp_path)


def test_only_the_node_can_read_the_key(calls: Calls, host: Host) -> None:
    volume = calls.create("a", CLASS)
    (sealed,) = host.publish(volume).values()
    key = _key(calls, volume)
    assert key not in sealed
    connector = host.node.connector()
    document = calls.settings.seal.open(sealed, volume.id, connector["host"])
    assert document["conn"]["encryption"]["key"] == key
    with pytest.raises(errors.InvalidDocument, match="not for volume"):
        calls.settings.seal.open(sealed, volume.id, "another")


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("filesystem", ["ext4", "xfs"])
def test_a_node_opens_it_and_keeps_its_data(
    calls: Calls, host: Host, tmp_path: pathlib.Path, filesystem: str
) -> None:
    volume = calls.create("a", CLASS)
    context = host.publish(volume)
    for _ in range(3):
        host.stage(volume, context, filesystem)
    file = host.staging / "file"
    file.write_text("data")
    host.restart()
    calls.service.controller_expand_volume(
        m.ControllerExpandVolumeRequest(
            volume_id=volume.id, capacity_range=m.CapacityRange(required_bytes=2 * GIB)
        )
    )
    if filesystem == "xfs":  # ext4 needs CAP_SYS_RESOURCE
        assert host.expand(volume, 2 * GIB) == 2 * GIB
        assert _size(host.staging) > 1.8 * GIB
        with pytest.raises(errors.OutOfRange):
            host.expand(volume, 3 * GIB)
    for _ in range(2):
        host.unstage(volume)
    assert not list((tmp_path / "luks" / "devices").iterdir())
    host.stage(volume, host.publish(volume), filesystem)
    assert file.read_text() == "data"
    assert _size(host.staging) > 1.8 * GIB
    key = _key(calls, volume).encode()
    state = [each for each in (tmp_path / "state").rglob("*") if each.is_file()]
    assert state
    assert not any(key in each.read_bytes() for each in state)
    host.unstage(volume)
    calls.service.controller_unpublish_volume(
        m.ControllerUnpublishVolumeRequest(volume_id=volume.id, node_id=host.node.node_id)
    )
    calls.service.delete_volume(m.DeleteVolumeRequest(volume_id=volume.id))
    assert luks_host.verbs(tmp_path / "luks").count("--batch-mode") == 1


def _size(path: pathlib.Path) -> int:
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize
