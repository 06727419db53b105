"""``Node.diagnose`` on many kinds of hosts, and the repairs by its commands."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from host_tree import (
    DEBIAN,
    INITIATOR,
    ISCSID,
    ISCSID_CONF,
    KERNEL,
    MULTIPATH,
    MULTIPATHD,
    NQN,
    ROCKY,
    UBUNTU,
    Tree,
    only,
)

from cinderlib import errors
from cinderlib.node import Node
from cinderlib.node.checks import multipath_conf
from cinderlib.node.persistent import Kept
from cinderlib.node.state import Entry

NAME_FILE = "/etc/iscsi/initiatorname.iscsi"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


# --- the container of the CSI plug-in ------------------------------------------------------------


def _mountinfo(kubelet: str, dev: str = "devtmpfs", sys: str = "rw") -> str:
    return (
        "1 0 0:1 / / rw - overlay overlay rw\n"
        f"2 1 0:5 / /dev rw,nosuid - {dev} udev rw\n"
        f"3 1 0:6 / /sys {sys},nosuid - sysfs sysfs rw\n"
        f"4 1 8:1 /var/lib/kubelet /var/lib/kubelet rw {kubelet}- ext4 /dev/vda1 rw\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_mountinfo("shared:7 "), []),
        (_mountinfo("shared:7 master:2 "), []),
        (_mountinfo(""), ["host.mount-propagation"]),
        (_mountinfo("master:2 "), ["host.mount-propagation"]),
        (_mountinfo("shared:7 ", dev="tmpfs"), ["host.dev"]),
        (_mountinfo("shared:7 ", sys="ro"), ["host.sys"]),
        ("1 0 0:1 / / rw - ext4 /dev/vda1 rw\ngarbage\n", []),
    ],
)
def test_the_mounts_of_a_container_of_the_csi_plugin(
    tree: Tree, text: str, expected: list[str]
) -> None:
    tree.write("/proc/self/mountinfo", text)
    tree.write("/dev/loop-control")
    assert [each.check for each in tree.findings("local")] == expected


# --- selection of checks -----------------------------------------------------------------------


def test_a_host_without_protocols_has_no_findings(tree: Tree) -> None:
    diagnosis = tree.diagnose()
    assert (diagnosis.protocols, diagnosis.findings) == ({}, ())


def test_a_prepared_host_has_no_findings(tree: Tree) -> None:
    tree.initiator()
    tree.multipath()
    tree.nvme()
    tree.command("mount.nfs")
    tree.modules("iscsi_tcp", "dm-mod", "dm-multipath", "nvme-fabrics", "nvme-tcp", "nfs")
    assert tree.findings("iscsi", "multipath", "nvme", "nfs") == []


def test_installed_but_unused_packages_are_not_errors(tree: Tree) -> None:
    tree.command("iscsiadm")
    by_default = tree.diagnose()
    assert by_default.protocols == {"iscsi": "installed"}
    assert {finding.severity for finding in by_default.findings} == {"warning"}
    wanted = tree.diagnose(iscsi="backend lvm")
    assert wanted.protocols == {"iscsi": "backend lvm"}
    assert wanted.findings[0].severity == "error"
    checks = {finding.check for finding in by_default.findings}
    assert checks == {finding.check for finding in wanted.findings}


def test_protocols_of_attachments_are_checked(tree: Tree) -> None:
    document = {
        "conn": {"driver_volume_type": "iscsi", "data": {}},
        "use_multipath": True,
    }
    device = {"type": "block", "path": "/dev/dm-7"}
    tree.state.put(Entry(key="k", document=document, status="attached", device=device))
    attached = {"iscsi": "attached here", "multipath": "attached here"}
    assert tree.diagnose().protocols == attached
    assert tree.diagnose(nvmeof="backend b").protocols == {**attached, "nvme": "backend b"}


@pytest.mark.parametrize(
    ("named", "name"),
    [("iSCSI", "iscsi"), ("NVMe-oF", "nvme"), ("ceph", "rbd"), ("FC", "fc"), ("file", "local")],
)
def test_protocol_names_of_drivers_are_accepted(tree: Tree, named: str, name: str) -> None:
    assert tree.diagnose([named]).protocols == {name: "requested"}


def test_an_unknown_protocol_is_refused(tree: Tree) -> None:
    with pytest.raises(errors.InvalidInput, match=r"'infiniband'.*iscsi, multipath"):
        tree.diagnose(["infiniband"])


def test_multipath_is_checked_on_a_node_that_uses_it(tmp_path: Path) -> None:
    diagnosis = Node(multipath=True, state_path=tmp_path).diagnose()
    assert diagnosis.protocols["multipath"] == "this node's setting"


def test_diagnosis_does_not_change_this_host(tmp_path: Path) -> None:
    protocols = ["iscsi", "multipath", "encryption", "nvme", "rbd", "nfs", "fc", "local"]
    found = Node(state_path=tmp_path).diagnose(protocols).findings
    # The findings depend on this host, but must be the same in both runs.
    assert Node(state_path=tmp_path).diagnose(protocols).findings == found
    order = ["error", "warning", "note"]
    severities = [order.index(finding.severity) for finding in found]
    assert severities == sorted(severities)


def test_diagnosis_without_os_brick(tmp_path: Path) -> None:
    program = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "os_brick" else find(name, *more)
sys.modules["os_brick"] = None
from cinderlib.node import Node
for finding in Node(state_path=sys.argv[1]).diagnose(["nfs"]).findings:
    print(finding.check, *finding.commands, sep="|")
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert f"host.os-brick|{sys.executable} -m pip install os-brick" in done.stdout.splitlines()


def test_encryption_needs_cryptsetup_and_dm_crypt(tree: Tree) -> None:
    install = f"for each in cryptsetup blkid cmp; do cp /bin/true {tree.bin}/$each; done"
    tree.command("apt-get", install)
    assert [each.check for each in tree.findings("encryption")] == [
        "encryption.module",
        "encryption.commands",
    ]
    tree.modules("dm-mod", "dm-crypt")
    found = tree.findings("encryption")
    assert [(each.severity, each.check) for each in found] == [("error", "encryption.commands")]
    assert "cryptsetup" in found[0].problem
    assert found[0].commands[0].startswith("apt-get install -y cryptsetup-bin")
    tree.repair(found)
    assert tree.findings("encryption") == []


# --- packages, modules, daemons ----------------------------------------------------------------


def test_the_commands_repair_a_bare_host(tree: Tree) -> None:
    made = f'printf "InitiatorName={INITIATOR}\\n" >{tree.root}{NAME_FILE}'
    listens = "echo '0: 2 0 10000 1 1 1 @{}' >>" + f"{tree.root}/proc/net/unix"
    install = f"""
