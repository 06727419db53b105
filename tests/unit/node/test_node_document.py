"""Documents are checked before any change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.node import Node
from cinderlib.node.document import ConnectionDocument

LOCAL = {"device_path": "/nonexistent"}
ISCSI = {
    "target_portal": "192.0.2.1:3260",
    "target_iqn": "iqn.2010-10.org.openstack:v",
    "target_lun": 1,
}
SEVERAL = {
    "target_portals": ["192.0.2.1:3260", "192.0.2.2:3260"],
    "target_iqns": ["iqn.2010-10.org.openstack:v"] * 2,
    "target_luns": [1, 1],
}
NVME = {"nqn": "nqn.x", "target_portal": "192.0.2.1", "target_port": 4420, "transport_type": "tcp"}
RBD: dict[str, Any] = {"name": "pool/image", "hosts": ["192.0.2.1"], "ports": ["6789"]}
FC: dict[str, Any] = {"target_wwn": ["20210002AC00383D"], "target_lun": 1}
NFS = {"export": "192.0.2.1:/share", "name": "volume-1"}


def _without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k != name}


def _conn(protocol: str, data: Any) -> dict[str, Any]:
    return {"conn": {"driver_volume_type": protocol, "data": data}}


BAD: list[tuple[Any, str]] = [
    ([], "mapping"),
    ({}, "conn"),
    ({"conn": {"data": LOCAL}}, "driver_volume_type"),
    ({"conn": {"driver_volume_type": "local"}}, "data"),
    ({"driver_volume_type": "local"}, "data"),
    ({"conn": {"driver_volume_type": 1, "data": LOCAL}}, r"\$\.conn\.driver_volume_type"),
    (_conn("local", []), r"\$\.conn\.data"),
    (_conn("local", {}), "device_path"),
    (_conn("local", {"device_path": 1}), r"\$\.conn\.data\.device_path"),
    (_conn("local", {**LOCAL, "access_mode": "r"}), "access_mode"),
    ({**_conn("local", LOCAL), "attach_mode": "wr"}, "attach_mode"),
    ({**_conn("local", LOCAL), "scan_attempts": 0}, "scan_attempts"),
    ({**_conn("local", LOCAL), "user_multipath": True}, "did you mean 'use_multipath'"),
    ({**_conn("local", LOCAL), "use_multipath": "yes"}, "use_multipath"),
    ({**_conn("local", LOCAL), "volume": {"size": "1"}}, r"\$\.volume\.size"),
    ({**_conn("local", LOCAL), "device": "/dev/sda"}, r"\$\.device"),
    ({**_conn("local", LOCAL), "connector": {"multipath": "on"}}, r"\$\.connector\.multipath"),
    ({**_conn("local", LOCAL), "connector": {"wwpns": "50"}}, r"\$\.connector\.wwpns"),
    (_conn("iscsi", _without(ISCSI, "target_lun")), r"conn\.data\.target_lun"),
    (_conn("iscsi", _without(ISCSI, "target_iqn")), r"conn\.data\.target_iqn"),
    (_conn("iscsi", {**ISCSI, "target_portal": 3260}), r"\$\.conn\.data\.target_portal"),
    (_conn("iscsi", {**SEVERAL, "target_luns": [1]}), "different lengths"),
    (_conn("iscsi", {**SEVERAL, "target_iqns": "iqn"}), r"\$\.conn\.data\.target_iqns"),
    (_conn("iscsi", {**ISCSI, "target_lun": "one"}), "'one' is not a logical unit number"),
    (_conn("iscsi", {**ISCSI, "target_lun": "x" * 99}), f"'{'x' * 80}'... is not a logical unit"),
    (_conn("fibre_channel", _without(FC, "target_wwn")), "target_wwn"),
    (_conn("fibre_channel", _without(FC, "target_lun")), "target_lun"),
    (_conn("nvmeof", _without(NVME, "nqn")), r"conn\.data\.nqn"),
    (_conn("nvmeof", {"target_nqn": "nqn.x"}), r"conn\.data\.portals"),
    (_conn("nvmeof", {"volume_replicas": [{"nqn": "nqn.x"}]}), r"conn\.data\.target_port"),
    (_conn("rbd", {**RBD, "name": "image"}), "pool/image"),
    (_conn("rbd", {**RBD, "name": "pool/namespace/image"}), "pool/image"),
    (_conn("rbd", {**RBD, "ports": []}), "one entry for each monitor"),
    (_conn("rbd", {**RBD, "keyring": 5}), r"\$\.conn\.data\.keyring"),
    (_conn("nfs", _without(NFS, "name")), "name"),
]


@pytest.mark.parametrize(("document", "message"), BAD)
def test_the_error_for_an_invalid_document_names_the_field(
    document: Any, message: str, tmp_path: Path
) -> None:
    node = Node(state_path=tmp_path / "state")
    for call in (node.attach, node.detach, node.extend):
        with pytest.raises(errors.InvalidDocument, match=message):
            call(document)
    assert not list(tmp_path.iterdir()), "something was written"


def test_the_error_for_an_unknown_protocol(tmp_path: Path) -> None:
    with pytest.raises(errors.Unsupported, match="'drbd'"):
        Node(state_path=tmp_path).attach(_conn("drbd", {}))


MULTIPATH: list[tuple[dict[str, Any], bool]] = [
    (_conn("iscsi", ISCSI), False),
    (_conn("iscsi", SEVERAL), True),
    ({**_conn("iscsi", SEVERAL), "connector": {"multipath": False}}, False),
    ({**_conn("iscsi", ISCSI), "connector": {"multipath": True}}, True),
    (
        {**_conn("iscsi", ISCSI), "connector": {"multipath": True}, "use_multipath": False},
        False,
    ),
    (_conn("fibre_channel", FC), True),
    (_conn("fibre_channel", {**FC, "target_wwn": "20210002AC00383D"}), False),
]


@pytest.mark.parametrize(("document", "multipath"), MULTIPATH)
def test_the_connection_settings_are_read_from_the_document(
    document: dict[str, Any], multipath: bool
) -> None:
    parsed = ConnectionDocument(document)
    assert parsed.multipath is multipath
    assert parsed.with_device({"path": "/dev/x"})["use_multipath"] is multipath


def test_unknown_fields_of_a_document_are_kept() -> None:
    document = {**_conn("iscsi", ISCSI), "adapter": "x"}
    document["conn"]["adapter"] = "y"
    again = ConnectionDocument(document).with_device({"path": "/dev/sda"})
    assert again["adapter"] == "x"
    assert again["conn"]["adapter"] == "y"
    assert json.loads(json.dumps(again)) == again
    assert "device" not in document


def test_a_new_password_is_not_a_new_attachment() -> None:
    first = ConnectionDocument(_conn("rbd", {**RBD, "keyring": "one"}))
    second = ConnectionDocument(_conn("rbd", {**RBD, "keyring": "two"}))
    other = ConnectionDocument(_conn("rbd", {**RBD, "name": "pool/other"}))
    assert first.key() == second.key() != other.key()
