"""The list of drivers."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from cinderlib import drivers
from cinderlib.drivers import catalog, cinder_sources, families, names

full_list = pytest.mark.slow  # loads all drivers of Cinder


@pytest.fixture(scope="module")
def listed() -> dict[str, dict[str, Any]]:
    before = os.getcwd()
    os.chdir("/")
    try:
        return drivers.list_supported()
    finally:
        os.chdir(before)


@full_list
def test_every_driver_is_listed_once_with_its_options(listed: dict[str, Any]) -> None:
    assert {entry["class_fqn"] for entry in listed.values()} == set(names.classes())
    assert len(listed) > 100
    for key, entry in listed.items():
        assert entry["name"] == key
        assert entry["driver_options"], key
        assert entry["state"] == "loads here" or entry["state"].startswith("needs ")


@full_list
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


@full_list
def test_missing_requirements_are_listed(listed: dict[str, Any]) -> None:
    pure = listed["PureISCSIDriver"]
    if importlib.util.find_spec("pypureclient"):
        assert pure["state"] == "loads here"
    else:
        assert pure["state"] == "needs Python package py-pure-client"
    assert listed["SolidFireDriver"]["state"] == "loads here"
    assert listed["FileDriver"]["state"] == "loads here"
    assert listed["VNXDriver"]["supported"] is False
    assert listed["LVMVolumeDriver"]["supported"] is True


@full_list
def test_an_option_that_a_driver_does_not_declare_is_listed(listed: dict[str, Any]) -> None:
    for name in ("RBDDriver", "RBDISCSIDriver"):
        assert "rbd_keyring_conf" in [o["name"] for o in listed[name]["driver_options"]]


@full_list
def test_short_names(listed: dict[str, Any]) -> None:
    short = drivers.short_names()
    base = "cinder.volume.drivers"
    assert short["lvm"] == f"{base}.lvm.LVMVolumeDriver"
    assert short["rbd"] == f"{base}.rbd.RBDDriver"
    assert short["nfs"] == f"{base}.nfs.NfsDriver"
    assert short["netapp"] == f"{base}.netapp.common.NetAppDriver"
    assert short["powermax_fc"] == f"{base}.dell_emc.powermax.fc.PowerMaxFCDriver"
    assert short["file"] == "cinderlib.drivers.file.driver.FileDriver"
    assert short["PureISCSIDriver"] == f"{base}.pure.PureISCSIDriver"
    assert set(short.values()) <= set(names.classes())
    assert names.resolve("LVM") == short["lvm"]
    assert names.resolve("pure-iscsi") == short["pure_iscsi"]
    named = [entry["short_name"] for entry in listed.values() if entry["short_name"]]
    assert len(named) == len(set(named))
    for key, entry in listed.items():
        if entry["short_name"]:
            assert names.resolve(entry["short_name"]) == entry["class_fqn"], key


@full_list
def test_every_driver_has_a_vendor_and_a_product(listed: dict[str, Any]) -> None:
    unknown = {key for key, entry in listed.items() if not (entry["vendor"] and entry["product"])}
    assert not unknown
    unused = [f for f in families.FAMILIES if not any(map(f.contains, names.classes()))]
    assert not unused


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "netapp",
            {"netapp", "netapp_fc", "netapp_iscsi", "netapp_nfs", "netapp_nvme", "solidfire"},
        ),
        ("NetApp iSCSI", {"netapp_iscsi"}),
        ("pure", {"pure_fc", "pure_iscsi", "pure_nvme"}),
        ("powermax", {"powermax_fc", "powermax_iscsi"}),
        ("vmax", {"powermax_fc", "powermax_iscsi"}),
        ("3par", {"hpe_3par_fc", "hpe_3par_iscsi"}),
        ("storage scale", {"gpfs", "gpfs_nfs", "gpfs_remote"}),
        ("flashsystem", {"storwize_fc", "storwize_iscsi"}),
        ("no such vendor", set()),
        ("", set()),
    ],
)
def test_drivers_are_found_by_vendor_and_product(text: str, found: set[str]) -> None:
    assert {names.short_name(path) for path in names.search(text)} == found


@pytest.mark.parametrize("vendor", ["dell", "hpe", "hp", "ibm", "hitachi", "huawei", "ceph", "nec"])
def test_every_vendor_has_drivers(vendor: str) -> None:
    assert names.search(vendor)


@full_list
def test_options_that_a_driver_reads_are_listed(listed: dict[str, Any]) -> None:
    """A class does not declare all of them itself."""

    def options(name: str) -> set[str]:
        return {option["name"] for option in listed[name]["driver_options"]}

    assert {"san_ip", "san_login", "xtremio_cluster_name"} <= options("XtremIOISCSIDriver")
    assert {"netapp_login", "netapp_vserver", "netapp_lun_space_reservation"} <= options(
        "NetAppCmodeISCSIDriver"
    )
    assert {"san_hosts", "jovian_pool"} <= options("JovianISCSIDriver")
    assert "san_ip" not in options("LVMVolumeDriver")
    assert "sf_api_port" not in options("FileDriver")


@pytest.mark.slow
def test_a_broken_package_is_reported_only_for_its_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, code in (
        ("pywbem", "class Old(collections.Mapping): pass\n"),  # NameError
        ("linstor", "raise SystemError('compiled for another Python')\n"),
        ("storops", "raise AttributeError('no such attribute')\n"),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    catalog._catalog.cache_clear()
    try:
        listed = drivers.list_supported()
    finally:
        catalog._catalog.cache_clear()
    assert len(listed) == len(names.classes())
    for name, package in {
        "FJDXFCDriver": "pywbem",
        "LinstorIscsiDriver": "linstor",
        "UnityDriver": "storops",
    }.items():
        assert f"package '{package}' is broken" in listed[name]["state"], name
        assert listed[name]["missing"] == [listed[name]["state"]]
    assert listed["SolidFireDriver"]["state"] == "loads here"


def test_all_declared_driver_classes_are_found() -> None:
    """Compared with the classes that have the decorator for drivers."""
    folder = cinder_sources.folder() / "volume" / "drivers"
    declared = sum(
        line.strip() in ("@interface.volumedriver", "@volumedriver")
        or (line.startswith("class ") and "(driver.ProxyVD)" in line)
        for path in folder.rglob("*.py")
        for line in path.read_text().splitlines()
    )
    assert len(names.classes()) == declared + len(names.OWN)
