"""Diagnosis of the store, the state folder and the requirements of backends."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from api.conftest import connector

import cinderlib as cl
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host
from cinderlib.objects import diagnosis

pytestmark = pytest.mark.library(reason="about the diagnosis")


def register(controller: cl.Controller, name: str, **properties: Any) -> None:
    controller.persistence.set_key_value(cl.KeyValue(name, json.dumps(properties)))


def about(controller: cl.Controller, topic: str) -> list[Finding]:
    return [f for f in controller.diagnose() if f.check.startswith(topic)]


def test_a_controller_without_problems(controller: cl.Controller, backend: cl.Backend) -> None:
    register(controller, "node-1", **connector("node-1"))
    register(controller, "node-2", **connector("node-2"))
    controller.persistence.set_key_value(cl.KeyValue("note", "of another program"))
    controller.persistence.set_key_value(cl.KeyValue("number", "7"))
    assert controller.diagnose() == ()


def test_hosts_that_share_an_initiator_name(controller: cl.Controller) -> None:
    same = "iqn.1993-08.org.debian:01:cloned"
    register(controller, "a", host="node-1", initiator=same, nqn="nqn.x:1", wwpns=["5001", "5002"])
    register(controller, "b", host="node-2", initiator=same.upper(), nqn="nqn.x:2", wwpns=["5003"])
    register(controller, "c", host="node-3", initiator="iqn.x:3", nqn="nqn.x:2", wwpns=["5002"])
    found = about(controller, "store")
    assert {finding.severity for finding in found} == {"error"}
    assert [finding.problem for finding in found] == [
        f"node-1 and node-2 have the same iSCSI initiator name, {same}",
        "node-2 and node-3 have the same NQN, nqn.x:2",
        "node-1 and node-3 have the same port name (WWPN), 5002",
    ]


def test_a_host_that_is_connected_counts_too(controller: cl.Controller, array: cl.Backend) -> None:
    array.create_volume(size=1).connect(connector("node-1"))
    register(controller, "again", **connector("node-1"))
    assert about(controller, "store") == []
    register(controller, "clone", **{**connector("node-1"), "host": "node-2"})
    (found,) = about(controller, "store")
    assert "node-1 and node-2 have the same iSCSI initiator name" in found.problem


def test_two_hosts_of_one_name(controller: cl.Controller) -> None:
    register(controller, "a", host="localhost", initiator="iqn.x:1")
    register(controller, "b", host="localhost", initiator="iqn.x:2")
    (found,) = about(controller, "store")
    assert (found.check, found.severity) == ("store.namesakes", "warning")
    assert "iqn.x:1 and iqn.x:2" in found.problem


def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "metadata.sqlite"
    store = {"storage": "db", "connection": f"sqlite:///{file}"}
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        controller.persistence.set_key_value(cl.KeyValue("a", "b"))
        with contextlib.closing(sqlite3.connect(file)) as database:
            tables = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            for (name,) in tables.fetchall():
                database.execute(f'DROP TABLE "{name}"')
        (found,) = about(controller, "store")
    assert (found.check, found.severity) == ("store.reach", "error")


def test_a_state_folder_that_others_can_write_to(controller: cl.Controller, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state").chmod(0o777)
    (found,) = about(controller, "controller")
    assert (found.severity, found.commands) == ("warning", (f"chmod 700 {tmp_path / 'state'}",))


def test_a_driver_without_its_dependencies(
    controller: cl.Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    backends = {
        "nfs": {"volume_driver": "nfs"},
        "misspelt": {"volume_driver": "file", "file_rot": "/volumes"},
        "unknown": {"volume_driver": "fiel"},
    }
    found = {f.problem: f for f in controller.diagnose(backends) if f.severity == "error"}
    nfs = next(f for f in found.values() if f.check == "backend.commands")
    assert "qemu-img" in nfs.problem
    assert nfs.meaning == "backend nfs does not load"
    options = [f.problem for f in found.values() if f.check == "backend.options"]
    assert len(options) == 2
    assert any("file_root" in problem for problem in options)
    assert any("'file'" in problem for problem in options)
    assert controller.backends == {}


def test_the_volume_group_of_lvm(
    controller: cl.Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    vgs = tmp_path / "bin/vgs"
    vgs.write_text('#!/bin/sh\nfor name; do :; done\ntest "$name" = pool\n')
    vgs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def found(**options: str) -> list[str]:
        backends = {"lvm": {"volume_driver": "lvm", **options}}
        named = controller.diagnose(backends)
        return [f.problem for f in named if f.check == "backend.volume-group"]

    assert found(volume_group="pool") == []
    assert "no volume group cinder-volumes" in found()[0]


@pytest.mark.parametrize(
    ("options", "checks"),
    [
        ({}, {"backend.thin", "backend.target"}),
        ({"lvm_type": "default"}, {"backend.target"}),
        ({"lvm_type": "default", "target_helper": "fake"}, set()),
    ],
)
def test_additional_requirements_of_lvm(
    controller: cl.Controller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    checks: set[str],
) -> None:
    vgs = tmp_path / "vgs"
    vgs.write_text("#!/bin/sh\n")
    vgs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("thin_check", "tgtadm"):
        if (folder := Host(path="/usr/sbin:/sbin:/usr/local/sbin").which(name)) is not None:
            pytest.skip(f"{folder} is installed; this is about a host without")
    found = controller.diagnose({"lvm": {"volume_driver": "lvm", **options}})
    named = {f.check for f in found if f.check in ("backend.thin", "backend.target")}
    assert named == checks


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({"volume_driver": "file"}, {"local"}),
        ({"volume_driver": "lvm"}, {"iscsi"}),
        ({"volume_driver": "LVMVolumeDriver", "target_protocol": "nvmet_tcp"}, {"nvme"}),
        ({"volume_driver": "rbd"}, {"rbd"}),
        ({"volume_driver": "cinder.volume.drivers.nfs.NfsDriver"}, {"nfs"}),
        ({"volume_driver": "PureISCSIDriver"}, {"iscsi"}),
        ({"volume_driver": "PureFCDriver"}, {"fc"}),
        ({"volume_driver": "cinder.volume.drivers.datacore.fc.Driver"}, {"fc"}),
        ({"volume_driver": "NetAppDriver", "netapp_storage_protocol": "fc"}, {"fc"}),
        ({"volume_driver": "StorPoolDriver"}, set()),
        (
            {"volume_driver": "PureNVMEDriver", "use_multipath_for_image_xfer": True},
            {"nvme", "multipath"},
        ),
    ],
)
def test_requirements_of_a_backend_on_hosts(options: dict[str, Any], needed: set[str]) -> None:
    found = diagnosis.needed({"b": options})
    assert found == dict.fromkeys(needed, "backend b")