for package do
    case $package in
    open-iscsi)
        cp /bin/true {tree.bin}/iscsiadm
        mkdir -p {tree.root}/etc/iscsi
        {made}
        {listens.format(ISCSID)} ;;
    multipath-tools)
        printf '#!/bin/sh\\n' | tee {tree.bin}/multipath >{tree.bin}/multipathd
        chmod 755 {tree.bin}/multipath*
        {listens.format(MULTIPATHD)} ;;
    lsscsi)
        cp /bin/true {tree.bin}/lsscsi ;;
    nvme-cli)
        cp /bin/true {tree.bin}/nvme
        mkdir -p {tree.root}/etc/nvme
        echo {NQN} >{tree.root}/etc/nvme/hostnqn
        echo {NQN.rpartition(":")[2]} >{tree.root}/etc/nvme/hostid ;;
    esac
done"""
    tree.command("apt-get", f"test $1 = install && shift{install}")
    tree.command("systemctl")
    found = tree.findings("iscsi", "multipath", "nvme")
    assert [(finding.severity, finding.commands[0]) for finding in found] == [
        ("error", "apt-get install -y open-iscsi"),
        ("error", "apt-get install -y multipath-tools"),
        ("error", "apt-get install -y nvme-cli"),
        ("warning", "apt-get install -y lsscsi"),
    ]
    tree.repair(found)
    assert tree.findings("iscsi", "multipath", "nvme") == []


@pytest.mark.parametrize(
    ("release", "systemd", "commands"),
    [
        (DEBIAN, True, ["apt-get install -y open-iscsi"]),
        (
            DEBIAN,
            False,
            [
                "apt-get install -y open-iscsi",
                "modprobe iscsi_tcp",
                "mkdir -p /run/lock/iscsi",
                f"grep -q @{ISCSID} /proc/net/unix || iscsid",
            ],
        ),
        (
            ROCKY,
            True,
            ["dnf install -y iscsi-initiator-utils", "systemctl enable --now iscsid"],
        ),
        ("ID=arch\n", True, []),
    ],
)
def test_commands_are_those_of_the_distribution_and_the_init_system(
    tmp_path: Path, release: str, systemd: bool, commands: list[str]
) -> None:
    tree = Tree(tmp_path, release=release, systemd=systemd)
    tree.command("lsscsi")
    found = only(tree.findings("iscsi"))
    assert (found.check, list(found.commands)) == ("iscsi.commands", commands)
    assert bool(found.advice) is not bool(commands)


@pytest.mark.parametrize(
    ("release", "commands"),
    [
        (DEBIAN, ()),
        (UBUNTU, (f"apt-get install -y linux-modules-extra-{KERNEL}",)),
        (ROCKY, (f"dnf install -y kernel-modules-{KERNEL}",)),
    ],
)
def test_a_kernel_without_a_module(tmp_path: Path, release: str, commands: tuple[str, ...]) -> None:
    tree = Tree(tmp_path, release=release)
    tree.command("mount.nfs")
    found = only(tree.findings("nfs"))
    assert (found.check, found.severity, found.commands) == ("nfs.module", "error", commands)
    assert f"the kernel {KERNEL} has no nfs" in found.problem


def test_modules_can_be_loaded_built_in_or_loadable(tree: Tree) -> None:
    tree.command("mount.nfs")
    tree.modules("nfs")
    assert tree.findings("nfs") == []
    tree.modules()
    tree.write("/proc/modules", "nfs 491520 0 - Live 0xffffffffc0a3e000\n")
    assert tree.findings("nfs") == []
    tree.write("/proc/modules")
    tree.write(f"/lib/modules/{KERNEL}/modules.builtin", "kernel/fs/nfs/nfs.ko\n")
    assert tree.findings("nfs") == []
    tree.write(f"/lib/modules/{KERNEL}/modules.builtin")
    tree.write("/proc/filesystems", "nodev\tnfs\n")
    assert tree.findings("nfs") == []


def test_modules_removed_by_an_update_require_a_reboot(tree: Tree) -> None:
    tree.command("mount.nfs")
    (tree.root / "lib/modules" / KERNEL).rename(tree.root / "lib/modules/6.1.0-43-amd64")
    assert "reboot" in only(tree.findings("nfs")).advice


def test_modules_in_a_container_come_from_its_host(tree: Tree) -> None:
    tree.command("mount.nfs")
    tree.write("/run/.containerenv")
    found = only(tree.findings("nfs"))
    assert "run `modprobe -a nfs` on the host" in found.advice


def test_a_module_without_modprobe(tree: Tree) -> None:
    tree.command("mount.nfs")
    tree.modules("nfs")
    (tree.bin / "modprobe").unlink()
    assert only(tree.findings("nfs")).commands == ("apt-get install -y kmod",)


def test_udev_is_not_running(tree: Tree) -> None:
    tree.nvme()
    (tree.root / "run/udev/control").unlink()
    assert only(tree.findings("nvme")).commands == ("apt-get install -y udev",)
    tree.command("udevadm")
    assert only(tree.findings("nvme")).commands == ("systemctl start systemd-udevd",)
    (tree.root / "run/systemd/system").rmdir()
    tree.write("/usr/lib/systemd/systemd-udevd")
    assert only(tree.findings("nvme")).commands == ("/usr/lib/systemd/systemd-udevd --daemon",)


def test_a_host_without_a_unique_name(tree: Tree) -> None:
    tree.write("/proc/sys/kernel/hostname", "localhost\n")
    tree.nvme()
    found = only(tree.findings("nvme"))
    assert (found.check, found.severity) == ("host.name", "warning")


# --- iSCSI -------------------------------------------------------------------------------------


def test_iscsid_without_a_service_or_socket(tree: Tree) -> None:
    tree.initiator()
    tree.write("/proc/net/unix", "Num RefCount Protocol Flags Type St Inode Path\n")
    assert only(tree.findings("iscsi")).commands == ("systemctl enable --now iscsid",)
    tree.write("/bin/systemctl")
    (tree.root / "bin/systemctl").chmod(0o755)
    assert tree.findings("iscsi") == []  # iscsiadm starts it
    (tree.root / "run/systemd/system").rmdir()
    assert only(tree.findings("iscsi")).commands[-1].endswith("|| iscsid")


@pytest.mark.parametrize(
    ("text", "severity", "said"),
    [
        (None, "error", "does not exist"),
        ("## GenerateName\nGenerateName=yes\n", "error", "no line InitiatorName"),
        ("InitiatorName=\n", "error", "no line InitiatorName"),
        ("InitiatorName=iqn.1993-08.org.debian:01:000000000000\n", "error", "placeholder"),
        ("InitiatorName=iqn.2010-04.org.company:change-me\n", "error", "placeholder"),
        ("InitiatorName=iqn.1994-05.com.redhat:aaaaaaaaaaaa\n", "error", "placeholder"),
        ("InitiatorName=node7\n", "error", "not an iqn"),
        ("InitiatorName=iqn.1993-08.org.debian:01:Node7\n", "warning", "capital letters"),
    ],
)
def test_invalid_initiator_names_are_repaired(
    tree: Tree, text: str | None, severity: str, said: str
) -> None:
    tree.initiator()
    tree.command("systemctl")
    if text is None:
        (tree.root / NAME_FILE.lstrip("/")).unlink()
    else:
        tree.write(NAME_FILE, text)
    found = only(tree.findings("iscsi"))
    assert (found.check, found.severity) == ("iscsi.initiator-name", severity)
    assert said in found.problem
    tree.repair([found])
    assert tree.findings("iscsi") == []


@pytest.mark.parametrize(
    "name",
    [
        "iqn.2026-11.com.example:node7",
        "iqn.1994-05.com.redhat:1a2b3c4d5e6f",
        "eui.02004567A425678D",
    ],
)
def test_valid_initiator_names(tree: Tree, name: str) -> None:
    tree.initiator()
    tree.write(NAME_FILE, f"InitiatorName={name}\n")
    assert tree.findings("iscsi") == []


def test_two_initiator_names(tree: Tree) -> None:
    tree.initiator()
    tree.write(NAME_FILE, f"InitiatorName={INITIATOR}\nInitiatorName=iqn.2000-01.org.other:x\n")
    assert "2 names" in only(tree.findings("iscsi")).problem


def test_an_initiator_renamed_while_it_has_sessions(tree: Tree) -> None:
    tree.initiator()
    tree.write("/sys/class/iscsi_session/session1/initiatorname", "iqn.2000-01.org.old:x\n")
    found = only(tree.findings("iscsi"))
    assert "use the name iqn.2000-01.org.old:x" in found.problem
    assert found.commands == ("systemctl restart iscsid",)


def test_an_initiator_name_file_that_others_can_write(tree: Tree) -> None:
    tree.initiator()
    (tree.root / NAME_FILE.lstrip("/")).chmod(0o666)
    found = only(tree.findings("iscsi"))
    assert "written by other users" in found.problem
    tree.repair([found])
    assert tree.findings("iscsi") == []


def test_sessions_without_nop_out(tree: Tree) -> None:
    tree.initiator()
    tree.write(
        "/etc/iscsi/iscsid.conf",
        ISCSID_CONF.replace("noop_out_interval = 5", "noop_out_interval = 0"),
    )
    found = only(tree.findings("iscsi"))
    assert (found.check, found.severity) == ("iscsi.noop-out", "warning")
    tree.repair([found])
    assert tree.findings("iscsi") == []
    text = (tree.root / "etc/iscsi/iscsid.conf").read_text()
    assert text == ISCSID_CONF  # other lines are unchanged


def test_a_long_timeout_matters_only_without_multipathd(tree: Tree) -> None:
    tree.initiator()
    tree.multipath()
    assert tree.findings("iscsi", "multipath") == []
    tree.multipath(MULTIPATH.replace("fast_io_fail_tmo 5", 'fast_io_fail_tmo "off"'))
    found = only(tree.findings("iscsi", "multipath"))
    assert found.check == "iscsi.replacement-timeout"
    assert "120 seconds" in found.problem
    tree.repair([found])
    assert tree.findings("iscsi", "multipath") == []
    assert "replacement_timeout = 20\n" in (tree.root / "etc/iscsi/iscsid.conf").read_text()


# --- multipath ---------------------------------------------------------------------------------


def test_multipathd_is_not_running(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "debian")
    tree.multipath()
    tree.write("/proc/net/unix", "Num RefCount Protocol Flags Type St Inode Path\n")
    assert only(tree.findings("multipath")).commands == ("systemctl enable --now multipathd",)
    tree = Tree(tmp_path / "rocky", release=ROCKY)
    tree.command("multipath")
    tree.command("multipathd")
    # On this distribution, multipathd does not start without a configuration.
    assert only(tree.findings("multipath")).commands == (
        "mpathconf --enable --user_friendly_names n --find_multipaths y",
        "systemctl enable --now multipathd",
    )
    tree = Tree(tmp_path / "bare", systemd=False)
    tree.command("multipath")
    tree.command("multipathd")
    listens = f"echo '0: 2 0 10000 1 1 1 @{MULTIPATHD}' >>{tree.root}/proc/net/unix"
    tree.command("multipathd", f'test -z "$*" && {listens}')
    found = only(tree.findings("multipath"))
    assert found.commands[0] == "modprobe dm_multipath"
    tree.repair([found])
    assert tree.findings("multipath") == []
    (tree.bin / "multipathd").unlink()
    tree.repair([found])  # a repeated repair does not start it again


@pytest.mark.parametrize(
    ("replaced", "by", "check"),
    [
        ('user_friendly_names "no"', 'user_friendly_names "yes"', "user-friendly-names"),
        ('find_multipaths "strict"', 'find_multipaths "off"', "find-multipaths"),
        ('find_multipaths "strict"', 'find_multipaths "greedy"', "find-multipaths"),
        ("polling_interval 5", 'no_path_retry "queue"', "no-path-retry"),
        ('features "0"', 'features "1 queue_if_no_path"', "no-path-retry"),
        ("overrides {", 'overrides {\n\tno_path_retry "queue"', "no-path-retry"),
        ("overrides {", "overrides {\n\tdev_loss_tmo 5", "dev-loss"),
    ],
)
def test_harmful_multipath_settings_are_repaired(
    tree: Tree, replaced: str, by: str, check: str
) -> None:
    tree.multipath(MULTIPATH.replace(replaced, by, 1))
    found = only(tree.findings("multipath"))
    assert (found.check, found.severity) == (f"multipath.{check}", "warning")
    assert found.commands[-1] == "multipathd reconfigure"
    tree.command("multipathd")
    tree.repair([found])
    # As multipathd reads it: files in the folder are read after the main file.
    (written,) = (tree.root / "etc/multipath/conf.d").iterdir()
    tree.multipath(MULTIPATH.replace(replaced, by, 1) + written.read_text())
    assert tree.findings("multipath") == []


def test_strict_find_multipaths_with_fibre_channel(tree: Tree) -> None:
    tree.command("lsscsi")
    tree.multipath()
    tree.write("/sys/class/fc_host/host3/port_state", "Online\n")
    _reached(tree, "rport-3:0-1")
    found = only(tree.findings("multipath", "fc"))
    assert (found.check, found.severity) == ("multipath.find-multipaths", "error")
    tree.multipath(MULTIPATH.replace('"strict"', '"on"'))
    assert tree.findings("multipath", "fc") == []


@pytest.mark.parametrize(
    ("line", "exception"),
    [
        ('devnode "^sd[a-z]"', 'devnode "^sd"'),
        ('devnode ".*"', 'devnode "^(sd|nvme)"'),
        ('wwid ".*"', 'wwid "36001405.*"'),
        ('protocol "scsi:iscsi"', 'protocol "scsi:iscsi"'),
    ],
)
def test_a_blacklist_that_hides_volumes(tree: Tree, line: str, exception: str) -> None:
    tree.initiator()
    hidden = MULTIPATH.replace("blacklist {", f"blacklist {{\n\t{line}", 1)
    tree.multipath(hidden)
    found = only(tree.findings("multipath", "iscsi"))
    assert (found.check, found.severity) == ("multipath.blacklist", "error")
    assert line in found.problem
    tree.multipath(hidden.replace("_exceptions {", f"_exceptions {{\n\t{exception}"))
    assert tree.findings("multipath", "iscsi") == []


def test_configurations_in_various_styles() -> None:
    text = """
    # A comment { with a brace
    defaults{
        user_friendly_names yes
        find_multipaths "yes" # said twice, the last one holds
        find_multipaths no }
    blacklist { device {
        vendor "{odd}"
        product "x y" }
        wwid 3600 }
    overrides {
        user_friendly_names no
    """
    top = multipath_conf.parse(text)
    assert multipath_conf.effective(top, "find_multipaths") == "no"
    assert multipath_conf.effective(top, "user_friendly_names") == "no"
    (blacklist,) = top.all("blacklist")
    assert blacklist.get("wwid") == "3600"
    assert blacklist.sections[0].settings == [("vendor", "{odd}"), ("product", "x y")]


# --- NVMe, Ceph, Fibre Channel, loop devices ------------------------------------------------------


def test_a_host_nqn_is_generated(tree: Tree) -> None:
    # The firmware of this machine has no UUID.
    tree.command("nvme", f"test $1 = gen-hostnqn && echo {NQN[:32]}{uuid.UUID(int=0)}")
    tree.write("/proc/sys/kernel/random/uuid", f"{NQN[32:]}\n")
    found = only(tree.findings("nvme"))
    assert (found.check, found.severity) == ("nvme.hostnqn", "warning")
    tree.repair([found])
    assert tree.findings("nvme") == []
    assert (tree.root / "etc/nvme/hostnqn").read_text() == f"{NQN}\n"
    assert (tree.root / "etc/nvme/hostid").read_text() == f"{NQN[32:]}\n"


def test_nvme_cli_generates_a_host_nqn(tree: Tree) -> None:
    # The package generates it on a machine whose firmware has no UUID.
    tree.command(
        "apt-get",
        f"mkdir -p {tree.root}/etc/nvme"
        f" && echo {NQN[:32]}{uuid.UUID(int=0)} >{tree.root}/etc/nvme/hostnqn"
        f" && install -m 755 {tree.bin}/apt-get {tree.bin}/nvme",
    )
    tree.write("/proc/sys/kernel/random/uuid", f"{NQN[32:]}\n")
    found = only(tree.findings("nvme"))
    assert (found.check, found.commands[0]) == ("nvme.commands", "apt-get install -y nvme-cli")
    tree.repair([found])
    assert tree.findings("nvme") == []


@pytest.mark.parametrize(
    ("nqn", "severity", "said"),
    [
        ("node7", "error", "is not a valid NQN"),
        (f"{NQN[:32]}00000000-0000-0000-0000-000000000000", "error", "no valid UUID"),
        (f"{NQN[:32]}HOST", "error", "no valid UUID"),
        (NQN.replace("0a1f7a3c", "11111111"), "note", "different UUIDs"),
    ],
)
def test_names_of_nvme_hosts(tree: Tree, nqn: str, severity: str, said: str) -> None:
    tree.nvme()
    tree.write("/etc/nvme/hostnqn", f"{nqn}\n")
    found = only(tree.findings("nvme"))
    assert found.severity == severity
    assert said in found.problem


@pytest.mark.parametrize("text", ["", "none\n", "00000000-0000-0000-0000-000000000000\n"])
def test_nvme_host_ids_are_repaired(tree: Tree, text: str) -> None:
    tree.nvme()
    tree.write("/etc/nvme/hostid", text)
    found = only(tree.findings("nvme"))
    assert (found.check, found.severity) == ("nvme.hostid", "warning")
    tree.repair([found])
    assert tree.findings("nvme") == []


def test_nvme_multipath_requires_the_kernels_multipath(tree: Tree) -> None:
    tree.nvme()
    tree.multipath()
    tree.write("/sys/module/nvme_core/parameters/multipath", "N\n")
    assert tree.findings("nvme") == []
    found = only(tree.findings("nvme", "multipath"))
    assert (found.check, found.severity) == ("nvme.multipath", "error")
    (tree.root / "etc/modprobe.d").mkdir()
    tree.repair([found])
    text = (tree.root / "etc/modprobe.d/nvme-multipath.conf").read_text()
    assert text == "options nvme_core multipath=Y\n"


def test_ceph_with_the_kernel_or_a_library(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> list[tuple[str, str]]:
        diagnosis = tree.diagnose(["rbd"])
        return [(f.check, f.severity) for f in diagnosis.findings if f.check[:3] == "rbd"]

    monkeypatch.syspath_prepend(tmp_path / "modules")  # restored after the test
    sys.path[:] = [path for path in sys.path if not _has_ceph(path)]
    for name in ("rados", "rbd"):  # imported by an earlier test in this process
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert found() == [("rbd.library", "error")]
    tree.modules("rbd")
    assert found() == [("rbd.commands", "error")]
    tree.command("rbd")
    assert found() == [("rbd.library", "note")]  # enough to attach, not for a backend
    (tmp_path / "modules").mkdir()
    for name in ("rados", "rbd"):
        (tmp_path / f"modules/{name}.py").touch()
    importlib.invalidate_caches()
    assert found() == []
    (tree.bin / "rbd").unlink()
    assert found() == [("rbd.kernel", "note")]  # enough for programs


def _has_ceph(path: str) -> bool:
    return any(Path(path or ".").glob("r[ab]d*.so"))


def test_ports_of_fibre_channel(tree: Tree) -> None:
    tree.command("lsscsi")
    assert only(tree.findings("fc")).check == "fc.adapter"
    tree.write("/sys/class/fc_host/host3/port_state", "Linkdown\n")
    tree.write("/sys/class/fc_host/host3/port_name", "0x21000024ff7f35c7\n")
    found = only(tree.findings("fc"))
    assert found.severity == "error"
    assert "host3 (0x21000024ff7f35c7) is Linkdown" in found.problem
    tree.write("/sys/class/fc_host/host4/port_state", "Online\n")
    _reached(tree, "rport-3:0-1")
    _reached(tree, "rport-4:0-1", roles="FCP Initiator")
    _reached(tree, "rport-4:0-2", state="Blocked")
    port, target = tree.findings("fc")
    assert (port.check, port.severity) == ("fc.port", "warning")
    assert (target.check, target.severity) == ("fc.target", "warning")
    assert "host4" in target.problem
    _reached(tree, "rport-4:0-2")
    assert only(tree.findings("fc")).check == "fc.port"


def _reached(tree: Tree, port: str, roles: str = "FCP Target", state: str = "Online") -> None:
    """A remote port that an adapter is logged in to."""
    tree.write(f"/sys/class/fc_remote_ports/{port}/roles", f"{roles}\n")
    tree.write(f"/sys/class/fc_remote_ports/{port}/port_state", f"{state}\n")


def test_loop_devices(tree: Tree) -> None:
    assert tree.findings("local") == []  # the module is loaded for the first device
    tree.write("/proc/modules", "loop 40960 0 - Live 0xffffffffc0a3e000\n")
    assert only(tree.findings("local")).check == "local.loop-control"
    tree.write("/dev/loop-control")
    for number in range(2):
        tree.write(f"/sys/block/loop{number}/loop/backing_file", "/disk\n")
    assert tree.findings("local") == []
    tree.write("/sys/module/loop/parameters/max_loop", "2\n")
    assert "max_loop=2" in only(tree.findings("local")).problem
    tree.write("/sys/block/loop2/size", "0\n")
    assert tree.findings("local") == []
    tree.write("/sys/module/loop/parameters/max_loop", "3\n")
    tree.write("/sys/block/loop2/loop/backing_file", "/disk\n")
    assert only(tree.findings("local")).check == "local.loop-devices"
    tree.uid = 1000
    assert tree.findings("local") == []  # without root, no device is needed


# --- LVM ---------------------------------------------------------------------------------------

LVM = """devices {
	filter=["a|.*|"]
	global_filter=["a|.*|"]
	use_devicesfile=0
	devicesfile="system.devices"
}
"""


def _lvm(tree: Tree) -> list[str]:
    found = tree.diagnose(["iscsi"]).findings
    return [finding.commands[0] for finding in found if finding.check == "lvm.filter"]


def test_lvm_must_ignore_attached_volumes(tree: Tree) -> None:
    tree.initiator()
    assert _lvm(tree) == []  # LVM is not installed
    tree.command("pvs", 'echo \'{"report": [{"pv": []}]}\'')
    tree.prints("lvmconfig", LVM)
    assert 'global_filter = [ "r|.*|" ]' in _lvm(tree)[0]
    tree.prints("lvmconfig", LVM.replace('global_filter=["a|.*|"]', 'global_filter=["r|.*|"]'))
    assert _lvm(tree) == []
    text = LVM.replace('filter=["a|.*|"]', 'filter=["a|^/dev/sda3$|","r/.*/"]')
    tree.prints("lvmconfig", text)
    assert _lvm(tree) == []
    tree.prints("lvmconfig", LVM.replace("use_devicesfile=0", "use_devicesfile=1"))
    assert _lvm(tree)
    tree.write("/etc/lvm/devices/system.devices")
    assert _lvm(tree) == []


def test_the_lvm_filter_accepts_the_hosts_own_disks(tree: Tree) -> None:
    tree.initiator()
    tree.prints("lvmconfig", LVM)
    own = "Ab3dEf-1111-2222-3333-4444-5555-666666"
    rows = [{"pv_name": "/dev/sda3", "pv_uuid": own}]
    # On attached volumes: whole, on a partition, on a multipath map.
    for name in ("/dev/sdb", "/dev/sdc1", "/dev/mapper/36001405a1b2c3d4e"):
        rows.append({"pv_name": name, "pv_uuid": "Zz9yXw-1111-2222-3333-4444-5555-666666"})
    tree.write("/dev/dm-7")
    (tree.root / "dev/mapper").mkdir()
    (tree.root / "dev/mapper/36001405a1b2c3d4e").symlink_to("../dm-7")
    tree.prints("pvs", json.dumps({"report": [{"pv": rows}]}))
    document = {"conn": {"driver_volume_type": "iscsi", "data": {}}}
    for key in ("sdb", "sdc", "dm-7"):
        device = {"path": f"/dev/{key}"}
        tree.state.put(Entry(key=key, document=document, status="attached", device=device))
    assert '[ "a|^/dev/sda3$|", "r|.*|" ]' in _lvm(tree)[0]
    # The persistent name, if udev has created it.
    tree.write(f"/dev/disk/by-id/lvm-pv-uuid-{own}")
    (command,) = _lvm(tree)
    assert f'[ "a|^/dev/disk/by-id/lvm-pv-uuid-{own}$|", "r|.*|" ]' in command


def test_no_filter_is_suggested_without_the_list_of_lvms_disks(tree: Tree) -> None:
    tree.initiator()
    tree.prints("lvmconfig", LVM)
    tree.command("pvs", "exit 5")
    (found,) = [f for f in tree.diagnose(["iscsi"]).findings if f.check == "lvm.filter"]
    assert found.commands == ()
    assert "global_filter" in found.advice


@pytest.mark.skipif(shutil.which("lvmconfig") is None, reason="needs LVM: apt-get install lvm2")
def test_lvm_accepts_the_filter(tree: Tree, tmp_path: Path) -> None:
    tree.initiator()
    tree.command("pvs", 'echo \'{"report": [{"pv": []}]}\'')
    folder = tree.root / "etc/lvm"
    folder.mkdir()
    (folder / "lvm.conf").write_text('devices {\n\tfilter = [ "a|.*|" ]\n}\n')
    real = shutil.which("lvmconfig")
    tree.command("lvmconfig", f'LVM_SYSTEM_DIR={folder} exec {real} "$@" 2>/dev/null')
    found = [f for f in tree.diagnose(["iscsi"]).findings if f.check == "lvm.filter"]
    tree.repair(found)
    assert _lvm(tree) == []
    (written,) = folder.glob("lvmlocal.conf")
    assert "global_filter" in written.read_text()


# --- state folder and privileges -----------------------------------------------------------------


def test_a_state_folder_that_others_can_write_to(tree: Tree) -> None:
    tree.state.path.mkdir()
    tree.state.path.chmod(0o777)
    found = only(list(tree.diagnose([]).findings))
    assert (found.check, found.severity) == ("state.folder", "error")


def test_an_unusable_state_folder(tree: Tree) -> None:
    tree.state.path.write_text("no folder")
    found = only(list(tree.diagnose([]).findings))
    assert (found.check, found.severity) == ("state.folder", "error")
    assert "state_path" in found.problem + found.advice


def test_leftovers_of_an_interrupted_attach(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "volume").touch()
    data = {"device_path": str(tmp_path / "volume")}
    document = {"conn": {"driver_volume_type": "local", "data": data}}
    tree.state.put(Entry(key="k", document=document, status="attaching"))
    found = only(list(tree.diagnose([]).findings))
    assert (found.check, found.severity) == ("state.leftovers", "warning")
    assert found.commands == ("cinderlib node cleanup --yes",)
    tree.uid = 1000
    found = only(list(tree.diagnose([]).findings))
    # Root has its own state folder, so this user's leftovers are not in it.
    assert (found.commands, "cleanup" in found.advice) == ((), True)


def test_persistent_volumes_that_do_not_return(tree: Tree) -> None:
    document = {"conn": {"driver_volume_type": "local", "data": {"device_path": "/none"}}}
    tree.state.persistent.put(Kept(key="k", document={**document, "id": "connection-1"}))
    unit, missing = tree.diagnose([]).findings
    assert (unit.check, missing.check) == ("boot.unit", "boot.attachment")
    assert unit.commands == ("systemctl enable cinderlib-attach.service",)
    assert "connection-1" in missing.problem
    tree.write("/etc/systemd/system/multi-user.target.wants/cinderlib-attach.service", "")
    assert [each.check for each in tree.diagnose([]).findings] == ["boot.attachment"]


def test_a_user_without_root_privileges(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.initiator()
    tree.uid = 1000
    tree.command("id", "echo 1000")
    checks = {finding.check: finding for finding in tree.findings("iscsi")}
    helper = checks["host.root-helper"]
    assert (helper.severity, helper.commands) == ("error", ())  # no advice is known for 'env'
    assert "'env' does not allow" in helper.problem
    tree.command("id", "echo 0")
    assert "host.root-helper" not in {finding.check for finding in tree.findings("iscsi")}


#: May read all files, because the environment's Python may be in root's home.
_AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv: apt install util-linux")
def test_instructions_for_sudo(open_folder: Path) -> None:
    sudo = open_folder / "sudo"
    sudo.write_text("#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n")
    sudo.chmod(0o755)
    program = """
import sys
from cinderlib.node import Node
for finding in Node(state_path=sys.argv[1]).diagnose(["iscsi"]).findings:
    if finding.check in ("host.root-helper", "host.groups"):
        print(finding.check, *finding.commands, sep="|")
"""
    done = subprocess.run(
        [*_AS_NOBODY, sys.executable, "-c", program, open_folder / "state"],
        env={**os.environ, "PATH": f"{open_folder}:{os.environ['PATH']}", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "host.root-helper|echo 'nobody ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/cinderlib"
        "|chmod 440 /etc/sudoers.d/cinderlib|visudo -c",
        "host.groups|usermod -aG disk nobody",
    ]
