"""Recovery settles interrupted operations, and skips those of running processes and other hosts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api.conftest import SERVICE, files
from api.holding import held

import cinderlib as cl
from cinderlib.locking import filesystems, process_identity
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Put
from cinderlib.records import IntentRecord, Owner, VolumeRecord, replace

pytestmark = pytest.mark.parametrize("through", ["db", SERVICE])


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A controller with SQLite in a folder that other hosts may mount, without seeing its locks."""
    monkeypatch.setattr(filesystems, "is_of_one_kernel", lambda folder: False)
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    with cl.Controller(store, state_path=tmp_path / "state", lock_timeout=0.1) as controller:
        yield controller


def interrupted(
    library: cl.Controller, who: Owner, operation: str = "volume.create"
) -> tuple[cl.Volume, IntentRecord]:
    """A volume that a process began to create and never finished."""
    volume = library.loaded("here").create_volume(1)
    store = library.store
    record = store.get(VolumeRecord, volume.id)
    assert record is not None
    intent = IntentRecord(
        id=volume.id[:-1] + "x",
        operation=operation,
        backend="here",
        resource_id=volume.id,
        lock=f"volume:{volume.id}",
        owner=who,
    )
    store.apply(Put(replace(record, status="creating")), Put(intent))
    return volume, intent


ME = process_identity.this_process()
ELSEWHERE = Owner(host="elsewhere", boot_id="1", pid=1, start_time=1)
BEFORE_THE_BOOT = Owner(host=ME.host, boot_id="earlier", pid=ME.pid, start_time=ME.start_time)


def test_operations_from_before_the_boot_are_settled(
    backend: cl.Backend, library: cl.Controller, root: Path
) -> None:
    """Another process may have its process ID now."""
    volume, _ = interrupted(library, BEFORE_THE_BOOT)
    (result,) = backend.controller.recover()
    assert (result.resource_id, result.outcome) == (volume.id, "undone")
    assert (backend.volumes, files(root)) == ([], [])


def test_operations_of_another_host_are_skipped(
    backend: cl.Backend, library: cl.Controller, root: Path
) -> None:
    volume, intent = interrupted(library, ELSEWHERE)
    (result,) = backend.controller.recover()
    assert (result.outcome, "elsewhere" in result.reason) == ("skipped", True)
    with pytest.raises(cl.errors.Busy, match="on elsewhere and may still run"):
        backend.controller.volume(volume.id).delete()
    assert library.store.find(IntentRecord)[0].id == intent.id
    assert files(root) == [volume.name_in_storage]


def test_running_operations_are_left_alone(
    backend: cl.Backend, library: cl.Controller, root: Path
) -> None:
    volume, intent = interrupted(library, ME)
    with held(library, intent.lock):
        (result,) = backend.controller.recover()
    assert (result.outcome, result.reason) == ("skipped", "it is running")
    assert files(root) == [volume.name_in_storage]
    (result,) = backend.controller.recover()
    assert result.outcome == "undone"


def test_operations_of_a_newer_version_are_skipped(
    backend: cl.Backend, library: cl.Controller, root: Path
) -> None:
    volume, intent = interrupted(library, BEFORE_THE_BOOT, "volume.transmute")
    (result,) = backend.controller.recover()
    assert result.outcome == "failed"
    assert "does not know the operation 'volume.transmute'" in result.reason
    assert library.store.find(IntentRecord)[0].id == intent.id
    assert files(root) == [volume.name_in_storage]


#: Calls, and the driver's method at the end of which Control-C is pressed.
INTERRUPTED: dict[str, tuple[str, Callable[[cl.Volume], Any]]] = {
    "create": ("create_volume", lambda volume: volume.backend.create_volume(1)),
    "clone": ("create_cloned_volume", lambda volume: volume.clone()),
    "snapshot": ("create_snapshot", lambda volume: volume.create_snapshot()),
    "delete a snapshot": ("delete_snapshot", lambda volume: volume.snapshots[0].delete()),
    "extend": ("extend_volume", lambda volume: volume.extend(2)),
    "revert": (
        "revert_to_snapshot",
        lambda volume: volume.revert_to_snapshot(volume.snapshots[0]),
    ),
    "attach": ("initialize_connection", lambda volume: volume.attach()),
    "detach": ("terminate_connection", lambda volume: (volume.attach(), volume.detach())),
    "delete": ("delete_volume", lambda volume: (volume.snapshots[0].delete(), volume.delete())),
}


@pytest.mark.parametrize("call", INTERRUPTED)
def test_recover_settles_operations_interrupted_by_control_c(
    backend: cl.Backend, library: cl.Controller, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    from cinderlib.drivers.file.driver import FileDriver  # after Cinder is loaded

    method, ask = INTERRUPTED[call]
    volume = backend.create_volume(1)
    volume.create_snapshot()
    with monkeypatch.context() as patch:
        work = getattr(FileDriver, method)

        def interrupted(*arguments: Any, **named: Any) -> None:
            work(*arguments, **named)
            raise KeyboardInterrupt

        patch.setattr(FileDriver, method, interrupted)
        # A client of a service gets an internal error.
        with pytest.raises((KeyboardInterrupt, cl.errors.CinderlibError)):
            ask(volume)
    result = backend.controller.recover()
    assert {each.outcome for each in result} <= {"finished", "undone"}
    assert library.store.find(IntentRecord) == []
    statuses = {each.status for each in [*backend.volumes, *volume.snapshots]}
    assert statuses <= {"available"}
    for left in backend.volumes:
        for snapshot in left.snapshots:
            snapshot.delete()
        left.delete()


def test_recover_reports_once_what_loading_a_backend_settled(
    backend: cl.Backend, library: cl.Controller, root: Path, tmp_path: Path
) -> None:
    volume, _ = interrupted(library, BEFORE_THE_BOOT)
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        controller.backend("here", volume_driver="file", file_root=str(root))
        (result,) = controller.recover()
        assert (result.resource_id, result.outcome) == (volume.id, "undone")
        assert controller.recover() == []


#: Operations that begin no intent when they are repeated. Attach is not among them: it checks the
#: device again.
TWICE: dict[str, Callable[[cl.Volume], Callable[[], Any]]] = {
    "delete a volume": lambda volume: volume.delete,
    "delete a snapshot": lambda volume: volume.create_snapshot().delete,
    "extend": lambda volume: lambda: volume.extend(2),
    "detach the connection": lambda volume: volume.attach().detach,
    "disconnect the connection": lambda volume: _mapped(volume).disconnect,
    "disconnect the volume": lambda volume: functools.partial(volume.disconnect, _mapped(volume)),
    "connect": lambda volume: lambda: _mapped(volume),
    "clean up": lambda volume: volume.cleanup,
    "recover": lambda volume: volume.backend.controller.recover,
}


def _mapped(volume: cl.Volume) -> cl.Connection:
    return volume.connect(volume.backend.controller.local_connector(volume.backend))


@pytest.mark.parametrize("verb", TWICE)
def test_a_repeated_operation_begins_no_intent(
    backend: cl.Backend, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    volume = backend.create_volume(1)
    ask = TWICE[verb](volume)
    ask()
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "begin_with", lambda *_: pytest.fail("an operation began"))
        ask()
    for connection in volume.connections:
        connection.detach()
        connection.disconnect()
    backend.controller.recover()
