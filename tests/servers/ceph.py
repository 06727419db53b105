"""A Ceph cluster with one monitor, one manager and one OSD, for a test run.

Its daemons are children of this process and use free ports of the loopback interface and a
temporary folder. It needs neither root nor the kernel's Ceph modules.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import servers

POOL = "volumes"
USER = "cinder"
_START_TIMEOUT = 90.0
#: The user of the daemon that copies images from another cluster.
_MIRROR = "rbd-mirror.a"
_COMMANDS = {
    "ceph-mon": "ceph-mon",
    "ceph-mgr": "ceph-mgr",
    "ceph-osd": "ceph-osd",
    "ceph-authtool": "ceph-common",
    "setpriv": "util-linux",
}

_CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{port}
keyring = {folder}/$name.keyring
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file =
run dir = {folder}
crash dir = {folder}
auth client required = cephx
auth cluster required = cephx
auth service required = cephx
mon data = {folder}/mon
mon allow pool size one = true
mon warn on pool no redundancy = false
mon warn on insecure global id reclaim allowed = false
auth allow insecure global id reclaim = false
mon data avail warn = 2
mon data avail crit = 1
mgr data = {folder}/mgr
mgr initial modules =
mgr stats period = 1
mgr tick period = 1
osd data = {folder}/osd
osd objectstore = bluestore
bluestore block size = 107374182400
bluestore block create = true
bluestore cache size = 134217728
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
ms bind ipv4 = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
"""


def missing() -> str | None:
    """The requirements of a cluster that this machine lacks, and how to install them."""
    packages = {package for command, package in _COMMANDS.items() if not shutil.which(command)}
    if packages:
        return f"no Ceph servers here: apt-get install {' '.join(sorted(packages))}"
    if not all(importlib.util.find_spec(name) for name in ("rados", "rbd")):
        return (
            f"no modules rados and rbd for Python {sys.version_info[0]}.{sys.version_info[1]}: "
            "apt-get install python3-rados python3-rbd, then scripts/ceph-modules .venv; they "
            "serve the distribution's own Python only"
        )
    return None


