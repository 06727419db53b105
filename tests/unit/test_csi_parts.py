"""Parts of the CSI plug-in: encryption, IDs of nodes, parameters, capabilities, messages."""

from __future__ import annotations

import base64
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinderlib import errors
from cinderlib.csi import capabilities, ids, node_identity, settings
from cinderlib.csi.controller import parameters, topology
from cinderlib.csi.controller.parameters import Specs
from cinderlib.csi.node import staging
from cinderlib.csi.node.devices import Device
from cinderlib.csi.sealing import Seal
from cinderlib.csi.server import endpoint_path
from cinderlib.csi.wire import messages as m

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


DOCUMENT = {"conn": {"driver_volume_type": "iscsi", "data": {"auth_password": "very secret"}}}


def test_a_sealed_document_is_unreadable_and_bound_to_volume_and_host() -> None:
    seal = Seal(_key())
    sealed = seal.seal(DOCUMENT, "volume", "host")
    assert seal.open(sealed, "volume", "host") == DOCUMENT
    assert "secret" not in sealed
    assert sealed != seal.seal(DOCUMENT, "volume", "host")
    for volume, host in (("another", "host"), ("volume", "another"), ("volumeh", "ost")):
        with pytest.raises(errors.InvalidDocument, match="damaged, or not for volume"):
            seal.open(sealed, volume, host)


def test_keys_are_rotated_without_an_interruption() -> None:
    old, new = _key(), _key()
    before, nodes, after = Seal(old), Seal([old, new]), Seal(f"{new}\n{old}\n")
    assert nodes.open(before.seal(DOCUMENT, "v", "h"), "v", "h") == DOCUMENT
    assert nodes.open(after.seal(DOCUMENT, "v", "h"), "v", "h") == DOCUMENT
    with pytest.raises(errors.InvalidDocument, match="new keys go to the nodes first"):
        before.open(after.seal(DOCUMENT, "v", "h"), "v", "h")


@pytest.mark.parametrize("key", ["", "short", "x" * 44, base64.b64encode(b"x" * 31).decode()])
def test_a_wrong_key_is_reported_without_its_value(key: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="openssl rand") as caught:
        Seal(key)
    assert not key or key not in str(caught.value)


@given(st.text(max_size=200))
def test_a_text_that_is_not_sealed_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidDocument):
        SEAL.open(text, "v", "h")


SEAL = Seal(_key())

CONNECTOR = {
    "platform": "x86_64",
    "os_type": "linux",
    "ip": "192.0.2.17",
    "host": "worker-17.cluster.example.com",
    "multipath": True,
    "enforce_multipath": True,
    "initiator": "iqn.1994-05.com.redhat:3a9d4cf24a1b",
    "nqn": "nqn.2014-08.org.nvmexpress:uuid:cee8085c-7640-42de-80c8-cf884eee8de1",
    "nvme_hostid": "deb47160-b7c9-4751-a2fd-536b89a088b7",
    "system uuid": "4c4c4544-0042-3510-8054-b6c04f4d4e32",
    "do_local_attach": False,
    "nvme_native_multipath": False,
    "found_dsc": "",
    "wwpns": ["21000024ff30441c", "21000024ff30441d"],
    "wwnns": ["20000024ff30441c", "20000024ff30441d"],
}


def test_the_id_of_a_node_has_what_drivers_need() -> None:
    id = node_identity.encode({**CONNECTOR, "host_ips": ["192.0.2.17", "fe80::1"]})
    assert len(id) < 200
    assert id.startswith("worker-17.cluster.example.com/")
    assert node_identity.decode(id) == CONNECTOR


def test_an_id_that_would_be_too_long_is_the_name() -> None:
    ports = [os.urandom(8).hex() for _ in range(24)]
    connector = {**CONNECTOR, "wwpns": ports}
    assert node_identity.encode(connector) == CONNECTOR["host"]
    assert node_identity.decode(str(CONNECTOR["host"])) is None


@given(st.text(max_size=300))
def test_an_id_of_another_plugin_is_unknown(text: str) -> None:
    found = node_identity.decode(text)
    assert found is None or found["host"] == text.partition("/")[0]


@given(
    st.fixed_dictionaries(
        {"host": st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True)},
        optional={
            "ip": st.ip_addresses().map(str),
            "initiator": st.text(max_size=30),
            "wwpns": st.lists(st.from_regex("[0-9a-f]{16}", fullmatch=True), max_size=3),
            "nvme_hostid": st.uuids().map(str),
            "multipath": st.booleans(),
        },
    )
)
def test_an_id_keeps_every_value(connector: dict[str, object]) -> None:
    found = node_identity.decode(node_identity.encode(connector))
    assert found is not None
    assert {key: found[key] for key in connector} == connector


