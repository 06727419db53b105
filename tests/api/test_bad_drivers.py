"""Drivers that fail after the work is done, time out, or return invalid answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api.conftest import LoadBackend, connector, files

import cinderlib as cl

ID = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.fixture
def failing(load_backend: LoadBackend, root: Path) -> Iterator[cl.Backend]:
    backend = load_backend(
        "failing", volume_driver="api.shared_array.FailingArray", file_root=str(root)
    )
    yield backend
    answers(None)


def answers(after: Callable[[str, Any], Any] | None) -> None:
    """Set the function that the array calls after its work."""
    from api.shared_array import FailingArray

    FailingArray.after = None if after is None else staticmethod(after)


def times_out_in(name: str) -> Callable[[str, Any], Any]:
    def after(method: str, answer: Any) -> Any:
        if method == name:
            raise TimeoutError(f"{method} took too long")
        return answer

    return after


def rubbish(answer: Any) -> Callable[[str, Any], Any]:
    return lambda method, right: answer if method == "initialize_connection" else right


def maps(root: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in root.glob(".*.maps")]


CALLS: dict[str, Callable[[cl.Backend], Any]] = {
    "create_volume": lambda backend: backend.create_volume(1, id=ID),
    "create_snapshot": lambda backend: the(backend).create_snapshot(id=ID),
    "extend_volume": lambda backend: the(backend).extend(2),
    "initialize_connection": lambda backend: the(backend).connect(connector("alpha")),
    "terminate_connection": lambda backend: the(backend).connections[0].disconnect(),
    "delete_volume": lambda backend: the(backend).delete(),
}


def the(backend: cl.Backend) -> cl.Volume:
    (volume,) = backend.volumes
    return volume


@pytest.mark.parametrize("method", CALLS)
def test_a_driver_that_times_out_after_the_work_is_done(
    failing: cl.Backend, root: Path, method: str
) -> None:
    call = CALLS[method]
    if method != "create_volume":
        volume = failing.create_volume(1)
        if method == "terminate_connection":
            volume.connect(connector("alpha"))
    answers(times_out_in(method))
    with pytest.raises(cl.errors.DriverTimeout, match=f"{method} took too long") as caught:
        call(failing)
    assert caught.value.retryable
    answers(None)
    call(failing)
    assert failing.reconcile() == []
    for left in failing.volumes:
        for connection in left.connections:
            connection.disconnect()
        for snapshot in left.snapshots:
            snapshot.delete()
        left.delete()
    assert (files(root), maps(root), failing.reconcile()) == ([], [], [])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "iscsi",
        {},
        {"data": {}},
        {"driver_volume_type": None, "data": {}},
        {"driver_volume_type": "iscsi", "data": None},
        {"driver_volume_type": "iscsi", "data": ["target_lun", 1]},
    ],
    ids=str,
)
def test_an_unusable_answer_to_a_connect_is_undone(
    failing: cl.Backend, root: Path, answer: Any
) -> None:
    volume = failing.create_volume(1)
    answers(rubbish(answer))
    with pytest.raises(cl.errors.DriverError, match=r"the driver returned") as caught:
        volume.connect(connector("alpha"))
    assert volume.id in str(caught.value)
    volume.refresh()
    assert (volume.status, volume.connections, maps(root)) == ("available", [], [])
    answers(None)
    volume.connect(connector("alpha"))


def test_secrets_in_an_answer_are_never_shown(failing: cl.Backend) -> None:
    volume = failing.create_volume(1)
    answers(rubbish({"type": "iscsi", "auth_password": "marked-chap-password"}))
    with pytest.raises(cl.errors.DriverError, match="'type', 'auth_password'") as caught:
        volume.connect(connector("alpha"))
    assert "marked-chap-password" not in str(caught.value)


def test_an_answer_without_fields_that_the_host_needs(
    backend: cl.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinderlib.drivers.file.driver import FileDriver

    volume = backend.create_volume(1)
    for data in ({}, {"device_path": None}, {"device_path": 7}, {"device_path": "relative"}):
        answer = {"driver_volume_type": "local", "data": data}
        with monkeypatch.context() as patch:
            patch.setattr(FileDriver, "initialize_connection", lambda *args, a=answer: a)
            with pytest.raises(cl.errors.CinderlibError):
                volume.attach()
        assert (volume.connections, backend.reconcile()) == ([], [])
    with volume.attached():
        pass


def test_a_backend_that_cannot_be_loaded_does_not_hide_others(
    library: cl.Controller, backend: cl.Backend, load_backend: LoadBackend, root: Path
) -> None:
    beside = load_backend("beside", volume_driver="file", file_root=str(root / "beside"))
    volume, other = backend.create_volume(1), beside.create_volume(1)
    with pytest.raises(cl.errors.CinderlibError):
        load_backend("broken", volume_driver="file", file_root="relative")
    if not library.store.shared:
        return
    with cl.Controller(library.store, state_path=root.parent / "state") as again:
        with pytest.raises(cl.errors.CinderlibError):
            again.backend("here", volume_driver="file", file_root="relative")
        again.backend("beside", volume_driver="file", file_root=str(root / "beside"))
        assert [v.id for v in again.volumes()] == [volume.id, other.id]
        again.volume(other.id).extend(2)
        with pytest.raises(cl.errors.BackendNotFound):
            again.volume(volume.id).extend(2)
        assert [found.outcome for found in again.recover()] == []
