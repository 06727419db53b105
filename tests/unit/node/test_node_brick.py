"""os-brick in this process: its properties, its errors, its mounts."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

import cinderlib as cl
import cinderlib.node.osbrick as osbrick
from cinderlib import errors
from cinderlib.node import Node, get_connector_properties, masking, properties, protocols
from cinderlib.node.base import HostSettings
from cinderlib.node.brick import BrickConnector
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.state import State

PASSWORD = "chap-password-of-the-volume"
ISCSI = {
    "driver_volume_type": "iscsi",
    "data": {
        "target_portal": "192.0.2.1:3260",
        "target_iqn": "iqn.2010-10.org.openstack:v",
        "target_lun": 1,
        "auth_method": "CHAP",
        "auth_username": "user",
        "auth_password": PASSWORD,
    },
}


@pytest.mark.skipif(os.geteuid() != 0, reason="os-brick asks the system as root (run as root)")
def test_the_properties_come_from_os_brick() -> None:
    osbrick.prepare("sudo")
    reference = osbrick.connector_module().get_connector_properties(
        "sudo", "192.0.2.7", True, False, host="a-host"
    )
    ours = get_connector_properties("sudo", "192.0.2.7", True, False, "a-host")
    assert ours == reference
    assert ours["ip"] == "192.0.2.7"
    assert ours["multipath"] is True


_IN_A_THREAD = """
from concurrent.futures import ThreadPoolExecutor
from cinderlib.node import osbrick
with ThreadPoolExecutor() as threads:
    for protocol in ("iscsi", "fibre_channel"):
        threads.submit(osbrick.connector_class, protocol).result()
    threads.submit(osbrick.connector_module).result()
