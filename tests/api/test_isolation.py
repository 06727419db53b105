"""Drivers in separate processes, whose failures do not affect the program or other drivers."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api.conftest import connector, files

import cinderlib as cl
from cinderlib.records import IntentRecord

DRIVER = "api.misbehaving_driver.MisbehavingDriver"
ID = "aaaaaaaa-0000-4000-8000-000000000001"
SNAPSHOT_ID = "aaaaaaaa-0000-4000-8000-000000000002"
#: Seconds for a call that must time out, and for one that must succeed on a busy machine.
SHORT, LONG = 3, 600
#: MiB. A driver needs about a quarter of this.
MEMORY = 512


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A backend that stays loaded, so that Cinder is imported once for all tests."""
    folder = tmp_path_factory.mktemp("warm")
    with cl.Controller(state_path=folder / "state") as controller:
        controller.backend(
            "warm", volume_driver="file", file_root=str(folder / "array"), isolation="process"
        )
        yield


@pytest.fixture
def controller(tmp_path: Path) -> Iterator[cl.Controller]:
    config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(config, state_path=tmp_path / "state") as controller:
        yield controller


def isolated(
    controller: cl.Controller, root: Path, name: str = "isolated", **options: Any
) -> cl.Backend:
    options = {"call_timeout": LONG, "memory_limit": MEMORY} | options
    return controller.backend(
        name, volume_driver=DRIVER, file_root=str(root), isolation="process", **options
    )


@pytest.fixture
def array(controller: cl.Controller, root: Path) -> cl.Backend:
    return isolated(controller, root)


def request(root: Path, method: str, action: str, when: str = "before") -> None:
    """Request an action from the driver in the next call of a method.

    :param root: the folder of the driver's array.
    :param when: ``'before'`` or ``'after'`` the work.
    """
    root.mkdir(exist_ok=True)
    (root / f".request {method} {when}").write_text(action)


