"""The list of drivers."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from cinderlib import drivers
from cinderlib.drivers import names


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, Any]]:
    before = os.getcwd()
    os.chdir("/")
    try:
        return drivers.list_supported()
    finally:
        os.chdir(before)


def test_every_driver_is_listed_once_with_its_options(listed: dict[str, Any]) -> None:
    assert {entry["class_fqn"] for entry in listed.values()} == set(names.classes())
    assert len(listed) > 100
    for key, entry in listed.items():
        assert entry["name"] == key
        assert entry["driver_options"], key
        assert entry["state"] == "loads here" or entry["state"].startswith("needs ")


def test_an_option_is_described_for_a_form(listed: dict[str, Any]) -> None:
    lvm = {option["dest"]: option for option in listed["LVMVolumeDriver"]["driver_options"]}
    assert lvm["volume_group"]["default"] == "cinder-volumes"
    assert lvm["lvm_type"]["choices"] == ["default", "thin", "auto"]
    assert lvm["target_port"]["min"] == 0
    assert lvm["target_port"]["type"]["type_class"] == "Port"
    assert "volume_backend_name" not in lvm
    solidfire = {o["dest"]: o for o in listed["SolidFireDriver"]["driver_options"]}
    assert solidfire["san_password"]["secret"] is True
    assert solidfire["san_password"]["type"]["type_class"] == "String"


def test_what_is_missing_here_is_named(listed: dict[str, Any]) -> None:
    pure = listed["PureISCSIDriver"]
    if importlib.util.find_spec("pypureclient"):
        assert pure["state"] == "loads here"
    else:
        assert pure["state"] == "needs Python package py-pure-client"
    assert listed["SolidFireDriver"]["state"] == "loads here"
    assert listed["FileDriver"]["state"] == "loads here"
    assert listed["VNXDriver"]["supported"] is False
    assert listed["LVMVolumeDriver"]["supported"] is True


def test_an_option_that_a_driver_does_not_declare_is_listed(listed: dict[str, Any]) -> None:
    for name in ("RBDDriver", "RBDISCSIDriver"):
        assert "rbd_keyring_conf" in [o["name"] for o in listed[name]["driver_options"]]


def test_short_names(listed: dict[str, Any]) -> None:
    short = drivers.short_names()
    base = "cinder.volume.drivers"
    assert short["lvm"] == f"{base}.lvm.LVMVolumeDriver"
    assert short["rbd"] == f"{base}.rbd.RBDDriver"
    assert short["nfs"] == f"{base}.nfs.NfsDriver"
    assert short["file"] == "cinderlib.drivers.file.driver.FileDriver"
    assert short["PureISCSIDriver"] == f"{base}.pure.PureISCSIDriver"
    assert short["NetAppDriver"] == f"{base}.netapp.common.NetAppDriver"
    assert set(short.values()) < set(names.classes())
    assert names.resolve("LVM") == short["lvm"]
    for key, entry in listed.items():
        if entry["short_name"]:
            assert names.resolve(entry["short_name"]) == entry["class_fqn"], key


def test_the_found_classes_are_those_that_the_files_declare() -> None:
    """Another way to count: the decorator that registers a driver."""
    folder = Path(names.cinder_folder()) / "volume" / "drivers"
    declared = sum(
        line.strip() in ("@interface.volumedriver", "@volumedriver")
        or (line.startswith("class ") and "(driver.ProxyVD)" in line)
        for path in folder.rglob("*.py")
        for line in path.read_text().splitlines()
    )
    assert len(names.classes()) == declared + len(names.OWN)
