"""The files of the two distributions, and a host with only cinderlib-node."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
import zipfile
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE = ROOT / "packages" / "node"
SOURCE = ROOT / "src" / "cinderlib"

#: Limits for a host that only attaches, including the tools that install the packages.
MOST_PACKAGES, MOST_MIB = 60, 110


def _settings(project: pathlib.Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text())
    return found


def _files(included: list[str]) -> set[pathlib.Path]:
    files: set[pathlib.Path] = set()
    for name in included:
        path = ROOT / name
        found = path.rglob("*") if path.is_dir() else [path]
        files |= {each for each in found if each.is_file() and "__pycache__" not in each.parts}
    return files


def _split() -> tuple[set[pathlib.Path], set[pathlib.Path]]:
    build = _settings(NODE)["tool"]["hatch"]["build"]
    whole = _settings(ROOT)["tool"]["hatch"]["build"]["targets"]["wheel"]
    return _files(build["only-include"]), _files(whole["only-include"])


def test_each_file_is_in_one_distribution() -> None:
    node, rest = _split()
    assert not node & rest
    assert node | rest == _files(["src/cinderlib"])


@pytest.fixture(scope="module")
def node_only(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the files of cinderlib-node."""
    folder = tmp_path_factory.mktemp("node")
    for path in _split()[0]:
        target = folder / path.relative_to(ROOT / "src")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


