"""A program receives the calls of drivers, the waits for locks, and recoveries."""

from __future__ import annotations

import contextlib
import pathlib
import threading
from collections.abc import Iterator

import pytest

import cinderlib as cl
from cinderlib import errors


class Recorder:
    """Collects activities, with the class of their error."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str, str, str]] = []

    @contextlib.contextmanager
    def __call__(self, activity: cl.Activity) -> Iterator[None]:
        error = ""
        try:
            yield
        except BaseException as exc:
            error = type(exc).__name__
            raise
        finally:
            self.ended.append((activity.kind, activity.name, activity.backend, error))


def test_driver_calls_and_locks_are_observed(tmp_path: pathlib.Path) -> None:
    seen = Recorder()
    with cl.Controller(state_path=tmp_path / "state", observer=seen) as controller:
        files = controller.backend("files", volume_driver="file", file_root=str(tmp_path / "v"))
        volume = files.create_volume(1)
        assert ("driver call", "create_volume", "files", "") in seen.ended
        assert ("lock", "volume", "", "") in seen.ended
        (tmp_path / "v" / volume.name_in_storage).unlink()
        seen.ended.clear()
        with pytest.raises(errors.DriverError):
            volume.clone()
        assert ("driver call", "create_cloned_volume", "files", "DriverError") in seen.ended


def test_a_lock_that_another_thread_holds_is_observed_as_one_wait(tmp_path: pathlib.Path) -> None:
    waiting = threading.Event()

    @contextlib.contextmanager
    def observer(activity: cl.Activity) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread() and activity.kind == "lock":
            waiting.set()
        yield

    with cl.Controller(state_path=tmp_path / "state", observer=observer) as controller:
        files = controller.backend("files", volume_driver="file", file_root=str(tmp_path / "v"))
        volume = files.create_volume(1)
        deleting = threading.Thread(target=volume.delete)
        with controller.journal.locks.hold(f"volume:{volume.id}"):
            deleting.start()
            assert waiting.wait(60)
        deleting.join()


def test_an_observer_that_fails_does_not_affect_operations(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    def observer(activity: cl.Activity) -> contextlib.AbstractContextManager[None]:
        raise RuntimeError("observer")

    with cl.Controller(state_path=tmp_path / "state", observer=observer) as controller:
        files = controller.backend("files", volume_driver="file", file_root=str(tmp_path / "v"))
        assert files.create_volume(1).status == "available"
    assert "The observer failed" in caplog.text
    with pytest.raises(errors.InvalidInput):
        cl.Controller(observer="no function")  # type: ignore[arg-type]