def session(leader: int) -> list[int]:
    """The running processes that a driver host and its driver have started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(name))
    return found


def eventually(condition: Callable[[], Any], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it does not become true"
        time.sleep(0.01)


def intents(controller: cl.Controller) -> list[str]:
    return [found.operation for found in controller.store.find(IntentRecord)]


def volume(backend: cl.Backend) -> cl.Volume:
    return backend.controller.volume(ID)


#: Method of the driver -> an operation that calls it.
CALLS: dict[str, Callable[[cl.Backend], Any]] = {
    "create_volume": lambda backend: backend.create_volume(1, id=ID),
    "create_cloned_volume": lambda backend: volume(backend).clone(id=SNAPSHOT_ID),
    "create_snapshot": lambda backend: volume(backend).create_snapshot(id=SNAPSHOT_ID),
    "delete_snapshot": lambda backend: backend.controller.snapshot(SNAPSHOT_ID).delete(),
    "revert_to_snapshot": lambda backend: volume(backend).revert_to_snapshot(
        backend.controller.snapshot(SNAPSHOT_ID)
    ),
    "extend_volume": lambda backend: volume(backend).extend(2),
    "create_export": lambda backend: volume(backend).connect(connector("alpha")),
    "initialize_connection": lambda backend: volume(backend).connect(connector("alpha")),
    "terminate_connection": lambda backend: volume(backend).connections[0].disconnect(),
    "remove_export": lambda backend: volume(backend).connections[0].disconnect(),
    "delete_volume": lambda backend: volume(backend).delete(),
}
#: Operations that have no further effect after recovery has finished them.
FINISHED = {"delete_snapshot", "terminate_connection", "remove_export", "delete_volume"}


def prepare(backend: cl.Backend, method: str) -> None:
    if method == "create_volume":
        return
    made = backend.create_volume(1, id=ID)
    if method in ("delete_snapshot", "revert_to_snapshot"):
        made.create_snapshot(id=SNAPSHOT_ID)
    elif method in ("terminate_connection", "remove_export"):
        made.connect(connector("alpha"))


def remove_all(backend: cl.Backend) -> None:
    for left in backend.volumes:
        for connection in left.connections:
            connection.disconnect()
        for snapshot in left.snapshots:
            snapshot.delete()
        left.delete()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", CALLS)
def test_an_operation_whose_driver_crashes_is_settled_by_the_next_call(
    array: cl.Backend, root: Path, method: str, when: str
) -> None:
    prepare(array, method)
    request(root, method, "abort", when)
    with pytest.raises(cl.errors.DriverInterrupted, match="ended by SIGABRT") as caught:
        CALLS[method](array)
    assert caught.value.retryable
    assert "'isolated'" in str(caught.value)
    assert "recover()" in str(caught.value)
    assert len(intents(array.controller)) == 1
    try:
        CALLS[method](array)
    except (cl.errors.NotFound, IndexError):
        assert method in FINISHED
    assert intents(array.controller) == []
    assert array.reconcile() == []
    remove_all(array)
    assert files(root) == []
    assert not list(root.glob(".*.maps"))


@pytest.mark.parametrize("method", ["create_volume", "initialize_connection", "delete_volume"])
def test_recover_settles_it_too(array: cl.Backend, root: Path, method: str) -> None:
    prepare(array, method)
    request(root, method, "abort", "after")
    with pytest.raises(cl.errors.DriverInterrupted):
        CALLS[method](array)
    (recovered,) = array.controller.recover()
    assert recovered.outcome == ("finished" if method == "delete_volume" else "undone")
    assert array.reconcile() == []
    remove_all(array)
    assert (files(root), list(root.glob(".*.maps"))) == ([], [])


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("segfault", "ended by SIGSEGV"),
        ("exit", "exit code 3"),
        ("allocate", f"more memory than memory_limit \\({MEMORY} MiB\\)"),
    ],
)
def test_a_driver_that_ends_its_process(
    array: cl.Backend, root: Path, action: str, why: str
) -> None:
    request(root, "create_volume", action)
    with pytest.raises(cl.errors.DriverInterrupted, match=why) as caught:
        array.create_volume(1, id=ID)
    assert type(caught.value) is cl.errors.DriverInterrupted
    assert array.controller.volume(ID).status == "creating"
    assert array.create_volume(1, id=ID).status == "available"
    assert array.reconcile() == []


@pytest.mark.parametrize("action", ["sleep", "stop"])
def test_other_backends_work_while_a_driver_does_not_answer(
    controller: cl.Controller, root: Path, tmp_path: Path, action: str
) -> None:
    slow = isolated(controller, root, call_timeout=SHORT)
    other = isolated(controller, tmp_path / "other", "other")
    here = controller.backend("here", volume_driver="file", file_root=str(tmp_path / "here"))
    process = slow.driver.process()
    request(root, "create_volume", action)
    raised: list[BaseException] = []

    def create() -> None:
        try:
            slow.create_volume(1, id=ID)
        except cl.errors.CinderlibError as exc:
            raised.append(exc)

    thread = threading.Thread(target=create)
    thread.start()
    eventually(lambda: not (root / ".request create_volume before").exists())
    done = 0
    while thread.is_alive():
        for backend in (other, here):
            made = backend.create_volume(1)
            made.create_snapshot().delete()
            made.delete()
        done += 1
    assert done
    (error,) = raised
    assert isinstance(error, cl.errors.DriverCallTimeout)
    assert isinstance(error, cl.errors.DriverTimeout)
    assert error.code == "DEADLINE_EXCEEDED"
    assert f"did not answer within {SHORT} seconds" in str(error)
    assert session(process) == []
    assert slow.create_volume(1, id=ID).status == "available"
    assert slow.driver.process() != process
    assert slow.reconcile() == []


def test_other_calls_of_the_same_driver_are_interrupted_with_it(
    controller: cl.Controller, root: Path
) -> None:
    slow = isolated(controller, root, call_timeout=SHORT)
    first, second = (slow.create_volume(1) for _ in range(2))
    request(root, "extend_volume", "sleep")
    request(root, "create_snapshot", "sleep")
    raised: list[BaseException] = []

    def run(work: Callable[[], Any]) -> None:
        try:
            work()
        except cl.errors.CinderlibError as exc:
            raised.append(exc)

    thread = threading.Thread(target=run, args=[lambda: first.extend(2)])
    thread.start()
    eventually(lambda: not list(root.glob(".request extend_volume*")))
    run(lambda: second.create_snapshot())
    thread.join()
    assert all(isinstance(exc, cl.errors.DriverInterrupted) for exc in raised)
    assert len(raised) == 2
    assert {each.outcome for each in controller.recover()} == {"finished", "undone"}
    assert slow.reconcile() == []
    assert first.extend(2) == 2 << 30


@pytest.mark.parametrize("action", ["fork and return", "fork and linger", "start a program"])
def test_processes_of_a_driver_end_with_it(array: cl.Backend, root: Path, action: str) -> None:
    request(root, "create_volume", action)
    array.create_volume(1, id=ID)
    process = array.driver.process()
    if action == "fork and return":
        eventually(lambda: session(process) == [process])
        assert array.driver.process() == process
    else:
        assert len(session(process)) == 2
    assert len(array.volumes) == 1
    array.controller.close()
    assert session(process) == []


def test_a_crash_ends_processes_of_the_driver(array: cl.Backend, root: Path) -> None:
    request(root, "create_volume", "fork and linger")
    array.create_volume(1)
    process = array.driver.process()
    os.kill(process, signal.SIGKILL)
    eventually(lambda: session(process) == [])
    assert array.create_volume(1).status == "available"


def test_progress_extends_the_time_of_a_call(tmp_path: Path, root: Path) -> None:
    """The driver ``file`` reports the progress of copies."""
    seen: list[cl.Progress] = []
    with cl.Controller(state_path=tmp_path / "state", progress=seen.append) as controller:
        backend = isolated(controller, root)
        made = backend.create_volume(1)
        (root / made.name_in_storage).write_bytes(os.urandom(64 << 20))
        os.truncate(root / made.name_in_storage, 1 << 30)
        copy = made.clone()
        assert {each.resource_id for each in seen} == {copy.id}
        assert {each.unit for each in seen} == {"bytes"}


def test_the_time_that_the_store_needs_does_not_count(
    controller: cl.Controller, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = isolated(controller, root, call_timeout=SHORT)
    made = backend.create_volume(1)
    get = controller.store.get

    def slow(*args: Any) -> Any:
        time.sleep(SHORT + 0.5)
        return get(*args)

    process = backend.driver.process()
    monkeypatch.setattr(controller.store, "get", slow)
    assert backend.driver.size_in_store(made.id) == 1
    assert backend.driver.process() == process


def test_threads_call_a_driver_at_the_same_time(array: cl.Backend) -> None:
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(array.driver.meet())) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1, 2]


def test_attributes_of_the_driver(array: cl.Backend) -> None:
    assert array.driver.numbers == (1, 2)
    assert array.driver.greet("you", politely=True) == {"greeting": "hello, you", "politely": True}
    with pytest.raises(cl.errors.Unsupported, match="a object cannot be sent"):
        array.driver.an_object()
    with pytest.raises(cl.errors.Unsupported, match="cannot be sent"):
        _ = array.driver.configuration
    with pytest.raises(AttributeError):
        _ = array.driver.nothing_of_the_kind
    with pytest.raises(cl.errors.Unsupported, match="a object cannot be sent"):
        array.driver.greet(object())
    assert array.driver.process() != os.getpid()


def test_log_records_reach_the_loggers_of_the_program(
    array: cl.Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        array.driver.log("a text with 100 %")
    found = [record for record in caplog.records if record.name == "array.sdk"]
    assert [record.getMessage() for record in found] == [
        "warning: a text with 100 %",
        "failed: a text with 100 %",
    ]
    assert found[0].levelname == "WARNING"
    assert found[0].process != os.getpid()
    assert "ValueError: told you" in caplog.text
    assert "misbehaving_driver.py" in found[0].pathname


def test_the_log_shows_the_stack_of_the_driver(
    controller: cl.Controller, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = isolated(controller, root, call_timeout=SHORT)
    request(root, "create_volume", "sleep")
    with pytest.raises(cl.errors.DriverCallTimeout):
        backend.create_volume(1)
    assert "misbehaving_driver.py" in caplog.text
    assert "_sleep" in caplog.text
    assert "Extension modules" not in caplog.text


def test_processors_are_limited(controller: cl.Controller, root: Path) -> None:
    assert isolated(controller, root, cpu_limit=1).driver.processors() == 1


def test_an_error_of_the_driver_is_the_same_error(
    array: cl.Backend, root: Path, controller: cl.Controller
) -> None:
    made = array.create_volume(1)
    with pytest.raises(cl.errors.InvalidConnector, match="initiator"):
        made.connect({"host": "alpha"})
    os.unlink(root / made.name_in_storage)
    with pytest.raises(cl.errors.DriverError, match="No such file or directory") as caught:
        made.extend(2)
    assert type(caught.value) is cl.errors.DriverError
    assert caught.value.resource == made
    assert "FileNotFoundError" in str(caught.value.__cause__)


def test_a_driver_that_crashes_while_it_is_loaded(controller: cl.Controller, root: Path) -> None:
    request(root, "check_for_setup_error", "abort")
    with pytest.raises(cl.errors.DriverError, match=r"could not be set up.*SIGABRT"):
        isolated(controller, root)
    assert isolated(controller, root).create_volume(1).status == "available"


def loading(controller: cl.Controller, root: Path) -> tuple[threading.Thread, list[BaseException]]:
    """Load a backend in a thread, which stops in the middle; returns it and the errors."""
    request(root, "check_for_setup_error", "stop")
    raised: list[BaseException] = []

    def load() -> None:
        try:
            isolated(controller, root)
        except cl.errors.CinderlibError as exc:
            raised.append(exc)

    thread = threading.Thread(target=load)
    thread.start()
    eventually(lambda: not (root / ".request check_for_setup_error before").exists(), LONG)
    return thread, raised


def test_a_driver_that_hangs_while_it_is_loaded_does_not_stop_others(
    controller: cl.Controller, root: Path, tmp_path: Path
) -> None:
    thread, raised = loading(controller, root)
    other = isolated(controller, tmp_path / "other", "other")
    assert other.create_volume(1).status == "available"
    here = controller.backend("here", volume_driver="file", file_root=str(tmp_path / "here"))
    assert here.create_volume(1).status == "available"
    assert thread.is_alive(), raised
    os.kill(int((root / ".process").read_text()), signal.SIGKILL)
    thread.join()
    (error,) = raised
    assert "could not be set up: the driver's process was ended by SIGKILL" in str(error)
    assert isolated(controller, root).create_volume(1).status == "available"


def test_a_controller_that_is_closed_while_it_loads_a_driver(
    controller: cl.Controller, root: Path
) -> None:
    thread, raised = loading(controller, root)
    controller.close()
    process = int((root / ".process").read_text())
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)
    thread.join()
    assert len(raised) == 1
    assert controller.backends == {}
    assert session(process) == []


def test_a_driver_that_cannot_be_started_again(array: cl.Backend, root: Path) -> None:
    array.create_volume(1, id=ID)
    request(root, "check_for_setup_error", "exit")
    request(root, "extend_volume", "abort")
    with pytest.raises(cl.errors.DriverInterrupted):
        volume(array).extend(2)
    # The interrupted operation stays recorded until the driver can settle it.
    with pytest.raises(cl.errors.DriverInterrupted, match=r"again: .* exit code 3"):
        volume(array).extend(2)
    assert intents(array.controller) == ["volume.extend"]
    assert volume(array).extend(2) == 2 << 30
    assert array.reconcile() == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"isolation": "container"}, "isolation"),
        ({"isolation": "process", "call_timeout": 0}, "call_timeout"),
        ({"isolation": "process", "call_timeout": "soon"}, "call_timeout"),
        ({"isolation": "process", "memory_limit": 64}, "memory_limit"),
        ({"isolation": "process", "cpu_limit": "all"}, "cpu_limit"),
        ({"isolation": "process", "python": "python3"}, "python"),
        ({"isolation": "process", "python": "/nowhere/bin/python"}, "python"),
        ({"call_timeout": 5}, "call_timeout"),
    ],
)
def test_impossible_options(
    controller: cl.Controller, root: Path, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(cl.errors.ConfigurationError) as caught:
        controller.backend("x", volume_driver="file", file_root=str(root), **options)
    assert caught.value.resource == named
    assert not root.exists()


def test_options_from_a_file_are_strings(controller: cl.Controller, root: Path) -> None:
    backend = isolated(controller, root, call_timeout="90.5", memory_limit="600")
    assert (backend.config["call_timeout"], backend.config["memory_limit"]) == (90.5, 600)
    assert backend.config["isolation"] == "process"
    options = {"volume_driver": "file", "file_root": str(root), "isolation": "process"}
    assert controller.check_backend("x", **options) == []


def test_control_c_ends_the_process_before_the_lock_is_free(array: cl.Backend, root: Path) -> None:
    process = array.driver.process()
    request(root, "create_volume", "sleep")

    def press() -> None:
        eventually(lambda: not list(root.glob(".request *")))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        array.create_volume(1, id=ID)
    thread.join()
    assert session(process) == []
    assert intents(array.controller) == ["volume.create"]
    assert array.create_volume(1, id=ID).status == "available"


@pytest.mark.slow
def test_the_process_that_starts_the_others_is_killed(array: cl.Backend) -> None:
    process = array.driver.process()
    parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    eventually(lambda: session(process) == [])
    eventually(lambda: not array._driver._host.is_usable)  # type: ignore[attr-defined]
    assert array.create_volume(1).status == "available"
    assert array.driver.process() != process


@pytest.mark.slow
def test_a_fork_of_the_program_has_its_own_drivers(array: cl.Backend) -> None:
    process = array.driver.process()
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if array.driver.process() not in (process, os.getpid()) else 2
            array.controller.close()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert array.driver.process() == process


@pytest.mark.slow
def test_a_fork_of_the_program_that_closes_its_copy(array: cl.Backend) -> None:
    process = array.driver.process()
    child = os.fork()
    if not child:
        array.controller.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert array.create_volume(1).status == "available"
    assert array.driver.process() == process


@pytest.mark.slow
def test_a_reading_call_of_a_driver_that_crashes(array: cl.Backend, root: Path) -> None:
    request(root, "get_volume_stats", "exit")
    with pytest.raises(cl.errors.DriverInterrupted, match=r"exit code 3. Repeat the call$"):
        array.stats(refresh=True)
    assert array.stats(refresh=True)["pools"]


_PROGRAM = """
import sys, time
import cinderlib as cl
root, state = sys.argv[1:]
controller = cl.Controller(state_path=state)
backend = controller.backend(
    "x", volume_driver="api.misbehaving_driver.MisbehavingDriver", file_root=root,
    isolation="process",
)
assert "cinder" not in sys.modules
print(backend.driver.process(), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_no_process_outlives_the_program(tmp_path: Path, root: Path, number: int) -> None:
    request(root, "get_volume_stats", "fork and linger")
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(root), str(tmp_path / "state")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert program.stdout
    process = int(program.stdout.readline())
    assert session(process)
    parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    program.send_signal(number)
    program.wait()
    eventually(lambda: not session(process) and not session(parent))


def sdk(folder: Path, version: str) -> Path:
    """Install a version of a vendor's package in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "array_sdk.py").write_text(f"VERSION = {version!r}\n")
    return folder


def environment(folder: Path) -> tuple[Path, Path]:
    """Create an environment; returns its interpreter and its folder for packages."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    return folder / "bin" / "python", packages


@pytest.mark.slow
def test_a_separate_environment_has_other_versions(
    controller: cl.Controller, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(sdk(tmp_path / "packages", "1.0"))
    python, packages = environment(tmp_path / "environment")
    sdk(packages, "2.0")
    paths = [str(Path(cl.__file__).parents[1]), *(path for path in sys.path if "site-p" in path)]
    tests = str(Path(__file__).parents[1])
    (packages / "others.pth").write_text("\n".join([*paths, tests]) + "\n")
    options: dict[str, Any] = {"volume_driver": "api.sdk_driver.SdkDriver", "file_root": str(root)}
    here = controller.backend("here", **options)
    options |= {"isolation": "process", "python": str(python)}
    assert controller.check_backend("there", **options) == []
    there = controller.backend("there", **options)
    assert here.driver.sdk_version() == "1.0"
    assert there.driver.sdk_version() == "2.0"
    assert there.create_volume(1).status == "available"


def test_an_environment_without_the_library(
    controller: cl.Controller, root: Path, tmp_path: Path
) -> None:
    python, _ = environment(tmp_path / "environment")
    with pytest.raises(cl.errors.MissingDependency, match=r"lacks .*cinderlib") as caught:
        isolated(controller, root, python=str(python))
    assert caught.value.resource == "python"
