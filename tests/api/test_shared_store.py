"""Processes that share a SQLite file exclude each other, even if they open it from another folder,
by another name, with another state folder, or in another namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.sharing import VOLUMES

import cinderlib as cl
from cinderlib import errors
from cinderlib.node import loop

TESTS = Path(__file__).parents[1]
DRIVER = "api.gated_driver.GatedDriver"
IN_CONTAINER = ["unshare", "--mount", "--pid", "--uts", "--fork", "--mount-proc"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make namespaces")


@dataclasses.dataclass
class Way:
    """How another process opens the store.

    :ivar connection: the URL, with ``{folder}`` for the folder of the test.
    :ivar command: runs first, in the same namespaces.
    """

    connection: str = "sqlite:///{folder}/store.sqlite"
    state_path: str = "{folder}/state"
    cwd: str = "/"
    namespaces: list[str] = dataclasses.field(default_factory=list)
    command: str = "true"


#: Other ways to open the store.
WAYS: dict[str, Any] = {
    "another working directory": pytest.param(
        Way("sqlite:///store.sqlite", cwd="{folder}"), marks=pytest.mark.slow
    ),
    "another state folder": pytest.param(Way(state_path="{folder}/other"), marks=pytest.mark.slow),
    "a link to the file": Way("sqlite:///{folder}/links/file.sqlite"),
    "a link to the folder": pytest.param(
        Way("sqlite:///{folder}/links/folder/store.sqlite"), marks=pytest.mark.slow
    ),
    "a URI": pytest.param(
        Way("sqlite:///file:{folder}/store.sqlite?uri=true"), marks=pytest.mark.slow
    ),
    "a relative URI": pytest.param(
        Way("sqlite:///file:./store.sqlite?mode=rw&uri=true", cwd="{folder}"),
        marks=pytest.mark.slow,
    ),
    "another mount": pytest.param(
        Way(
            "sqlite:///{folder}/mounted/store.sqlite",
            namespaces=["unshare", "--mount"],
            command="mount --bind {folder} {folder}/mounted",
        ),
        marks=(needs_root, pytest.mark.slow),
    ),
    "other process IDs": pytest.param(
        Way(namespaces=["unshare", "--pid", "--fork", "--mount-proc"]),
        marks=(needs_root, pytest.mark.slow),
    ),
    "another host name": pytest.param(
        Way(namespaces=["unshare", "--uts"], command="hostname other"),
        marks=(needs_root, pytest.mark.slow),
    ),
    "another container": pytest.param(
        Way(
            "sqlite:///{folder}/mounted/store.sqlite",
            state_path="",
            namespaces=IN_CONTAINER,
            command="hostname other && mount --bind {folder} {folder}/mounted"
            " && mkdir -p {folder}/lib /var/lib/cinderlib"
            " && mount --bind {folder}/lib /var/lib/cinderlib",
        ),
        marks=needs_root,
    ),
}


class Processes:
    """Starts processes that use the store of a test, which has a volume for each of their
    operations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = folder / "gate"
        self._running: list[subprocess.Popen[str]] = []
        for name in ("links", "mounted"):
            (folder / name).mkdir()
        (folder / "links/file.sqlite").symlink_to(folder / "store.sqlite")
        (folder / "links/folder").symlink_to(folder)
        with self.open() as controller:
            for name, id in VOLUMES.items():
                controller.loaded("b").create_volume(1, id=id, name=name)

    @contextlib.contextmanager
    def open(self, **options: Any) -> Iterator[cl.Controller]:
        """Open the store in this process."""
        store = {"storage": "db", "connection": f"sqlite:///{self.folder}/store.sqlite"}
        with cl.Controller(store, state_path=self.folder / "state", **options) as controller:
            controller.backend("b", volume_driver=DRIVER, file_root=f"{self.folder}/volumes")
            yield controller

    def start(self, what: str, way: Way, **environment: str) -> subprocess.Popen[str]:
        def filled(text: str) -> str:
            return text.format(folder=self.folder)

        arguments = [
            *(sys.executable, str(TESTS / "api/sharing.py")),
            *(filled(way.connection), filled(way.state_path)),
            *(f"{self.folder}/volumes", what),
        ]
        script = f'{filled(way.command)} && exec "$@"'
        process = subprocess.Popen(
            [*way.namespaces, "sh", "-c", script, "sh", *arguments],
            cwd=filled(way.cwd),
            env={**os.environ, "PYTHONPATH": str(TESTS), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._running.append(process)
        return process

    def meddle(self, way: Way) -> dict[str, Any]:
        """Run a process that tries to recover and delete everything. Returns the results."""
        return result(self.start("meddle", way))

    def begin(self, *names: str, way: Way | None = None) -> subprocess.Popen[str]:
        """Start a process, and wait until it has begun these operations."""
        process = self.start("begin", way or Way(), GATE=str(self.gate), BEGIN=" ".join(names))
        deadline = time.monotonic() + 120
        while not all(Path(f"{self.gate}.{name}").exists() for name in names):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    def end(self) -> None:
        for process in self._running:
            if process.poll() is None:
                kill(process)
            process.communicate()
        with self.open() as controller:
            for volume in controller.volumes():
                volume.cleanup()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    answer: dict[str, Any] = json.loads(output)
    return answer


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and its child in a namespace."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for each in [*children, process.pid]:
        os.kill(int(each), signal.SIGKILL)
    process.wait()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.end()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One process that is busy during all tests."""
    processes = Processes(tmp_path_factory.mktemp("busy"))
    process = processes.begin(*VOLUMES)
    yield processes
    processes.gate.touch()
    done = result(process)
    assert done["clone"] == "available"
    with processes.open() as controller:
        for name in ("between", "attach"):
            volume = controller.volume(VOLUMES[name])
            assert [each.path for each in volume.connections] == [done[name]]
    processes.end()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_running_operations_are_left_alone(busy: Processes, way: Way) -> None:
    answer = busy.meddle(way)
    assert {outcome for outcome, _ in answer.pop("recovered")} == {"skipped"}
    assert answer == {"clone": "Busy", "between": "InvalidVolume", "attach": "InvalidVolume"}


@needs_root
@pytest.mark.parametrize("name", ["other process IDs", "another host name", "another container"])
def test_a_clone_of_a_killed_process_is_settled(processes: Processes, name: str) -> None:
    """Its locks are released, with any host name and in any namespace."""
    way = WAYS[name].values[0]
    kill(processes.begin("clone", way=way))
    with processes.open(recover=False) as controller:
        deadline = time.monotonic() + 30  # The last process of the namespace may still be exiting.
        while (answer := controller.recover()) and answer[0].outcome == "skipped":
            assert time.monotonic() < deadline
        assert [each.outcome for each in answer] == ["undone"]


@pytest.mark.slow
def test_an_attach_with_another_state_folder_is_skipped(processes: Processes) -> None:
    """Only that folder has the record of the device."""
    other = Way(state_path="{folder}/other")
    kill(processes.begin("attach", way=other))
    answer = processes.meddle(Way())
    assert answer["attach"] == "InvalidVolume"
    ((outcome, reason),) = answer["recovered"]
    assert (outcome, "state_path" in reason) == ("skipped", True)
    answer = processes.meddle(other)
    assert (answer["recovered"], "attach" in answer) == ([["undone", ""]], False)


@needs_root
@pytest.mark.slow
def test_a_renamed_host_settles_its_operations(processes: Processes) -> None:
    kill(processes.begin("attach"))
    renamed = Way(namespaces=["unshare", "--uts"], command="hostname renamed")
    assert processes.meddle(renamed) == {"recovered": [["undone", ""]]}


@needs_root
@pytest.mark.slow
def test_a_renamed_host_does_not_unmap_its_attached_volume(processes: Processes) -> None:
    with processes.open() as controller:
        path = controller.volume(VOLUMES["attach"]).attach().path
    renamed = Way(namespaces=["unshare", "--uts"], command="hostname renamed")
    answer = result(processes.start("disconnect", renamed))
    assert answer == {"refused": "InvalidConnection", "state": "ok"}
    assert loop.backing_file(path)


def test_a_file_with_two_names_is_refused(tmp_path: Path) -> None:
    """SQLite would damage it, because each name has its own log."""
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    cl.Controller(store).close()
    os.link(tmp_path / "store.sqlite", tmp_path / "second.sqlite")
    with pytest.raises(errors.InvalidPersistence, match="hard links"):
        cl.Controller(store)


@needs_root
def test_a_bind_mounted_file_is_refused(tmp_path: Path) -> None:
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/a name.sqlite"}
    cl.Controller(store).close()
    subprocess.run(["mount", "--bind", *[tmp_path / "a name.sqlite"] * 2], check=True)
    try:
        with pytest.raises(errors.InvalidPersistence, match="mounted as a single file"):
            cl.Controller(store)
    finally:
        subprocess.run(["umount", tmp_path / "a name.sqlite"], check=True)


@needs_root
def test_a_store_in_a_read_only_folder_can_be_listed_and_not_changed(tmp_path: Path) -> None:
    """SQLite can open it with ``immutable=1``, which excludes writers."""
    folder = tmp_path / "folder"
    folder.mkdir()
    store = {"storage": "db", "connection": f"sqlite:///{folder}/store.sqlite"}
    options = {"volume_driver": DRIVER, "file_root": f"{tmp_path}/volumes"}
    with cl.Controller(store, state_path=tmp_path) as controller:
        name = controller.backend("b", **options).create_volume(1).name_in_storage
    (folder / "store.sqlite-locks").unlink()
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        store["connection"] = f"sqlite:///file:{folder}/store.sqlite?immutable=1&uri=true"
        with cl.Controller(store, state_path=tmp_path) as controller:
            controller.backend("b", **options)
            (volume,) = controller.volumes()
            with pytest.raises(errors.StoreError, match="Read-only file system"):
                volume.delete()
    finally:
        subprocess.run(["umount", folder], check=True)
    assert [path.name for path in (tmp_path / "volumes").glob("v*")] == [name]


@pytest.mark.slow
def test_two_controllers_on_one_store_object_exclude_each_other(tmp_path: Path) -> None:
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    with (
        cl.Controller(store) as one,
        cl.Controller(one.store, lock_timeout=0.05) as other,
        one.journal.locks.hold("volume:a"),
        pytest.raises(errors.Busy),
        other.journal.locks.hold("volume:a"),
    ):
        pytest.fail("both hold it")


@needs_root
@pytest.mark.slow
def test_the_lock_file_has_the_owner_and_mode_of_the_database(tmp_path: Path) -> None:
    """Even if root is the first to use it."""
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    cl.Controller(store).close()
    for name in tmp_path.iterdir():
        os.chown(name, 1234, 4321)
        os.chmod(name, 0o660)
    (tmp_path / "store.sqlite-locks").unlink(missing_ok=True)
    with cl.Controller(store) as controller, controller.journal.locks.hold("volume:a"):
        pass
    made = (tmp_path / "store.sqlite-locks").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (1234, 4321, 0o660)
