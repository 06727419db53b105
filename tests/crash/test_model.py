"""Random operations from several threads do what one order of them, one after the other, does."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinderlib import Backend, Controller, errors
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

IDS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-0000-4000-8000-000000000000" for n in range(3)]
SNAPSHOTS = [f"{n}{n}{n}{n}{n}{n}{n}{n}-5555-4000-8000-000000000000" for n in range(3)]
#: What volume 0 is cloned into.
COPY = 2


class Model(NamedTuple):
    """A volume as it should be."""

    size: int
    snapshot: bool = False
    hosts: frozenset[int] = frozenset()
    cloned: bool = False


State = tuple[Model | None, ...]
Operation = tuple[str, int, int]
NOT_FOUND, REFUSED, EXISTS, INVALID, DONE = "not found", "refused", "exists", "invalid", "done"


def predicted(state: State, operation: Operation) -> tuple[str, State]:
    """What the operation answers, and the state after it."""
    what, which, number = operation
    volume = state[which]

    def to(new: Model | None, at: int = which) -> tuple[str, State]:
        return DONE, (*state[:at], new, *state[at + 1 :])

    match what:
        case "create":
            if volume is None:
                return to(Model(number))
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
        case "connect":
            return to(volume._replace(hosts=volume.hosts | {number}))
        case "clone":
            copy = state[COPY]
            if copy is None:
                return to(Model(3, cloned=True), COPY)
            return (DONE if copy.size == 3 and copy.cloned else EXISTS), state
    raise AssertionError(what)


class Real:
    """The same operations for real."""

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
        self._backend.create_volume(size, id=IDS[which], multiattach=True)

    def _delete(self, which: int, _: int) -> None:
        self._controller.volume(IDS[which]).delete()

    def _extend(self, which: int, size: int) -> None:
        self._controller.volume(IDS[which]).extend(size)

    def _snapshot(self, which: int, _: int) -> None:
        self._controller.volume(IDS[which]).create_snapshot(id=SNAPSHOTS[which])

    def _unsnapshot(self, which: int, _: int) -> None:
        self._controller.snapshot(SNAPSHOTS[which]).delete()

    def _connect(self, which: int, host: int) -> None:
        name = f"host{host}"
        volume = self._controller.volume(IDS[which])
        volume.connect({"host": name, "ip": "192.0.2.1"}, attached_host=name)

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
                and Model(volume.size, bool(snapshots), hosts, volume.source_volid is not None)
            )
            if volume is None:
                assert not connections
                assert not snapshots
            else:
                assert volume.status == ("in-use" if connections else "available")
        return tuple(found)


def run_at_once(do: Callable[[Operation], str], operations: list[Operation]) -> list[str]:
    """The answers to operations that start at the same time."""
    answers: list[Any] = [None] * len(operations)
    start = threading.Barrier(len(operations))

    def run(at: int) -> None:
        start.wait()
        try:
            answers[at] = do(operations[at])
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
    """Whether some order of the operations gives these answers and this state."""
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
    st.tuples(st.sampled_from(["connect", "disconnect"]), volumes, st.integers(0, 1)),
    st.tuples(st.sampled_from(["delete", "snapshot", "unsnapshot"]), volumes, st.just(0)),
    st.just(("clone", 0, 0)),
)
batches = st.lists(st.lists(operations, min_size=1, max_size=3), max_size=8)


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    folder = tempfile.mkdtemp(
        prefix="cl-model-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
    )
    yield Path(folder)
    shutil.rmtree(folder)


@settings(max_examples=20)
@given(batches=batches)
def test_threads_do_what_one_order_does(
    shared_folder: Path, batches: list[list[Operation]]
) -> None:
    root = Path(tempfile.mkdtemp(dir=shared_folder))
    url = f"sqlite:///{root}/store.sqlite"
    with Controller({"storage": "db", "connection": url}, state_path=shared_folder / "state") as c:
        backend = c.backend(
            "array", volume_driver="crash.array_driver.ArrayDriver", file_root=str(root / "volumes")
        )
        real, state = Real(c, backend), (None, None, None)
        for batch in batches:
            answers = run_at_once(real.do, batch)
            after = real.state()
            assert explained(state, batch, answers, after), (
                f"no order of {batch} answers {answers} and leads from {state} to {after}"
            )
            state = after
    shutil.rmtree(root)
