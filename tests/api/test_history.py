"""The history: operations with their users, times and outcomes."""

from __future__ import annotations

import datetime
import logging
import os
import pwd
import uuid
from pathlib import Path
from typing import Any

import pytest
from api.conftest import SHARED, connector
from document_store import DocumentStore

import cinderlib as cl
from cinderlib import errors, serialization
from cinderlib.objects import documents_in
from cinderlib.persistence.base import Put
from cinderlib.records import IntentRecord, OperationRecord, Owner, VolumeRecord, replace


def operations(found: list[cl.Operation]) -> list[tuple[str, str, str]]:
    return [(each.operation, each.name, each.outcome) for each in found]


def test_every_operation_is_recorded_with_its_author(
    controller: cl.Controller, array: cl.Backend
) -> None:
    before = datetime.datetime.now(datetime.UTC)
    volume = array.create_volume(1, name="data")
    snapshot = volume.create_snapshot("monday")
    volume.extend(2)
    volume.connect(connector("node-1")).disconnect()
    snapshot.delete()
    volume.delete()
    found = controller.history()
    assert operations(found) == [
        ("volume.create", "data", "done"),
        ("snapshot.create", "monday", "done"),
        ("volume.extend", "data", "done"),
        ("connection.connect", "data", "done"),
        ("connection.disconnect", "data", "done"),
        ("snapshot.delete", "monday", "done"),
        ("volume.delete", "data", "done"),
    ]
    for each in found:
        assert (each.user, each.pid) == (pwd.getpwuid(os.geteuid()).pw_name, os.getpid())
        assert each.host
        assert each.program
        assert (each.backend, each.volume_id) == ("array", volume.id)
        assert each.ended_at is not None
        assert before <= each.started_at <= each.ended_at
        assert 0 < each.driver_seconds <= each.seconds
    assert found[0].arguments["size"] == 1
    assert found[2].arguments == {"size": 2, "from": 1}
    assert found[3].arguments["host"] == "node-1"


def test_changes_of_records_are_recorded(
    controller: cl.Controller, library: cl.Controller, array: cl.Backend
) -> None:
    volume = array.create_volume(1, name="data", metadata={"a": "1", "b": "secret"})
    snapshot = volume.create_snapshot("monday")
    document = library.volume(volume.id).to_json()
    volume.name, volume.metadata = "new", {"a": "1", "c": "secret"}
    volume.save()
    volume.save()
    volume.rename("newer")
    volume.rename("newer")
    snapshot.description = "of the week"
    snapshot.save()
    connection = volume.connect(connector("node-1"))
    connection.device_attached({"path": "/dev/x"})
    assert "secret" not in str(controller.history())
    assert [(each.operation, each.name, each.arguments) for each in controller.history()[2:]] == [
        ("volume.set", "data", {"name": "new", "metadata": ["b", "c"]}),
        ("volume.set", "new", {"name": "newer"}),
        ("snapshot.set", "monday", {"description": "of the week"}),
        ("connection.connect", "newer", {"host": "node-1"}),
        ("connection.set", "", {"device": True}),
    ]
    connection.disconnect()
    snapshot.delete()
    volume.delete()
    library.load(document, save=True)
    assert operations(controller.history())[-1] == ("volume.load", "data", "done")


def test_repairs_are_recorded(
    controller: cl.Controller, library: cl.Controller, array: cl.Backend, root: Path
) -> None:
    volume, lost = array.create_volume(1, name="data"), array.create_volume(1, name="lost")
    snapshot = lost.create_snapshot("monday")
    library.store.apply(Put(replace(volume.record, status="in-use")))
    for file in root.glob(f"*{lost.id}*"):
        file.unlink()
    for file in root.glob(f"*{snapshot.id}*"):
        file.unlink()
    array.reconcile(repair=True, remove=[lost.id, snapshot.id])
    assert operations(controller.history())[3:] == [
        ("snapshot.forget", "monday", "done"),
        ("volume.repair", "data", "done"),
        ("volume.forget", "lost", "done"),
    ]
    assert controller.history()[4].arguments == {"status": "available"}


