"""Lists sessions, maps, mounts, exports and volumes on this machine, as JSON.

Resources of a backend are not listed: the driver creates them when a scenario first uses the
backend, and keeps them.
"""

import glob
import json
import os
import subprocess


def names(pattern):
    return sorted(os.path.basename(path.rstrip("/")) for path in glob.glob(pattern))


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def sessions():
    folders = glob.glob("/sys/class/iscsi_session/session*")
    return sorted(f"{os.path.basename(f)} {read(f + '/targetname')}" for f in folders)


def maps():
    folders = glob.glob("/sys/block/dm-*/dm")
    found = [(read(f + "/uuid"), read(f + "/name")) for f in folders]
    return sorted(name for uuid, name in found if not uuid.startswith("LVM-"))


def nvme():
    folders = glob.glob("/sys/class/nvme/nvme*")
    return sorted(f"{os.path.basename(f)} {read(f + '/subsysnqn')}" for f in folders)


def mounts():
    with open("/proc/self/mounts") as lines:
        fields = [line.split() for line in lines]
    kinds = ("nfs", "nfs4", "ext4", "xfs")
    points = [f[1] for f in fields if f[2] in kinds]
    return sorted(point for point in points if point != "/" and not point.startswith("/opt/"))


def loops():
    return [d for d in names("/sys/block/loop*") if os.path.exists(f"/sys/block/{d}/loop")]


def entries():
    return sorted(
        os.path.relpath(path, "/var/lib/cinderlib")
        for path in glob.glob("/var/lib/cinderlib/node/*/*.json")
    )


def lvs():
    try:
        # Thin pools belong to the backend.
        command = ["lvs", "--noheadings", "-o", "vg_name,lv_name", "--select", "segtype!=thin-pool"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        return []
    return sorted("/".join(line.split()) for line in done.stdout.splitlines())


def images():
    """Images in the Ceph cluster that this machine is, if it is one."""
    if not os.path.exists("/etc/ceph/ceph.client.admin.keyring"):
        return []
    done = subprocess.run(["rbd", "ls", "volumes"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def user_space_targets():
    if not glob.glob("/run/tgtd/socket*"):
        return []
    command = ["tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "target"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split()[2] for line in done.stdout.splitlines() if line.startswith("Target ")]


target = "/sys/kernel/config/target"
print(
    json.dumps(
        {
            "SCSI devices": names("/sys/class/scsi_device/*"),
            "device-mapper maps": maps(),
            "iSCSI sessions": sessions(),
            "iSCSI node records": names("/etc/iscsi/nodes/*"),
            "NVMe controllers": nvme(),
            "RBD maps": names("/sys/bus/rbd/devices/*"),
            "mounts": mounts(),
            "loop devices": loops(),
            "attachments recorded": entries(),
            "logical volumes": lvs(),
            "iSCSI targets": names(target + "/iscsi/iqn*"),
            "iSCSI targets of tgtd": user_space_targets(),
            "Fibre Channel LUNs": names(target + "/fc/*/tpgt_*/lun/lun_*"),
            "LIO backstores": names(target + "/core/iblock_*/*/"),
            "NVMe subsystems": names("/sys/kernel/config/nvmet/subsystems/*"),
            "RBD images": images(),
            "files on shares": names("/srv/volumes/*"),
        }
    )
)
