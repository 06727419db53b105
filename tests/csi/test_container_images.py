"""The images of the plug-in are built, and answer programs outside of them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from servers.images import MARKS, Builder, Image, run

from cinderlib.csi.wire import messages as m
from cinderlib.csi.wire.services import Stub
from cinderlib.testing.csi.plugin import GIB, mount

pytestmark = MARKS
_FILE = "contrib/csi/Containerfile"
#: As in the manifests.
_VOLUMES = ("/csi", "/etc/cinderlib", "/var/lib/cinderlib")
_CONFIGURATION = """
[csi]
keys = { file = "/etc/cinderlib/csi.key" }
protocols = ["local"]
"""
_BACKEND = """
[backends.files]
volume_driver = "file"
file_root = "/var/lib/cinderlib/volumes"
"""


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    with Builder(tmp_path_factory.mktemp("images"), "csi") as builder:
        yield builder


@contextlib.contextmanager
def _plugin(image: Image, folder: pathlib.Path, backend: str = "") -> Iterator[grpc.Channel]:
    """A channel to the process of a container, which ends in order."""
    etc = folder / "etc" / "cinderlib"
    etc.mkdir(parents=True)
    (etc / "cinderlib.toml").write_text(_CONFIGURATION + backend)
    (etc / "cinderlib.toml").chmod(0o600)
    (etc / "csi.key").write_bytes(base64.b64encode(os.urandom(32)))
    (etc / "csi.key").chmod(0o600)
    command = [*image.config["Entrypoint"], "--endpoint", "unix:///csi/csi.sock"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            image.command(folder, *command, volumes=_VOLUMES),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        with grpc.insecure_channel(f"unix:{folder}/csi/csi.sock") as channel:
            _wait_until_ready(channel, process, folder / "log")
            yield channel
        (inside,) = run("pgrep", "-P", process.pid).split()
        os.kill(int(inside), signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(
    channel: grpc.Channel, process: subprocess.Popen[bytes], log: pathlib.Path
) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(grpc.RpcError):
            probe = Stub(channel, "Identity").probe
            if probe(m.ProbeRequest(), timeout=5, wait_for_ready=True).ready.value:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()


def _inside(image: Image, folder: pathlib.Path, code: str) -> Any:
    """What a program in the container writes last, as JSON. Cinder writes warnings before."""
    written = run(*image.command(folder, "python3", "-c", code, volumes=_VOLUMES))
    return json.loads(written.splitlines()[-1])


def test_the_controller(builder: Builder, tmp_path: pathlib.Path) -> None:
    # Fewer programs and extras than in the default, because they only take time here.
    with (
        builder.image(
            _FILE,
            target="controller",
            EXTRAS="csi",
            CONTROLLER_PROGRAMS="python3-rados python3-rbd qemu-utils",
        ) as image,
        _plugin(image, tmp_path, _BACKEND) as channel,
    ):
        create = m.CreateVolumeRequest(
            name="pvc-1",
            capacity_range=m.CapacityRange(required_bytes=GIB),
            volume_capabilities=[mount()],
        )
        volume = Stub(channel, "Controller").create_volume(create, timeout=120).volume
        file = tmp_path / "var/lib/cinderlib/volumes" / f"volume-{volume.volume_id}"
        assert file.stat().st_size == GIB
        # The distribution's packages for Ceph fit the Python of the image.
        found = "import rados, rbd, cinder, json; print(json.dumps(rbd.__name__))"
        assert _inside(image, tmp_path, found) == "rbd"


def test_the_node(builder: Builder, tmp_path: pathlib.Path) -> None:
    with (
        builder.image(_FILE, target="node", NODE_PROGRAMS="e2fsprogs util-linux") as image,
        _plugin(image, tmp_path) as channel,
    ):
        info = Stub(channel, "Node").node_get_info(m.NodeGetInfoRequest(), timeout=60)
        assert 0 < len(info.node_id) <= 256
        code = """
import importlib.util, json
print(json.dumps([n for n in ("cinder", "sqlalchemy", "os_brick") if importlib.util.find_spec(n)]))
"""
        assert _inside(image, tmp_path, code) == ["os_brick"]