class Cluster:
    """A running cluster.

    :ivar configuration: the path of ceph.conf.
    :ivar keyring: the path of the key of the user :data:`USER`, with the capabilities for volumes.
    :param like: a cluster on which this user has the same key.
    """

    def __init__(self, folder: Path, like: Cluster | None = None) -> None:
        self.folder = folder
        self.configuration = folder / "ceph.conf"
        self.keyring = folder / f"client.{USER}.keyring"
        self._like = like
        self._fsid = str(uuid.uuid4())
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start it, and wait until its pool accepts volumes."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.configuration.write_text(
            _CONFIGURATION.format(fsid=self._fsid, folder=self.folder, port=port)
        )
        self._make_keys()
        monmap = self.folder / "monmap"
        address = f"[v2:127.0.0.1:{port}]"
        self._run("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", address, monmap)
        keys = self.folder / "mon.a.keyring"
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keys)
        self._spawn("ceph-mon", "a")
        (self.folder / "mgr").mkdir()
        self._spawn("ceph-mgr", "a")
        with self.connected() as cluster:
            self._command(cluster, "osd new", uuid=self._osd_id)
            (self.folder / "osd").mkdir()
            self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", self._osd_id)
            self._spawn("ceph-osd", "0")
            self._command(cluster, "osd pool create", pool=POOL)
            self._command(cluster, "osd pool application enable", pool=POOL, app="rbd")
            self._wait_for_placement(cluster)

    def stop(self) -> None:
        """Kill its daemons, because the data is not needed again."""
        for daemon in self._daemons:
            daemon.kill()
        for daemon in self._daemons:
            daemon.wait()

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection with the administrator's key."""
        import rados

        cluster = rados.Rados(conffile=str(self.configuration), name="client.admin")
        cluster.connect(timeout=_START_TIMEOUT)
        try:
            yield cluster
        finally:
            cluster.shutdown()

    def images(self) -> list[str]:
        """The names of all images in the pool, including the trash."""
        import rbd

        with self.connected() as cluster, cluster.open_ioctx(POOL) as pool:
            trash = [image["name"] for image in rbd.RBD().trash_list(pool)]
            return [*rbd.RBD().list(pool), *trash]

    def mirror(self, name: str, token: str | None = None) -> str:
        """Copy the images that another cluster marks as mirrored into the pool, by a daemon.

        :param name: of this cluster for the other one.
        :param token: that the other one returned; without it, the first cluster of a pair is
            prepared and waits for the second.
        :returns: what the other cluster needs to connect to this one.
        """
        import rbd

        with self.connected() as cluster, cluster.open_ioctx(POOL) as pool:
            images = rbd.RBD()
            images.mirror_site_name_set(cluster, name)
            images.mirror_mode_set(pool, rbd.RBD_MIRROR_MODE_IMAGE)
            if token is not None:
                images.mirror_peer_bootstrap_import(
                    pool, rbd.RBD_MIRROR_PEER_DIRECTION_RX_TX, token
                )
            made: str = images.mirror_peer_bootstrap_create(pool)
        self._spawn("rbd-mirror", f"client.{_MIRROR}", option="-n")
        return made

    def _make_keys(self) -> None:
        self._osd_id = str(uuid.uuid4())
        grants = {
            "mon.": {"mon": "allow *"},
            "client.admin": dict.fromkeys(("mon", "osd", "mgr", "mds"), "allow *"),
            "mgr.a": {"mon": "allow profile mgr", "osd": "allow *", "mds": "allow *"},
            "osd.0": {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"},
            f"client.{_MIRROR}": {"mon": "profile rbd-mirror", "osd": "profile rbd"},
            f"client.{USER}": {
                "mon": "profile rbd",
                "osd": f"profile rbd pool={POOL}",
                "mgr": f"profile rbd pool={POOL}",
            },
        }
        keys = self.folder / "mon.a.keyring"
        for name, capabilities in grants.items():
            own = self.folder / f"{name}.keyring"
            caps = [word for grant in capabilities.items() for word in ("--cap", *grant)]
            key = ["--gen-key"]
            if self._like is not None and name == f"client.{USER}":
                key = ["--add-key", _key(self._like.keyring)]
            self._run("ceph-authtool", "-C", own, "-n", name, *key, *caps)
            if name == "mon.":
                own.rename(keys)
            else:
                self._run("ceph-authtool", keys, "--import-keyring", own)

    def _run(self, command: str, *arguments: str | Path) -> None:
        options = [] if command in ("ceph-authtool", "monmaptool") else ["-c", self.configuration]
        done = subprocess.run(
            [command, *options, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command} failed: {done.stderr[-2000:]}")

    def _spawn(self, daemon: str, name: str, *, option: str = "-i") -> None:
        self._daemons.append(
            subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *(daemon, "-f", option, name, "-c", str(self.configuration)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "CEPH_CONF": str(self.configuration)},
            )
        )

    def _command(self, cluster: Any, prefix: str, **arguments: Any) -> Any:
        code, output, message = cluster.mon_command(
            json.dumps({"prefix": prefix, "format": "json", **arguments}), b""
        )
        if code:
            raise RuntimeError(f"ceph {prefix} failed: {message}")
        return json.loads(output) if output.strip() else None

    def _wait_for_placement(self, cluster: Any) -> None:
        until = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < until:
            status = self._command(cluster, "status")["pgmap"]
            states = {s["state_name"]: s["count"] for s in status["pgs_by_state"]}
            if states and set(states) == {"active+clean"} and status.get("bytes_total"):
                return
            time.sleep(0.1)
        raise RuntimeError(f"the placement groups are not clean after {_START_TIMEOUT} s: {status}")


def _key(keyring: Path) -> str:
    found = re.search(r"key = (\S+)", keyring.read_text())
    assert found is not None
    return found[1]


@contextlib.contextmanager
def run(like: Cluster | None = None) -> Iterator[Cluster]:
    """A cluster that is removed at the end of the block.

    :param like: a cluster on which :data:`USER` has the same key.
    """
    if reason := missing():
        pytest.skip(reason)
    with servers.folder(None) as folder:
        cluster = Cluster(folder, like)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@contextlib.contextmanager
def run_mirrored() -> Iterator[tuple[Cluster, Cluster]]:
    """Two clusters that copy each other's mirrored images, in both directions."""
    if not shutil.which("rbd-mirror"):
        pytest.skip("no rbd-mirror here: apt-get install rbd-mirror")
    with run() as first, run(like=first) as second:
        second.mirror("second", first.mirror("first"))
        yield first, second
