"""Whose interrupted operations recovery settles, and whose it leaves alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from api.conftest import files

import cinderlib as cl
from cinderlib.locking import filesystems, process_identity
from cinderlib.persistence.base import Put
from cinderlib.records import IntentRecord, Owner, VolumeRecord, replace


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """On SQLite in a folder that other hosts may have mounted, which do not see its locks."""
    monkeypatch.setattr(filesystems, "is_of_one_kernel", lambda folder: False)
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    with cl.Controller(store, state_path=tmp_path / "state", lock_timeout=0.1) as controller:
        yield controller


def interrupted(
    backend: cl.Backend, who: Owner, operation: str = "volume.create"
) -> tuple[cl.Volume, IntentRecord]:
    """A volume whose creation was begun by a process, and never ended."""
    volume = backend.create_volume(1)
    store = backend.controller.store
    record = store.get(VolumeRecord, volume.id)
    assert record is not None
    intent = IntentRecord(
        id=volume.id[:-1] + "x",
        operation=operation,
        backend=backend.id,
        resource_id=volume.id,
        lock=f"volume:{volume.id}",
        owner=who,
    )
    store.apply(Put(replace(record, status="creating")), Put(intent))
    return volume, intent


ME = process_identity.this_process()
ELSEWHERE = Owner(host="elsewhere", boot_id="1", pid=1, start_time=1)
BEFORE_THE_BOOT = Owner(host=ME.host, boot_id="earlier", pid=ME.pid, start_time=ME.start_time)


def test_what_was_begun_before_the_boot_is_settled(backend: cl.Backend, root: Path) -> None:
    """Its process id may be another's by now."""
    volume, _ = interrupted(backend, BEFORE_THE_BOOT)
    (told,) = backend.controller.recover()
    assert (told.resource_id, told.outcome) == (volume.id, "undone")
    assert (backend.volumes, files(root)) == ([], [])


def test_what_was_begun_on_another_host_is_left_to_it(backend: cl.Backend, root: Path) -> None:
    volume, intent = interrupted(backend, ELSEWHERE)
    (told,) = backend.controller.recover()
    assert (told.outcome, "elsewhere" in told.reason) == ("skipped", True)
    with pytest.raises(cl.errors.Busy, match="on elsewhere and may still run"):
        volume.delete()
    assert backend.controller.store.find(IntentRecord)[0].id == intent.id
    assert files(root) == [volume.name_in_storage]


def test_what_runs_is_left_alone(backend: cl.Backend, root: Path) -> None:
    volume, intent = interrupted(backend, ME)
    held, asked = threading.Event(), threading.Event()

    def hold() -> None:
        with backend.controller.journal.locks.hold(intent.lock):
            held.set()
            asked.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        (told,) = backend.controller.recover()
    finally:
        asked.set()
        thread.join()
    assert (told.outcome, told.reason) == ("skipped", "it is running")
    assert files(root) == [volume.name_in_storage]
    (told,) = backend.controller.recover()
    assert told.outcome == "undone"


def test_what_a_newer_version_began_is_left_to_it(backend: cl.Backend, root: Path) -> None:
    volume, intent = interrupted(backend, BEFORE_THE_BOOT, "volume.transmute")
    (told,) = backend.controller.recover()
    assert told.outcome == "failed"
    assert "does not know the operation 'volume.transmute'" in told.reason
    assert backend.controller.store.find(IntentRecord)[0].id == intent.id
    assert files(root) == [volume.name_in_storage]
