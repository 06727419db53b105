"""The command ``cinderlib`` on two machines. The scenario takes the place of ssh as the pipe."""

from __future__ import annotations

import json
import re

import lvm
from steps import GIB, shows

from lab.machine import Machine
from lab.session import Session

_CONFIGURATION = f"""
[store]
connection = "sqlite:////root/store.sqlite"

{lvm.backend()}"""


@shows("The command, by pipe: node connector, volume connect, node attach", "iSCSI")
def test_by_pipe(controller: Machine, control: Session, node1: Machine, on_node1: Session) -> None:
    control("vol = lvm.create_volume(size=1, name='piped')")
    controller.run(f"umask 077; cat >cinderlib.toml <<'TOML'\n{_CONFIGURATION}TOML")
    on_controller = "cinderlib --config cinderlib.toml"

    # The node has neither a configuration nor a store.
    connector = node1.program("cinderlib node connector")
    connect = f"{on_controller} volume connect piped --connector -"
    document = controller.program(connect, connector)
    path = node1.program("cinderlib node attach -", document).strip()
    written = on_node1("data.write(path)", path=path)
    assert controller.digest(f"/dev/cinder-volumes/{control('vol.name_in_storage')}") == written
    assert path in node1.program("cinderlib node list")

    control("vol.refresh(); vol.extend(2)")
    assert int(node1.program(f"cinderlib node extend {path}")) == 2 * GIB
    assert on_node1("data.read(path)") == written

    node1.program(f"cinderlib node detach {path}")
    assert node1.program("cinderlib --json node list").strip() == "[]"
    controller.program(f"{on_controller} volume disconnect piped --host node1")
    control("vol.refresh(); vol.delete()")
    controller.run("rm cinderlib.toml")


def test_limits_of_a_control_group(controller: Machine) -> None:
    """The kernel slows down the programs of the group while the volume is attached, and no
    others."""
    group, size = "/sys/fs/cgroup/limited", 64 << 20
    controller.run(
        f"""
        mountpoint -q /sys/fs/cgroup || mount -t cgroup2 none /sys/fs/cgroup
        echo +io > /sys/fs/cgroup/cgroup.subtree_control
        mkdir {group}
        truncate -s {size} /root/limited
        """
    )
    data = {"device_path": "/root/limited", "qos_specs": {"write_bytes_sec": 4000000}}
    conn = {"driver_volume_type": "local", "data": data}
    document = json.dumps({"conn": conn, "id": "limited", "volume": {"size": size}})

    def attach(options: str = "") -> str:
        return controller.program(f"cinderlib node attach - {options}", document).strip()

    def seconds(path: str, folder: str) -> float:
        """How long a program in a control group writes 20 MB."""
        write = f"dd if=/dev/zero of={path} bs=1M count=20 oflag=direct 2>&1"
        done = controller.run(f"sh -c 'echo $$ > {folder}/cgroup.procs; LC_ALL=C exec {write}'")
        return float(re.findall(r"copied, ([0-9.e-]+) s", done)[0])

    path = attach(f"--cgroup {group}")
    limits = controller.run(f"cat {group}/io.max").split()
    slow, others = seconds(path, group), seconds(path, "/sys/fs/cgroup")
    controller.program("cinderlib node detach limited")
    after = controller.run(f"cat {group}/io.max").strip()
    path = attach()
    unlimited = seconds(path, group)
    controller.program("cinderlib node detach limited")
    controller.run(f"rmdir {group}; rm /root/limited")
    assert limits[1:] == ["rbps=max", "wbps=4000000", "riops=max", "wiops=max"]
    assert after == ""
    # 21 MB need 5.2 s.
    assert (slow > 4.5, others < slow / 2, unlimited < slow / 2) == (True, True, True), (
        f"{slow} s in the group, {others} s outside, {unlimited} s without limits"
    )
