"""oVirt's managed block storage: simulates the engine and the host, which run our programs alone,
and with a service."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from service.running import Service

import cinderlib as cl
from cinderlib.ovirt import adapter

TESTS = pathlib.Path(__file__).parents[1]
CORRELATION_ID = "cid-1"
NOISY = "ovirt.noisy_array.NoisyArray"


def program(name: str) -> list[str]:
    """The command line of the installed program.

    :param name: ``adapter`` or ``helper``.
    """
    return [sys.executable, "-c", f"from cinderlib.launcher import {name}; {name}()"]


class CommandFailed(Exception):
    """The error that the engine logs."""


@dataclasses.dataclass
class Engine:
    """Runs the adapter and reads its output like the engine.

    :ivar output: the output of the program, if it runs in this process.
    :ivar with_service: whether a service runs; then each verb is a process that uses it.
    """

    folder: pathlib.Path
    driver: dict[str, Any]
    output: pytest.CaptureFixture[str]
    with_service: bool = False

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/engine.sqlite"

    def _arguments(self, verb: str, extra: tuple[str, ...]) -> list[str]:
        return [verb, json.dumps(self.driver), self.url, CORRELATION_ID, *extra]

    def __call__(self, verb: str, *extra: str) -> str:
        if self.with_service:
            return self.process(verb, *extra)
        self.output.readouterr()
        code = adapter.run(self._arguments(verb, extra))
        printed = self.output.readouterr()
        return self._answer(printed.out + printed.err, code)

    def process(self, verb: str, *extra: str) -> str:
        """The same in a new process, which takes seconds to load Cinder without a service."""
        done = subprocess.run(
            [*program("adapter"), *self._arguments(verb, extra)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
            check=False,
        )
        return self._answer(done.stdout, done.returncode)

    def _answer(self, printed: str, code: int) -> str:
        lines = printed.splitlines()
        assert len(lines) <= 1, "nothing but the answer"
        answer = ""
        for line in lines:
            for prefix in ("error", CORRELATION_ID):
                if line.startswith(prefix):
                    answer = line[len(prefix) + 1 :]
        if code:
            raise CommandFailed(answer)
        return answer

    def records(self) -> cl.Controller:
        """Another controller that reads the store."""
        return cl.Controller(
            {"storage": "db", "connection": self.url}, state_path=self.folder / "state"
        )


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service without the engine's backends, which it does not need."""
    with tempfile.TemporaryDirectory(prefix="cl-") as folder:
        with Service(pathlib.Path(folder)).start() as running:
            yield running
        log = running.log.read_text()
        assert "secret-of-the-array" not in log
        assert "Traceback" not in log