def test_applied_streams_are_recorded(controller: cl.Controller, array: cl.Backend) -> None:
    volume = array.create_volume(1, name="copy")
    id = str(uuid.uuid4())
    volume.begin_apply(id, point="monday", size=1)
    connection = volume.connect(connector("node-1"), id=id)
    assert "volume.apply" not in str(controller.history())
    volume.finish_apply(id)
    applied = controller.history()[-1]
    assert (applied.operation, applied.name) == ("volume.apply", "copy")
    assert applied.arguments == {"point": "monday"}
    connection.disconnect()


def test_a_failure_is_recorded_with_its_reason(
    controller: cl.Controller, array: cl.Backend, root: Path
) -> None:
    volume = array.create_volume(1, name="data")
    path = root / volume.name_in_storage
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.CinderlibError):
        volume.delete()
    last = controller.history()[-1]
    assert (last.operation, last.outcome) == ("volume.delete", "failed")
    assert last.error


def test_operations_are_found_by_resource_time_and_place(
    controller: cl.Controller, array: cl.Backend
) -> None:
    first = array.create_volume(1, name="first")
    second = array.create_volume(1, name="second")
    snapshot = second.create_snapshot("monday")
    second.delete(snapshots=True)
    of_second = controller.history(second)
    assert [each.operation for each in of_second] == [
        *("volume.create", "snapshot.create", "snapshot.delete", "volume.delete")
    ]
    for asked in (second.id, second.id[:8], "second"):
        assert controller.history(asked)[0] == of_second[0]
    assert len(controller.history(snapshot.id)) == 2
    assert operations(controller.history(first)) == [("volume.create", "first", "done")]
    assert controller.history(backend="elsewhere") == []
    assert controller.history("nothing") == []
    assert controller.history(limit=1) == of_second[-1:]
    assert controller.history(since=of_second[1].ended_at)[0].operation == "snapshot.delete"
    assert controller.history(after=of_second[1].id) == of_second[2:]


def test_an_operation_is_in_the_history_while_it_runs(library: cl.Controller, root: Path) -> None:
    seen: list[cl.Operation] = []
    array = library.backend("array", volume_driver=SHARED, file_root=str(root))
    volume = array.create_volume(1, name="data")
    driver = array._driver  # its calls are not reported to an observer of this controller

    def delete(*arguments: Any) -> None:
        seen.extend(library.history())
        raise errors.DriverInterrupted("the driver's process ended")

    driver.delete_volume = delete  # type: ignore[method-assign]
    with pytest.raises(errors.DriverInterrupted):
        volume.delete()
    del driver.delete_volume
    assert operations(seen)[-1] == ("volume.delete", "data", "running")
    assert seen[-1].ended_at is None
    library.recover()
    last = library.history()[-1]
    assert operations([last]) == [("volume.delete", "data", "finished")]
    assert last.recovered_by is not None
    assert last.recovered_by["pid"] == os.getpid()


def test_an_interrupted_operation_of_a_dead_process(library: cl.Controller) -> None:
    owner = Owner(host=os.uname().nodename, boot_id="an earlier boot", pid=1, start_time=0)
    intent = IntentRecord(
        id="i", operation="volume.create", backend="b", resource_id="v", lock="l", owner=owner
    )
    library.store.apply(Put(intent))
    (found,) = library.history()
    assert found.outcome in ("interrupted", "running")
    assert found.pid == 1


def test_old_operations_are_removed(tmp_path: Path) -> None:
    config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(config, state_path=tmp_path / "state", history_limit=10) as controller:
        array = controller.backend("a", volume_driver=SHARED, file_root=str(tmp_path / "array"))
        for _ in range(40):
            array.create_volume(1).delete()
        assert 10 <= controller.store.count(OperationRecord) <= 26
        assert controller.history()[-1].operation == "volume.delete"