def _python(
    folder: pathlib.Path, program: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "XDG_STATE_HOME": str(folder),
        "CINDERLIB_CONFIG": str(folder / "cinderlib.toml"),
    }
    (folder / "cinderlib.toml").write_text(f'[controller]\nstate_path = "{folder}/state"\n')
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def _cinderlib(folder: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _python(folder, "from cinderlib.cli.main import main; main()", *arguments)


def test_a_node_attaches_and_detaches_with_only_its_distribution(node_only: pathlib.Path) -> None:
    file = node_only / "volume"
    with file.open("wb") as volume:
        volume.truncate(2**20)
    data = {"device_path": str(file)}
    document = node_only / "connection.json"
    document.write_text(json.dumps({"conn": {"driver_volume_type": "local", "data": data}}))

    connector = _cinderlib(node_only, "node", "connector", "--protocol", "local")
    assert json.loads(connector.stdout)["host"], connector.stderr
    attached = _cinderlib(node_only, "--json", "node", "attach", str(document))
    assert not attached.returncode, attached.stderr
    listed = json.loads(_cinderlib(node_only, "--json", "node", "list").stdout)
    assert len(listed) == 1
    device = json.loads(attached.stdout)["path"]
    detached = _cinderlib(node_only, "node", "detach", device)
    assert not detached.returncode, detached.stderr
    assert json.loads(_cinderlib(node_only, "--json", "node", "list").stdout) == []
    cleaned = _cinderlib(node_only, "node", "cleanup", "--yes")
    assert not cleaned.returncode, cleaned.stderr
    doctor = _cinderlib(node_only, "--json", "doctor", "--protocol", "local")
    assert "findings" in json.loads(doctor.stdout), doctor.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts and loop devices need root")
@pytest.mark.root
def test_a_node_serves_csi_with_only_its_distribution(node_only: pathlib.Path) -> None:
    """A connection of a controller is staged, published and removed; without Cinder and a store."""
    program = """
import json, os, sys
import grpc
from cinderlib import Node
from cinderlib.csi import ids, settings
from cinderlib.csi.node.service import NodeService
from cinderlib.csi.identity import IdentityService
from cinderlib.csi.node_context import CONTEXT
from cinderlib.csi.server import Server
from cinderlib.csi.wire import messages as m
from cinderlib.csi.wire.services import Stub

folder = sys.argv[1]
chosen = settings.read({'keys': 'A' * 43 + '=', 'protocols': ['local']}, 'node')
node = NodeService(chosen, Node(state_path=folder + '/csi-state', host='node1'))
server = Server('unix://' + folder + '/csi.sock', {'Node': node})
server.start()
stub = Stub(grpc.insecure_channel('unix:' + folder + '/csi.sock'), 'Node')
volume = ids.volume('x', 'v')
info = stub.node_get_info(m.NodeGetInfoRequest())
data = {'device_path': folder + '/csi-volume'}
document = {'conn': {'driver_volume_type': 'local', 'data': data},
            'id': ids.connection(volume, 'node1'), 'volume': {'id': volume, 'size': 1 << 26}}
capability = m.VolumeCapability(block={}, access_mode={'mode': 'SINGLE_NODE_WRITER'})
staged = dict(volume_id=volume, staging_target_path=folder + '/staging',
              publish_context={CONTEXT: chosen.seal.seal(document, volume, 'node1')},
              volume_capability=capability)
target = folder + '/target'
stub.node_stage_volume(m.NodeStageVolumeRequest(**staged))
stub.node_publish_volume(m.NodePublishVolumeRequest(**staged, target_path=target))
open(target, 'r+b').write(b'data')
stub.node_unpublish_volume(m.NodeUnpublishVolumeRequest(volume_id=volume, target_path=target))
stub.node_unstage_volume(m.NodeUnstageVolumeRequest(
    volume_id=volume, staging_target_path=folder + '/staging'))
server.stop()
heavy = [each for each in ('cinder', 'sqlalchemy', 'os_brick') if each in sys.modules]
print(json.dumps([info.node_id.split('/')[0], os.path.exists(target), heavy]))
"""
    with (node_only / "csi-volume").open("wb") as volume:
        volume.truncate(2**26)
    (node_only / "staging").mkdir()
    done = _python(node_only, program, str(node_only))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["node1", False, []]
    assert (node_only / "csi-volume").read_bytes()[:4] == b"data"


@pytest.mark.parametrize(
    "verb",
    ["volume list", "snapshot create x y", "driver list", "recover", "store upgrade", "demo"],
)
def test_commands_for_storage_name_the_package_to_install(
    node_only: pathlib.Path, verb: str
) -> None:
    done = _cinderlib(node_only, *verb.split())
    assert done.returncode == 5, done.stderr
    assert re.search(r"has only cinderlib-node.*Install cinderlib \d", done.stderr), done.stderr
    assert not _cinderlib(node_only, *verb.split(), "--help").returncode


def test_names_for_storage_name_the_package_to_install(node_only: pathlib.Path) -> None:
    program = """
import cinderlib as cl
cl.Node(), cl.get_connector_properties, cl.Attachment, cl.Progress, dir(cl)
try:
    cl.Controller()
except cl.errors.MissingDependency as exc:
    print(exc)
"""
    done = _python(node_only, program)
    assert done.stdout.startswith("cinderlib.Controller manages storage"), done.stderr


def _pip(python: pathlib.Path, *arguments: str | pathlib.Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    constraints = str(ROOT / "constraints.txt")
    environment |= {"PIP_CONSTRAINT": constraints, "PIP_BUILD_CONSTRAINT": constraints}
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_node_is_small(tmp_path: pathlib.Path) -> None:
    began = time.monotonic()
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    _pip(python, "install", NODE)
    listed = subprocess.check_output([python, "-m", "pip", "list", "--format=json"])
    packages = [each["name"] for each in json.loads(listed)]
    shown = subprocess.check_output(["du", "-sm", tmp_path / "venv"], text=True)
    mib = int(shown.split()[0])
    print(f"\n{len(packages)} packages, {mib} MiB, {time.monotonic() - began:.0f} s")
    assert "cinder" not in packages
    assert "sqlalchemy" not in [name.lower() for name in packages]
    assert (len(packages) <= MOST_PACKAGES, mib <= MOST_MIB) == (True, True)
    program = tmp_path / "venv" / "bin" / "cinderlib"
    connector = subprocess.check_output([program, "node", "connector", "--protocol", "local"])
    assert json.loads(connector)["host"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    """The wheels that are built from a source tree, by the names of their distributions."""
    folder = tmp_path_factory.mktemp("wheels")
    for project in (NODE, ROOT):
        _pip(pathlib.Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", folder, project)
    return {path.name.split("-")[0]: zipfile.ZipFile(path) for path in folder.glob("*.whl")}


def _metadata(wheel: zipfile.ZipFile) -> str:
    (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    return wheel.read(name).decode()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_files_in_the_wheels(wheels: dict[str, zipfile.ZipFile]) -> None:
    modules = {
        name: {each for each in wheel.namelist() if each.startswith("cinderlib/")}
        for name, wheel in wheels.items()
    }
    assert not modules["cinderlib"] & modules["cinderlib_node"]
    expected = {str(path.relative_to(ROOT / "src")) for path in _files(["src/cinderlib"])}
    assert modules["cinderlib"] | modules["cinderlib_node"] == expected
    shared = {
        re.sub(r"^.*\.data/data/", "", name)
        for wheel in wheels.values()
        for name in wheel.namelist()
        if ".data/data/" in name
    }
    assert shared == {
        "lib/systemd/system/cinderlib-attach.service",
        "lib/systemd/system/cinderlib-recover.service",
        "lib/systemd/system/cinderlib.service",
        "lib/systemd/system/cinderlib.socket",
        "share/bash-completion/completions/cinderlib",
        "share/fish/vendor_completions.d/cinderlib.fish",
        "share/man/man1/cinderlib.1",
        "share/zsh/site-functions/_cinderlib",
    }
    # In a clone, cinderlib-node is installed from the clone instead of a package index.
    (node,) = re.findall(r"Requires-Dist: cinderlib-node @ (.*)", _metadata(wheels["cinderlib"]))
    assert node.startswith("file://")
    for wheel in wheels.values():
        assert "Project-URL: Changelog" in _metadata(wheel)


@pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze: apt-get install systemd"
)
@pytest.mark.parametrize(
    "name", ["cinderlib-attach.service", "cinderlib-recover.service", "cinderlib.service"]
)
def test_the_systemd_units_are_valid(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "cinderlib").write_text("#!/bin/sh\n")
    (tmp_path / "cinderlib").chmod(0o755)
    shutil.copy(ROOT / "systemd" / "cinderlib.socket", tmp_path)
    unit = tmp_path / name
    text = (ROOT / "systemd" / name).read_text()
    unit.write_text(
        re.sub("^(Exec[A-Za-z]+=)cinderlib", rf"\1{tmp_path}/cinderlib", text, flags=re.M)
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, name in done.stderr) == (0, False), done.stderr