@pytest.fixture(params=["alone", pytest.param("service", marks=pytest.mark.slow)])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the programs find a service."""
    socket = "none"
    if request.param == "service":
        socket = str(request.getfixturevalue("service").socket)
    monkeypatch.setenv("CINDERLIB_SERVICE", socket)
    return str(request.param)


@pytest.fixture
def engine(
    tmp_path: pathlib.Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> Engine:
    monkeypatch.setenv("CINDERLIB_STATE_PATH", str(tmp_path / "state"))
    options = {
        "volume_backend_name": "array",
        "volume_driver": NOISY,
        "file_root": str(tmp_path / "array"),
        "array_password": "secret-of-the-array",
        "adapter": "cinderlib",
    }
    return Engine(tmp_path, options, capfd, with_service=mode == "service")


def connector(host: str) -> dict[str, Any]:
    return {"host": host, "ip": "192.0.2.1", "initiator": f"iqn.2026-11.org.example:{host}"}


def volume_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def hosts(engine: Engine, volume: str) -> list[str]:
    with engine.records() as controller:
        return [c.connector_info["host"] for c in controller.volume(volume).connections]


def test_lifecycle_of_a_disk(engine: Engine) -> None:
    disk, copy = volume_id(1), volume_id(2)
    assert engine("create_volume", disk, "1") == ""
    stats = json.loads(engine("storage_stats", "true"))
    assert stats["pools"][0]["total_capacity_gb"] > 0

    first = engine.process("connect_volume", disk, json.dumps(connector("one")))
    conn = json.loads(first)
    assert conn["adapter"] == "cinderlib"
    assert conn["driver_volume_type"] == "iscsi"
    # A repeated connect of the same host returns the same connection.
    assert engine("connect_volume", disk, json.dumps(connector("one"))) == first
    assert hosts(engine, disk) == ["one"]

    device = {"path": "/dev/dm-1", "type": "block", "multipath_id": "36001", "scsi_wwn": "36001"}
    engine("save_device", disk, json.dumps(device))
    info = json.loads(engine("get_connection_info", disk))
    assert (info["device"], info["conn"]["adapter"]) == (device, "cinderlib")

    snapshot = engine("create_snapshot", disk)
    restored = engine("create_volume_from_snapshot", disk, snapshot)
    engine("clone_volume", disk, copy)
    engine("extend_volume", disk, "2")
    engine("extend_volume", disk, "2")
    with engine.records() as controller:
        assert {v.id: v.size for v in controller.volumes()} == {disk: 2, copy: 1, restored: 1}
    engine("disconnect_volume", disk)
    assert hosts(engine, disk) == []

    with pytest.raises(CommandFailed, match="snapshot"):
        engine("delete_volume", disk)
    engine("remove_snapshot", snapshot, disk)
    engine("remove_snapshot", snapshot, disk)
    for id in (disk, copy, restored):
        engine("delete_volume", id)
    engine("delete_volume", disk)
    assert [f for f in os.listdir(engine.folder / "array") if not f.startswith(".")] == []
    log = (engine.folder / "state" / "ovirt-adapter.log").read_text()
    assert "error of a driver that prints" in log
    assert "secret-of-the-array" not in log


def test_a_virtual_machine_keeps_its_disk_during_migration(engine: Engine) -> None:
    disk = volume_id(1)
    engine("create_volume", disk, "1")
    for host in ("source", "target"):
        engine("connect_volume", disk, json.dumps(connector(host)))
        engine("save_device", disk, json.dumps({"path": f"/dev/{host}"}))
    with engine.records() as controller:
        assert controller.volume(disk).multiattach is False
        attached = {c.connector_info["host"]: c.path for c in controller.connections()}
    assert attached == {"source": "/dev/source", "target": "/dev/target"}

    engine("disconnect_volume", disk)
    assert "target" in hosts(engine, disk)
    # An engine that specifies a host gets its connection.
    engine("disconnect_volume", disk, "source")
    assert hosts(engine, disk) == ["target"]

    # After a failed migration, a host that never attached the disk is disconnected.
    engine("connect_volume", disk, json.dumps(connector("third")))
    engine("disconnect_volume", disk)
    assert hosts(engine, disk) == ["target"]
    engine("delete_volume", disk)


@pytest.mark.parametrize(
    ("verb", "extra", "says"),
    [
        ("create_volume", [volume_id(1), "many"], "many"),
        ("create_volume", [volume_id(1)], "needs a volume ID and a size"),
        ("connect_volume", [volume_id(1), "{}"], volume_id(1)),
        ("connect_volume", [volume_id(1), "no json"], "connector"),
        ("extend_volume", [volume_id(1), "2"], volume_id(1)),
        ("paint_volume", [volume_id(1)], "paint_volume"),
    ],
)
def test_errors_are_one_line(engine: Engine, verb: str, extra: list[str], says: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        engine(verb, *extra)
    assert says in str(failed.value)


def test_invalid_driver_options(engine: Engine) -> None:
    engine.driver["fil_root"] = "x"
    with pytest.raises(CommandFailed, match="did you mean 'file_root'"):
        engine("storage_stats", "false")
    engine.driver = {"volume_driver": "file"}
    with pytest.raises(CommandFailed, match="volume_backend_name"):
        engine.process("storage_stats", "false")


class Vdsm:
    """Runs the helper like vdsm, and keeps the rows of vdsm's database.

    :ivar rows: a row for each volume.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.rows: dict[str, dict[str, Any]] = {}
        # Hosts of oVirt run multipathd; this program only reports that it is running.
        programs = folder / "bin"
        programs.mkdir()
        (programs / "multipathd").write_text("#!/bin/sh\nexit 0\n")
        (programs / "multipathd").chmod(0o755)
        self._path = f"{programs}:{os.environ['PATH']}"

    def run(self, verb: str, given: Any = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program("helper"), verb],
            input=None if given is None else json.dumps(given),
            stdin=subprocess.DEVNULL if given is None else None,
            env={
                **os.environ,
                "PATH": self._path,
                "CINDERLIB_STATE_PATH": str(self._folder / "host"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def _answer(self, verb: str, given: Any = None) -> Any:
        done = self.run(verb, given)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def connector_info(self) -> Any:
        return self._answer("connector_info")

    def attach(self, volume: str, connection_info: Any) -> dict[str, Any]:
        row = self.rows[volume] = {"vol_id": volume, "connection_info": connection_info}
        attachment: dict[str, Any] = self._answer("attach", {"connection_info": connection_info})
        # For protocols that vdsm does not know, the path is in the attachment.
        row |= {"path": attachment["path"], "attachment": attachment}
        if "multipath_id" in attachment:
            row["multipath_id"] = attachment["multipath_id"]
        return attachment

    def detach(self, volume: str) -> None:
        assert self._answer("detach", self.rows.pop(volume)) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="vdsm runs its helper as root (run as root)")
@pytest.mark.slow
def test_a_disk_is_attached_by_the_host_that_the_engine_connected(
    engine: Engine, tmp_path: pathlib.Path
) -> None:
    engine.driver.pop("array_password")
    engine.driver["volume_driver"] = "file"
    vdsm, disk = Vdsm(tmp_path), volume_id(1)
    engine("create_volume", disk, "1")
    properties = vdsm.connector_info()
    assert properties["multipath"] is True
    connection_info = json.loads(engine("connect_volume", disk, json.dumps(properties)))

    attachment = vdsm.attach(disk, connection_info)
    with open(attachment["path"], "r+b") as device:
        device.write(b"of the machine")
    engine("save_device", disk, json.dumps(attachment))
    row = dict(vdsm.rows[disk])
    vdsm.detach(disk)
    # vdsm crashed before it removed the row.
    vdsm.rows[disk] = row
    vdsm.detach(disk)

    # vdsm detaches an attachment that it rejects, before the row has a path.
    attachment = vdsm.attach(disk, connection_info)
    vdsm.rows[disk] = {"connection_info": connection_info, "attachment": attachment}
    vdsm.detach(disk)
    # vdsm crashed during the attach: the row has no data about the device.
    vdsm.attach(disk, connection_info)
    vdsm.rows[disk] = {"vol_id": disk, "connection_info": connection_info}
    vdsm.detach(disk)
    backing = [path.read_text() for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_*")]
    assert not [path for path in backing if path.startswith(str(tmp_path))]
    engine("disconnect_volume", disk)
    engine("delete_volume", disk)


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("attach", []),
        ("attach", {}),
        ("detach", {}),
        ("attach", {"connection_info": {"data": 1}}),
        ("attach", {"connection_info": None}),
        ("detach", {"connection_info": []}),
        ("paint", {}),
    ],
)
@pytest.mark.usefixtures("mode")
def test_errors_of_the_helper_are_one_line(tmp_path: pathlib.Path, verb: str, given: Any) -> None:
    done = Vdsm(tmp_path).run(verb, given)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
