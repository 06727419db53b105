"""Random operations of several threads and processes have the same results as some sequential order
of these operations."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import servers
from hypothesis import given, settings
from hypothesis import strategies as st

from cinderlib import Backend, Controller, errors
from cinderlib.persistence.base import Remove
from cinderlib.records import KINDS, ConnectionRecord, SnapshotRecord, VolumeRecord

IDS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-000000000000" for n in range(3)]
SNAPSHOTS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-5555-4000-8000-000000000000" for n in range(3)]
#: The clone of volume 0.
COPY = 2
#: The volume without multiattach.
ALONE = 1


class Model(NamedTuple):
    """The expected state of a volume."""

    size: int
    multiattach: bool = True
    snapshot: bool = False
    hosts: frozenset[int] = frozenset()
    cloned: bool = False


State = tuple[Model | None, ...]
Operation = tuple[str, int, int]
Do = Callable[[Operation], str]
NOT_FOUND, REFUSED, EXISTS, INVALID, DONE = "not found", "refused", "exists", "invalid", "done"


def predicted(state: State, operation: Operation) -> tuple[str, State]:
    """The expected answer of an operation, and the state after it."""
    what, which, number = operation
    volume = state[which]

    def to(new: Model | None, at: int = which) -> tuple[str, State]:
        return DONE, (*state[:at], new, *state[at + 1 :])

    match what:
        case "create":
            if volume is None:
                return to(Model(number, multiattach=which != ALONE))
            return (DONE if volume.size == number else EXISTS), state
        case "unsnapshot":
            return to(volume and volume._replace(snapshot=False))
        case "disconnect":
            return to(volume and volume._replace(hosts=volume.hosts - {number}))
        case "delete" if volume is None:
            return DONE, state
        case _ if volume is None:
            return NOT_FOUND, state
        case "delete":
            return (REFUSED, state) if volume.hosts or volume.snapshot else to(None)
        case "extend":
            return (INVALID, state) if number < volume.size else to(volume._replace(size=number))
        case "snapshot":
            return to(volume._replace(snapshot=True))
        case "connect" if volume.hosts - {number} and not volume.multiattach:
            return (DONE if number in volume.hosts else REFUSED), state
        case "connect" | "migrate":
            return to(volume._replace(hosts=volume.hosts | {number}))
        case "clone":
            copy = state[COPY]
            if copy is None:
                return to(Model(3, cloned=True), COPY)
            return (DONE if copy.size == 3 and copy.cloned else EXISTS), state
    raise AssertionError(what)


class Real:
    """Performs the operations with the library."""

    def __init__(self, controller: Controller, backend: Backend) -> None:
        self._controller, self._backend = controller, backend

    def do(self, operation: Operation) -> str:
        what, which, number = operation
        try:
            getattr(self, f"_{what}")(which, number)
        except errors.NotFound:
            return DONE if what in ("delete", "unsnapshot") else NOT_FOUND
        except errors.AlreadyExists:
            return EXISTS
        except errors.InvalidInput:
            return INVALID
        except errors.InvalidVolume:
            return REFUSED
        return DONE

    def _create(self, which: int, size: int) -> None:
        self._backend.create_volume(size, id=IDS[which], multiattach=which != ALONE)

    def _delete(self, which: int, _: int) -> None:
        self._controller.volume(IDS[which]).delete()

    def _extend(self, which: int, size: int) -> None:
        self._controller.volume(IDS[which]).extend(size)

    def _snapshot(self, which: int, _: int) -> None:
        self._controller.volume(IDS[which]).create_snapshot(id=SNAPSHOTS[which])

    def _unsnapshot(self, which: int, _: int) -> None:
        self._controller.snapshot(SNAPSHOTS[which]).delete()

    def _connect(self, which: int, host: int, *, migrating: bool = False) -> None:
        name = f"host{host}"
        volume = self._controller.volume(IDS[which])
        connector = {"host": name, "ip": "192.0.2.1"}
        volume.connect(connector, attached_host=name, migrating=migrating)

    def _migrate(self, which: int, host: int) -> None:
        self._connect(which, host, migrating=True)

    def _disconnect(self, which: int, host: int) -> None:
        for connection in list(self._controller.connections(attached_host=f"host{host}")):
            if connection.volume_id == IDS[which]:
                connection.disconnect()

    def _clone(self, which: int, _: int) -> None:
        self._controller.volume(IDS[which]).clone(id=IDS[COPY], size=3, multiattach=True)

    def state(self) -> State:
        store = self._controller.store
        found: list[Model | None] = []
        for id in IDS:
            volume = store.get(VolumeRecord, id)
            connections = store.find(ConnectionRecord, {"volume_id": id})
            snapshots = store.count(SnapshotRecord, {"volume_id": id})
            hosts = frozenset(int(str(c.attached_host)[-1]) for c in connections)
            found.append(
                volume
                and Model(
                    volume.size,
                    volume.multiattach,
                    bool(snapshots),
                    hosts,
                    volume.source_volid is not None,
                )
            )
            if volume is None:
                assert not connections
                assert not snapshots
            else:
                assert volume.status == ("in-use" if connections else "available")
        return tuple(found)


def opened(url: str, folder: Path, root: Path) -> tuple[Controller, Backend]:
    controller = Controller({"storage": "db", "connection": url}, state_path=folder / "state")
    backend = controller.backend(
        "array", volume_driver="crash.array_driver.ArrayDriver", file_root=str(root)
    )
    return controller, backend


class Process:
    """Another process that performs operations one by one. It runs this file."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def ask(self, *request: Any) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: str = json.loads(self._process.stdout.readline())
        return answer

    def do(self, operation: Operation) -> str:
        answer = self.ask("do", *operation)
        assert not answer.startswith("failed"), answer
        return answer

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)