"""


@pytest.mark.slow
def test_a_thread_that_loads_os_brick_ends() -> None:
    """The program waits for it, for example a service that stops."""
    subprocess.run([sys.executable, "-c", _IN_A_THREAD], check=True, timeout=240)


def test_properties_are_read_again_after_their_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "initiatorname.iscsi"
    file.write_text("## made for this host\nInitiatorName=iqn.2024-01.org.example:one\n")
    monkeypatch.setattr(properties, "_INITIATOR_FILE", file)
    monkeypatch.setattr(properties, "_SOURCES", (file,))
    node = Node(state_path=tmp_path / "state", host="a-host", my_ip="192.0.2.9")
    first = node.connector_properties("local")
    assert first["initiator"] == "iqn.2024-01.org.example:one"
    first["host"] = "changed by the caller"
    assert node.connector_properties("local")["host"] == "a-host"
    file.write_text("InitiatorName=iqn.2024-01.org.example:two\n")
    assert node.connector_properties("local")["initiator"] == "iqn.2024-01.org.example:two"


@pytest.mark.skipif(os.geteuid() != 0, reason="os-brick asks the system as root (run as root)")
def test_a_node_registers_itself(tmp_path: Path) -> None:
    with cl.Controller(state_path=tmp_path) as controller:
        Node(state_path=tmp_path, my_ip="192.0.2.9").register(controller, "node-1")
        assert controller.node("node-1")["ip"] == "192.0.2.9"


def test_an_error_of_os_brick_shows_the_step_but_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def __init__(self, *args: Any, **named: Any) -> None:
            assert named["use_multipath"] is False
            assert named["device_scan_attempts"] == 7

        def connect_volume(self, data: dict[str, Any]) -> None:
            try:
                raise ValueError(f"iscsiadm -v {data['auth_password']}")
            except ValueError as exc:
                raise RuntimeError(f"failed: {exc}") from exc

        def disconnect_volume(self, *args: Any, **named: Any) -> None:
            pass

    monkeypatch.setattr(osbrick, "connector_class", lambda protocol: Failing)
    node = Node(state_path=tmp_path / "state")
    with pytest.raises(errors.NodeError, match="could not attach over iscsi") as raised:
        node.attach({"conn": ISCSI, "scan_attempts": 7})
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))
    assert node.leftovers() == []


def test_the_type_of_a_key_manager_is_not_a_secret() -> None:
    data = {"secret_type": "ceph", "secret_uuid": "b8ad", "keyring": "[client.x]\nkey = AQDd/Km=="}
    hidden = masking.secrets(data)
    assert masking.mask("cannot open /etc/ceph/ceph.conf of b8ad", hidden).endswith(
        "ceph.conf of b8ad"
    )
    assert "AQDd" not in masking.mask(f"in {data['keyring']}", hidden)


SHARE = {"export": "192.0.2.1:/share", "name": "volume-1"}
NVME = {"nqn": "nqn.x", "target_portal": "192.0.2.1", "target_port": 4420, "transport_type": "tcp"}
CONNECTORS: list[tuple[str, dict[str, Any], str]] = [
    ("fibre_channel", {"target_wwn": "20210002AC00383D", "target_lun": 1}, "FibreChannelConnector"),
    ("glusterfs", SHARE, "RemoteFsConnector"),
    ("gpfs", {"device_path": "/gpfs/volume"}, "GPFSConnector"),
    ("iscsi", ISCSI["data"], "ISCSIConnector"),
    ("iser", ISCSI["data"], "ISCSIConnector"),
    ("lightos", {"uuid": "1"}, "LightOSConnector"),
    ("nfs", SHARE, "RemoteFsConnector"),
    ("nvmeof", NVME, "NVMeOFConnector"),
    ("rbd", {"name": "p/i", "hosts": ["192.0.2.1"], "ports": [6789]}, "RBDConnector"),
    ("scaleio", {"serverIP": "192.0.2.1"}, "ScaleIOConnector"),
    ("vzstorage", SHARE, "RemoteFsConnector"),
]


@pytest.mark.parametrize(("protocol", "data", "name"), CONNECTORS)
def test_every_protocol_uses_its_os_brick_connector(
    protocol: str, data: dict[str, Any], name: str, tmp_path: Path
) -> None:
    conn = {"driver_volume_type": protocol, "data": data}
    document = ConnectionDocument({"conn": conn, "use_multipath": True, "scan_attempts": 9})
    settings = HostSettings(root_helper="sudo", state=State(tmp_path / "state"))
    connector = protocols.connector(document, settings)
    assert isinstance(connector, BrickConnector)
    made = connector.connector()
    assert type(made).__name__.startswith(name)
    assert getattr(made, "use_multipath", True) is True
    if protocol != "nvmeof":  # os-brick's own error message is misspelt.
        assert made.device_scan_attempts == 9


def test_the_error_without_open_iscsi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    node = Node(state_path=tmp_path / "state")
    with pytest.raises(errors.NodeError) as raised:
        node.attach({"conn": ISCSI, "scan_attempts": 1})
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount (run as root)")
class TestShares:
    """A share that is bind-mounted, so that this host's kernel does not need NFS."""

    @pytest.fixture
    def share(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        share = tmp_path / "share"
        share.mkdir()
        for name in ("one", "two"):
            (share / name).write_bytes(b"\0" * 4096)
        programs = tmp_path / "programs"
        programs.mkdir()
        mount = programs / "mount"
        mount.write_text(f'#!/bin/sh\nfor to; do :; done\nexec /bin/mount --bind {share} "$to"\n')
        mount.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        return share

    @staticmethod
    def _connection(name: str, **fields: Any) -> dict[str, Any]:
        data = {"export": "192.0.2.1:/share", "name": name, "options": "-o vers=4.2"}
        return {"conn": {"driver_volume_type": "nfs", "data": data}, **fields}

    def test_volumes_on_a_share_use_one_mount_until_the_last_detach(
        self, node: Node, share: Path, tmp_path: Path
    ) -> None:
        one, two = self._connection("one"), self._connection("two", id="two")
        first, second = node.attach(one), node.attach(two)
        mount = os.path.dirname(first.path)
        assert os.path.dirname(second.path) == mount
        with open(first.path, "r+b") as file:
            file.write(b"hello")
        assert (share / "one").read_bytes().startswith(b"hello")
        node.detach(one)
        assert os.listdir(mount)
        Node(state_path=tmp_path / "state").detach("two")
        assert not os.path.exists(mount)

    def test_a_volume_that_is_not_on_the_share_leaves_no_mount(
        self, node: Node, share: Path
    ) -> None:
        with pytest.raises(errors.DeviceUnavailable, match="no file missing"):
            node.attach(self._connection("missing"))
        mounts = Path("/proc/self/mountinfo").read_text()
        assert "state-mounts" not in mounts

    def test_a_share_in_use_is_not_unmounted(self, node: Node, share: Path) -> None:
        connection = self._connection("one")
        path = node.attach(connection).path
        with open(path, "rb"), pytest.raises(errors.NodeError, match="busy"):
            node.detach(connection)
        assert len(node.leftovers()) == 1
        node.detach(connection)
        assert not os.path.exists(path)