def documents(*places: tuple[str, str]) -> list[serialization.VolumeDocument]:
    """The documents of volumes with these names on these backends."""
    return [
        serialization.VolumeDocument(
            format=1,
            backend={"volume_backend_name": backend},
            volume=VolumeRecord(
                id=str(uuid.uuid4()), backend=backend, size=1, name=name, host="h@a#p"
            ),
        )
        for name, backend in places
    ]


def test_a_load_of_many_volumes_keeps_the_limit(tmp_path: Path) -> None:
    config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    with cl.Controller(config, state_path=tmp_path / "state", history_limit=10) as controller:
        for names in ("abc", "defghijklmno", "pqr"):
            documents_in.save_new(controller, documents(*((name, name) for name in names)))
        assert [each.name for each in controller.history()] == list("ijklmnopqr")


def test_a_load_of_many_volumes_is_one_record_for_each_backend(
    controller: cl.Controller, library: cl.Controller, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    loaded = documents(("one", "a"), ("two", "a"), ("alone", "b"))
    documents_in.save_new(library, loaded)
    both, alone = controller.history()
    assert (both.name, both.backend, both.resource_id) == ("2 volumes", "a", "")
    assert both.arguments == {"ids": [each.volume.id for each in loaded[:2]]}
    assert (alone.name, alone.backend, alone.arguments) == ("alone", "b", {})
    for asked, found in ((loaded[1].volume.id, both), (loaded[2].volume.id[:8], alone)):
        assert controller.history(asked) == [found]
    assert "volume.load of 2 volumes: done" in caplog.text


def test_without_a_history(tmp_path: Path, root: Path) -> None:
    with cl.Controller(state_path=tmp_path / "state", history_limit=0) as controller:
        files = controller.backend("files", volume_driver="file", file_root=str(root))
        files.create_volume(1).delete()
        assert controller.history() == []


def test_a_plug_in_for_cinderlib_5_keeps_no_history(tmp_path: Path, root: Path) -> None:
    store = DocumentStore(tmp_path / "documents")
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        store.load = controller.load
        files = controller.backend("files", volume_driver="file", file_root=str(root))
        files.create_volume(1).delete()
        with pytest.raises(errors.Unsupported, match="keeps no history"):
            controller.history()


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "yesterday"},
        {"since": datetime.datetime(2026, 1, 1)},
        {"limit": -1},
        {"after": "x"},
    ],
)
def test_invalid_arguments_are_refused(controller: cl.Controller, wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidInput):
        controller.history(**wrong)


def test_each_operation_is_one_line_of_the_log(
    library: cl.Controller, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    array = library.backend("array", volume_driver=SHARED, file_root=str(root))
    with caplog.at_level(logging.INFO, "cinderlib"):
        volume = array.create_volume(1, name="data")
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]
    assert line.startswith(f"volume.create of data ({volume.id[:8]}): done after ")
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "cinderlib.drivers.observed"):
        volume.delete()
    calls = [each.getMessage() for each in caplog.records if "Driver call" in each.getMessage()]
    assert any(call.startswith("Driver call delete_volume of backend array: ") for call in calls)


def test_a_compound_operation_is_recorded_once(
    library: cl.Controller, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = library.backend("here", volume_driver="file", file_root=str(root))
    volume = backend.create_volume(1, name="data")
    created = len(library.history())

    def attach(*arguments: Any, **named: Any) -> dict[str, Any]:
        raise errors.NodeError("there is no device")

    monkeypatch.setattr(library.local_host, "attach", attach)
    with pytest.raises(errors.NodeError):
        volume.attach()
    (failed,) = library.history()[created:]
    assert operations([failed]) == [("volume.attach", "data", "failed")]
    assert "there is no device" in failed.error