def serve() -> None:
    """Serve requests in the other process."""
    controller = real = None
    for line in sys.stdin:
        what, *given = json.loads(line)
        try:
            if what == "open":
                if controller is not None:
                    controller.close()
                url, folder, root = given
                controller, backend = opened(url, Path(folder), Path(root))
                real = Real(controller, backend)
                answer = DONE
            else:
                assert real
                answer = real.do(tuple(given))
        except BaseException as exc:
            answer = f"failed: {exc!r}"
        print(json.dumps(answer), flush=True)


def run_at_once(dos: Sequence[Do], operations: list[Operation]) -> list[str]:
    """Run operations at the same time, each by one of ``dos``. Returns the answers."""
    answers: list[Any] = [None] * len(operations)
    start = threading.Barrier(len(operations))

    def run(at: int) -> None:
        start.wait()
        try:
            answers[at] = dos[at](operations[at])
        except BaseException as exc:
            answers[at] = exc

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(operations))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def explained(before: State, operations: list[Operation], answers: list[str], after: State) -> bool:
    """Whether some sequential order of the operations has these answers and this final state."""
    for order in itertools.permutations(range(len(operations))):
        state, fits = before, True
        for at in order:
            answer, state = predicted(state, operations[at])
            fits = fits and answer == answers[at]
        if fits and state == after:
            return True
    return False


volumes = st.integers(0, 2)
operations = st.one_of(
    st.tuples(st.sampled_from(["create", "extend"]), volumes, st.integers(1, 3)),
    st.tuples(st.sampled_from(["connect", "disconnect", "migrate"]), volumes, st.integers(0, 1)),
    st.tuples(st.sampled_from(["delete", "snapshot", "unsnapshot"]), volumes, st.just(0)),
    st.just(("clone", 0, 0)),
)
#: The number of concurrent operations.
AT_ONCE = 3
EXAMPLES = int(os.environ.get("CINDERLIB_EXAMPLES", "8"))
batches = st.lists(st.lists(operations, min_size=1, max_size=AT_ONCE), max_size=8)


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="cl-model-", dir=servers.memory(1 << 30))
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "etcd")),
    ],
)
def database(request: pytest.FixtureRequest) -> str | None:
    """The URL of a database for all examples, or ``None`` if each uses a new file."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue(request.param).database()
    return url


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Process]]:
    started = [Process() for _ in range(AT_ONCE)]
    yield started
    for process in started:
        process.close()


def play(
    folder: Path, database: str | None, batches: list[list[Operation]], others: list[Process]
) -> None:
    """Run batches of operations, and check that some sequential order explains each.

    :param others: the processes that run the operations; by default threads of this process.
    """
    root = Path(tempfile.mkdtemp(dir=folder))
    url = database or f"sqlite:///{root}/store.sqlite"
    controller, backend = opened(url, folder, root / "volumes")
    with controller:
        for kind in KINDS.values():
            for record in controller.store.find(kind):
                controller.store.apply(Remove(kind, record.id))
        for other in others:
            assert other.ask("open", url, str(folder), str(root / "volumes")) == DONE
        real, state = Real(controller, backend), (None, None, None)
        dos: list[Do] = [other.do for other in others] or [real.do] * AT_ONCE
        for batch in batches:
            answers = run_at_once(dos, batch)
            after = real.state()
            assert explained(state, batch, answers, after), (
                f"no order of {batch} answers {answers} and leads from {state} to {after}"
            )
            state = after
    shutil.rmtree(root)


@settings(max_examples=EXAMPLES)
@given(batches=batches)
def test_threads_behave_like_a_sequential_order(
    shared_folder: Path, database: str | None, batches: list[list[Operation]]
) -> None:
    play(shared_folder, database, batches, [])


@settings(max_examples=EXAMPLES)
@given(batches=batches)
@pytest.mark.slow
def test_processes_behave_like_a_sequential_order(
    shared_folder: Path,
    database: str | None,
    processes: list[Process],
    batches: list[list[Operation]],
) -> None:
    play(shared_folder, database, batches, processes)


if __name__ == "__main__":
    serve()
