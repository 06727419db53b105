"""Forced disconnect from an array that fails to unmap: the pending unmap is recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from api.conftest import LoadBackend, connector

import cinderlib as cl


@pytest.fixture
def stubborn(load_backend: LoadBackend, root: Path) -> cl.Backend:
    return load_backend(
        "stubborn", volume_driver="api.shared_array.StubbornArray", file_root=str(root)
    )


def maps(root: Path, volume: cl.Volume) -> dict[str, Any]:
    path = root / f".{volume.name_in_storage}.maps"
    return json.loads(path.read_text()) if path.exists() else {"exported": False, "hosts": []}


NOTHING = {"exported": False, "hosts": []}


@pytest.fixture
def forced(stubborn: cl.Backend, root: Path) -> cl.Volume:
    """A volume after a forced disconnect from alpha that left the mapping on the array."""
    volume = stubborn.create_volume(1, multiattach=True)
    connection = volume.connect(connector("alpha"))
    (root / ".stubborn").touch()
    with pytest.raises(cl.errors.DriverError, match="does not feel like it"):
        connection.disconnect()
    connection.disconnect(force=True)
    assert maps(root, volume)["hosts"] == ["alpha"]
    return volume


def test_the_volume_is_available_and_the_mapping_is_recorded(
    forced: cl.Volume, stubborn: cl.Backend, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forced.refresh()
    assert (forced.status, forced.connections) == ("available", [])
    (finding,) = stubborn.reconcile()
    assert (finding.problem, finding.resource_id) == ("unmapped", forced.id)
    assert "alpha may still reach it" in finding.detail
    assert [each.outcome for each in stubborn.reconcile(repair=True)] == ["failed"]
    assert [each.outcome for each in stubborn.controller.recover()] == ["failed"]
    (root / ".stubborn").unlink()
    assert [each.outcome for each in stubborn.reconcile(repair=True)] == ["repaired"]
    assert maps(root, forced) == NOTHING
    assert stubborn.reconcile() == []


def test_recovery_unmaps_on_request(forced: cl.Volume, stubborn: cl.Backend, root: Path) -> None:
    (root / ".stubborn").unlink()
    (done,) = stubborn.controller.recover()
    assert (done.operation, done.outcome) == ("connection.unmap", "finished")
    assert maps(root, forced) == NOTHING
    assert stubborn.controller.recover() == []


def test_connecting_another_host_unmaps_the_first(forced: cl.Volume, root: Path) -> None:
    forced.connect(connector("beta"))
    assert maps(root, forced)["hosts"] == ["alpha", "beta"]
    (root / ".stubborn").unlink()
    forced.connect(connector("gamma"))
    assert maps(root, forced)["hosts"] == ["beta", "gamma"]
    for connection in forced.connections:
        connection.disconnect()
    assert maps(root, forced) == NOTHING


def test_a_reconnected_host_is_not_unmapped(
    forced: cl.Volume, stubborn: cl.Backend, root: Path
) -> None:
    again = forced.connect(connector("alpha"), instance_uuid="another")
    (root / ".stubborn").unlink()
    assert [each.outcome for each in stubborn.reconcile(repair=True)] == ["repaired"]
    assert maps(root, forced) == {"exported": True, "hosts": ["alpha"]}
    again.disconnect()
    assert maps(root, forced) == NOTHING
    assert stubborn.reconcile() == []


def test_deleting_the_volume_unmaps_it_first(
    forced: cl.Volume, stubborn: cl.Backend, root: Path
) -> None:
    with pytest.raises(cl.errors.InvalidVolume):  # this array does not delete mapped volumes
        forced.delete()
    (root / ".stubborn").unlink()
    file = root / f".{forced.name_in_storage}.maps"
    forced.delete()
    assert not file.exists()
    assert stubborn.reconcile() == []
    assert stubborn.controller.recover() == []


def test_pending_unmaps_are_deleted_with_the_volume(
    forced: cl.Volume, stubborn: cl.Backend, root: Path
) -> None:
    (root / f".{forced.name_in_storage}.maps").unlink()  # the array has removed the mapping
    forced.delete()
    assert stubborn.reconcile() == []
    assert stubborn.controller.recover() == []


def test_pending_unmaps_contain_no_secrets(forced: cl.Volume, library: cl.Controller) -> None:
    from cinderlib.records import IntentRecord

    (intent,) = library.store.find(IntentRecord)
    assert "marked-chap-password" not in json.dumps(intent.data)
    assert intent.data["connection"]["connector"] == connector("alpha")


def test_loading_the_backend_does_not_wait_for_the_array(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        "volume_driver": "api.shared_array.StubbornArray",
        "file_root": str(root),
    }
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/cl.sqlite"}
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        volume = controller.backend("stubborn", **options).create_volume(1)
        connection = volume.connect(connector("alpha"))
        (root / ".stubborn").touch()
        connection.disconnect(force=True)
        name = volume.name_in_storage
    (root / ".stubborn").unlink()
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        backend = controller.backend("stubborn", **options)
        assert (root / f".{name}.maps").exists()
        assert [each.outcome for each in backend.reconcile(repair=True)] == ["repaired"]
        assert not (root / f".{name}.maps").exists()


def test_a_disconnect_that_was_killed_can_be_forced(tmp_path: Path, root: Path) -> None:
    options: dict[str, Any] = {
        "volume_driver": "api.shared_array.StubbornArray",
        "file_root": str(root),
    }
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/cl.sqlite"}
    program = f"""
import os
import cinderlib as cl
controller = cl.Controller({store}, state_path="{tmp_path}/state")
backend = controller.backend("stubborn", **{options})
connection = backend.create_volume(1).connect({connector("alpha")})
from api.shared_array import StubbornArray
StubbornArray.terminate_connection = lambda *args, **kwargs: os._exit(9)
connection.disconnect()
"""
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 9
    (root / ".stubborn").touch()
    with cl.Controller(store, state_path=tmp_path / "state") as controller:
        backend = controller.backend("stubborn", **options)
        (volume,) = backend.volumes
        (connection,) = volume.connections
        assert connection.status == "detaching"
        with pytest.raises(cl.errors.DriverError):
            connection.disconnect()
        connection.disconnect(force=True)
        volume.refresh()
        assert (volume.status, volume.connections) == ("available", [])
        assert [each.problem for each in backend.reconcile()] == ["unmapped"]
        (root / ".stubborn").unlink()
        volume.delete()
        assert (backend.reconcile(), controller.recover()) == ([], [])


def test_detach_by_force(backend: cl.Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from cinderlib.drivers.file.driver import FileDriver

    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("unplugged")

    volume = backend.create_volume(1)
    volume.attach()
    monkeypatch.setattr(FileDriver, "terminate_connection", fail)
    volume.detach(force=True)
    assert (volume.status, volume.local_attach) == ("available", None)
    assert [each.problem for each in backend.reconcile()] == ["unmapped"]
    monkeypatch.undo()
    with volume.attached():
        pass
    assert backend.reconcile() == []


def test_a_forced_detach_changes_something_and_is_not_recovered(
    load_backend: LoadBackend, root: Path
) -> None:
    backend = load_backend("plain", volume_driver="file", file_root=str(root))
    volume = backend.create_volume(1)
    volume.attach()
    volume.detach(force=True)
    assert (volume.changed, volume.status, volume.connections) == (True, "available", [])
    last = backend.controller.history(volume)[-1]
    assert (last.operation, last.outcome, last.recovered_by) == ("volume.detach", "done", None)