def test_ids_depend_on_driver_name_and_kind() -> None:
    found = {
        ids.volume("a", "x"),
        ids.volume("b", "x"),
        ids.volume("a", "y"),
        ids.snapshot("a", "x"),
        ids.connection("a", "x"),
    }
    assert len(found) == 5
    # A change of the rule would lose every volume of an update.
    assert ids.volume("csi.cinderlib", "pvc-1") == "0c151d99-62aa-546f-b2e3-a95db22661e1"


def test_parameters_with_a_suggestion() -> None:
    with pytest.raises(errors.InvalidInput, match="did you mean 'backend'"):
        parameters.of_volume({"backen": "x"})
    found = parameters.of_volume(
        {"backend": "a", "spec.x:y": "1", "qos.iops": "5", "csi.storage.k8s.io/pvc/name": "claim"}
    )
    assert (found.backend, found.specs) == ("a", Specs(None, {"x:y": "1"}, {"iops": "5"}))
    with pytest.raises(errors.InvalidInput, match="either the parameter type or parameters"):
        parameters.of_volume({"type": "gold", "spec.x:y": "1"})
    with pytest.raises(errors.InvalidInput, match="Unknown parameter 'backend'"):
        parameters.of_attributes({"backend": "x"})


def test_several_writers_of_a_filesystem_are_refused() -> None:
    capability = m.VolumeCapability()
    capability.mount.SetInParent()
    capability.access_mode.mode = capabilities.MODE.MULTI_NODE_MULTI_WRITER
    with pytest.raises(errors.InvalidInput, match="lose data"):
        capabilities.of(capability)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"keys": _key(), "name": "-x"}, "name cannot be"),
        ({}, "keys is missing"),
        ({"keys": _key(), "threads": 0}, "threads must be at least 1"),
        ({"keys": _key(), "topology": {"a b": "c"}}, "not a valid label"),
    ],
)
def test_wrong_settings(table: dict[str, object], message: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=message):
        settings.read(table, "all")


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:1", "unix:relative", "unix:///" + "x" * 120])
def test_a_wrong_endpoint(endpoint: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        endpoint_path(endpoint)


@pytest.mark.slow
def test_the_compiled_messages_are_those_of_the_source(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("grpc_tools")
    script = ROOT / "scripts/csi-wire"
    assert shutil.which("sh")
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([script, tmp_path], check=True, env=environment)
    wire = ROOT / "src/cinderlib/csi/wire"
    for name in ("csi.binpb", "messages.pyi"):
        assert (tmp_path / name).read_bytes() == (wire / name).read_bytes()


def _request(*places: dict[str, str]) -> Any:
    request = m.CreateVolumeRequest()
    for place in places:
        request.accessibility_requirements.requisite.add().segments.update(place)
        request.accessibility_requirements.preferred.add().segments.update(place)
    return request


def test_a_volume_is_created_where_its_nodes_reach_it() -> None:
    table = {
        "keys": _key(),
        "backend_topology": {"east": [{"zone": "e"}], "west": [{"zone": "w"}, {"zone": "n"}]},
    }
    chosen = settings.read(table, "all")
    zone = f"{chosen.name}/zone"
    backends = ("east", "west", "everywhere")
    choose = topology.choose
    assert choose(chosen, backends, None, _request({zone: "n"})) == "west"
    assert choose(chosen, ("east", "west"), None, _request({zone: "w"}, {zone: "e"})) == "west"
    assert choose(chosen, backends, "everywhere", _request({zone: "x"})) == "everywhere"
    assert choose(chosen, backends, "east", _request()) == "east"
    with pytest.raises(errors.CinderlibError, match="No backend") as caught:
        choose(chosen, backends, "east", _request({zone: "w"}))
    assert caught.value.code == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("path", ["", "file"])
def test_a_volume_without_a_block_device_is_not_staged(path: str, tmp_path: pathlib.Path) -> None:
    """Such as a file on an NFS share, on which mkfs would work."""
    if path:
        path = str(tmp_path / path)
        pathlib.Path(path).write_bytes(bytes(1 << 20))
    device = Device("v", path, path, None, read_only=False, healthy=True, document={})
    wanted = capabilities.Capability(block=False, mode=1, filesystem="ext4")
    with pytest.raises(errors.Unsupported, match="no block device on this node"):
        staging.stage(device, str(tmp_path / "stage"), wanted, staging.Parameters())
    assert not path or pathlib.Path(path).read_bytes() == bytes(1 << 20)
    assert not (tmp_path / "stage").exists()
