"""Sets up a Ceph cluster on this machine: a monitor, an OSD on the second disk, a pool and its
user.

It has no manager, which would only provide statistics.
"""

import json
import pathlib
import subprocess
import sys

import rados

FOLDER = pathlib.Path("/etc/ceph")
POOL = "volumes"
USER = "cinder"
ADDRESS, FSID, OSD = sys.argv[1:]

CONFIGURATION = f"""
[global]
fsid = {FSID}
mon host = [v2:{ADDRESS}:3300,v1:{ADDRESS}:6789]
keyring = /etc/ceph/ceph.$name.keyring
auth client required = cephx
auth cluster required = cephx
auth service required = cephx
mon allow pool size one = true
auth allow insecure global id reclaim = false
mon data avail warn = 2
mon data avail crit = 1
bluestore cache size = 134217728
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
public addr = {ADDRESS}
"""

GRANTS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    f"client.{USER}": {"mon": "profile rbd", "osd": f"profile rbd pool={POOL}"},
}


def run(*command):
    subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL)


def mon_command(cluster, prefix, **arguments):
    command = json.dumps({"prefix": prefix, "format": "json", **arguments})
    code, _, message = cluster.mon_command(command, b"")
    if code:
        raise RuntimeError(f"{prefix}: {message}")


FOLDER.mkdir(exist_ok=True)
(FOLDER / "ceph.conf").write_text(CONFIGURATION)
keys = FOLDER / "keys"
for name, capabilities in GRANTS.items():
    own = FOLDER / f"ceph.{name}.keyring"
    words = [word for grant in capabilities.items() for word in ("--cap", *grant)]
    run("ceph-authtool", "-C", own, "-n", name, "--gen-key", *words)
    if name == "mon.":
        own.rename(keys)
    else:
        run("ceph-authtool", keys, "--import-keyring", own)

monitor = f"[v2:{ADDRESS}:3300,v1:{ADDRESS}:6789]"
run("monmaptool", "--create", "--fsid", FSID, "--addv", "a", monitor, "/run/monmap")
pathlib.Path("/var/lib/ceph/mon/ceph-a").mkdir(parents=True)
run("ceph-mon", "-i", "a", "--mkfs", "--monmap", "/run/monmap", "--keyring", keys)
run("ceph-mon", "-i", "a", "--public-addr", ADDRESS)

cluster = rados.Rados(conffile=str(FOLDER / "ceph.conf"), name="client.admin")
cluster.connect(timeout=120)
mon_command(cluster, "osd new", uuid=OSD)
osd = pathlib.Path("/var/lib/ceph/osd/ceph-0")
osd.mkdir(parents=True)
(osd / "block").symlink_to("/dev/disk/by-id/virtio-data0")
run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", OSD)
run("ceph-osd", "-i", "0")
mon_command(cluster, "osd pool create", pool=POOL)
mon_command(cluster, "osd pool application enable", pool=POOL, app="rbd")
with cluster.open_ioctx(POOL) as pool:  # Waits until the pool accepts data.
    pool.write_full("probe", b"data")
    pool.remove_object("probe")
cluster.shutdown()
