"""A simulated host in a folder: files in the formats of real hosts, and commands that print the
output of real commands. The commands of findings can be run on it, and the checks repeated."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from cinderlib.node.base import HostSettings
from cinderlib.node.checks import diagnose
from cinderlib.node.checks.finding import Diagnosis, Finding
from cinderlib.node.checks.host import Host
from cinderlib.node.state import State

KERNEL = "6.1.0-42-amd64"
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
UBUNTU = "NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n"
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'

#: Abstract sockets of daemons.
ISCSID = "ISCSIADM_ABSTRACT_NAMESPACE"
MULTIPATHD = "/org/kernel/linux/storage/multipathd"

#: The settings of Debian's package open-iscsi, without comments.
ISCSID_CONF = """\
iscsid.startup = /bin/systemctl start iscsid.socket
node.startup = manual
# node.session.auth.authmethod = CHAP
node.session.timeo.replacement_timeout = 120
node.conn[0].timeo.login_timeout = 15
node.conn[0].timeo.noop_out_interval = 5
node.conn[0].timeo.noop_out_timeout = 5
node.session.scan = auto
"""
INITIATOR = "iqn.1993-08.org.debian:01:6d2f8ac0917e"
NQN = "nqn.2014-08.org.nvmexpress:uuid:0a1f7a3c-5d0e-4f5b-9f56-0e7b9c2d4e61"

#: The first lines of ``multipath -t`` of multipath-tools 0.9.4 without a configuration.
MULTIPATH = """\
defaults {
	verbosity 2
	polling_interval 5
	max_polling_interval 20
	reassign_maps "no"
	path_selector "service-time 0"
	uid_attribute "ID_SERIAL"
	features "0"
	path_checker "tur"
	queue_without_daemon "no"
	flush_on_last_del "no"
	user_friendly_names "no"
	fast_io_fail_tmo 5
	find_multipaths "strict"
	skip_kpartx "no"
	recheck_wwid "no"
}
blacklist {
	devnode "!^(sd[a-z]|dasd[a-z]|nvme[0-9])"
	device {
		vendor "SGI"
		product "Universal Xport"
	}
	device {
		vendor "IBM"
		product "S/390"
	}
}
blacklist_exceptions {
	property "(SCSI_IDENT_|ID_WWN)"
}
devices {
	device {
		vendor "NVM[eE]"
		product ".*"
		uid_attribute "ID_WWN"
	}
	device {
		vendor "3PARdata"
		product "VV"
		hardware_handler "1 alua"
		no_path_retry 18
		dev_loss_tmo "infinity"
	}
	device {
		vendor "NVME"
		product "HPE Alletra"
		no_path_retry "queue"
	}
}
overrides {
}
"""


class Tree:
    """The host. Initially it has a distribution, a kernel with the usual modules, udev, and root.

    :param systemd: whether systemd manages its services.
    """

    def __init__(self, folder: Path, *, release: str = DEBIAN, systemd: bool = True) -> None:
        self.root = folder / "root"
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        self.state = State(folder / "state")
        self.uid = 0
        self.write("/etc/os-release", release)
        self.write("/proc/sys/kernel/osrelease", f"{KERNEL}\n")
        self.write("/proc/sys/kernel/hostname", "node7\n")
        self.write("/proc/sys/kernel/random/uuid", f"{NQN[32:]}\n")
        self.write("/proc/modules", "ext4 942080 1 - Live 0xffffffffc0a3e000\n")
        self.write("/proc/filesystems", "nodev\tsysfs\nnodev\ttmpfs\n\text4\n")
        self.write("/proc/net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n")
        self.modules("iscsi_tcp", "dm-mod", "dm-multipath", "nvme-fabrics", "nvme-tcp", "loop")
        self.write("/run/udev/control")
        if systemd:
            (self.root / "run/systemd/system").mkdir(parents=True)
        self.command("modprobe")

    def write(self, name: str, text: str = "") -> None:
        """Create a file."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def modules(self, *names: str) -> None:
        """Add kernel modules that can be loaded."""
        lines = [f"kernel/drivers/{name}.ko.xz: kernel/lib/other.ko.xz\n" for name in names]
        self.write(f"/lib/modules/{KERNEL}/modules.dep", "".join(lines))

    def command(self, name: str, script: str = "true") -> None:
        """Install a command."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def prints(self, name: str, text: str, when: str = "*") -> None:
        """Install a command that prints a text if its arguments match a shell pattern, and
        otherwise fails."""
        self.write(f"/printed/{name}", text)
        file = self.root / "printed" / name
        self.command(name, f'case "$*" in {when}) cat {file} ;; *) exit 1 ;; esac')

    def listens(self, socket: str) -> None:
        """Add an abstract socket of a daemon, or of systemd for it."""
        with (self.root / "proc/net/unix").open("a") as sockets:
            sockets.write(f"0000000000000000: 00000002 00000000 00010000 0001 01 17043 @{socket}\n")

    def initiator(self) -> None:
        """Install and set up open-iscsi."""
        self.command("iscsiadm")
        self.command("lsscsi")
        self.command("iscsi-iname", "echo iqn.1993-08.org.debian:01:b7f1d2a90c34")
        self.write("/etc/iscsi/initiatorname.iscsi", f"## comment\nInitiatorName={INITIATOR}\n")
        self.write("/etc/iscsi/iscsid.conf", ISCSID_CONF)
        self.listens(ISCSID)

    def multipath(self, text: str = MULTIPATH) -> None:
        """Install multipath-tools, and run it with a configuration."""
        self.command("multipath")
        self.prints("multipathd", text, "'show config'")
        self.listens(MULTIPATHD)

    def nvme(self) -> None:
        """Install and set up nvme-cli."""
        self.command("nvme", f"echo {NQN}")
        self.write("/etc/nvme/hostnqn", f"{NQN}\n")
        self.write("/etc/nvme/hostid", f"{NQN.rpartition(':')[2]}\n")

    @property
    def host(self) -> Host:
        # The checks use only `cat` and `id` of the machine of the tests.
        path = f"{self.bin}:/usr/bin:/bin" if self.uid else str(self.bin)
        return Host(root=self.root, path=path, uid=self.uid, root_helper="env")

    def diagnose(self, protocols: Collection[str] | None = None, **needed: str) -> Diagnosis:
        """Run the checks."""
        settings = HostSettings(root_helper="env", state=self.state)
        return diagnose(settings, protocols, needed, host=self.host)

    def findings(self, *protocols: str) -> list[Finding]:
        """The findings for these protocols, without those of LVM and RBD, which have their own
        tests."""
        found = self.diagnose(protocols).findings
        return [finding for finding in found if not finding.check.startswith(("lvm", "rbd"))]

    def repair(self, findings: Iterable[Finding]) -> None:
        """Run the commands of findings on this host, instead of as root on the machine.

        Programs that install packages or start services must be among its commands.
        """
        lines = [command for finding in findings for command in finding.commands]
        script = re.sub(r"(?<![\w.])/(etc|run|dev|proc)/", rf"{self.root}/\1/", "\n".join(lines))
        done = subprocess.run(
            ["sh", "-euc", script],
            env={"PATH": f"{self.bin}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stderr}"


def only(findings: list[Finding]) -> Finding:
    """The only finding."""
    assert len(findings) == 1, findings
    return findings[0]
