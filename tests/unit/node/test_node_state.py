"""The state folder after crashes, on full disks, and with concurrent processes."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from cinderlib import errors
from cinderlib.node.block import Trace
from cinderlib.node.state import Entry, State


def _entry(**fields: object) -> Entry:
    return Entry(**({"key": "key", "document": {"id": "connection-1"}} | fields))  # type: ignore[arg-type]


def test_the_last_step_counts(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.get("key") is None
    state.put(_entry())
    last = _entry(status="attached", device={"path": "/dev/x"}, traces=[Trace("x", 3)])
    state.put(last)
    assert State(tmp_path).get("key") == last
    assert State(tmp_path).find("connection-1") == last
    state.remove("key")
    assert list(state.entries()) == []


def test_an_incomplete_line_is_ignored(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.put(_entry())
    (file,) = tmp_path.glob("*/key.json")
    whole = file.read_bytes()
    state.put(_entry(status="attached"))
    with_second = file.read_bytes()
    for length in range(len(whole), len(with_second) - 2):
        file.write_bytes(with_second[:length])
        assert state.get("key") == _entry()
        state.put(_entry(status="detaching"))
        assert state.get("key") == _entry(status="detaching")
    file.write_bytes(whole[: len(whole) // 2])
    assert state.get("key") is None
    assert list(state.entries()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_reported_before_any_change(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.put(_entry(key="other"))
    (file,) = tmp_path.glob("*/other.json")
    file.with_name("key.json").symlink_to("/dev/full")
    with pytest.raises(errors.NodeError, match="No space left"):
        state.put(_entry())


def _hold(path: Path, held: multiprocessing.synchronize.Event) -> None:
    with State(path).locked("key"):
        held.set()
        os.abort()


def test_the_lock_of_a_dead_process_is_released(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held))
    process.start()
    process.join()
    assert held.is_set()
    state = State(tmp_path)
    with state.locked("key", wait=False):
        with pytest.raises(errors.Busy), state.locked("key", wait=False):
            pass
        with state.locked("another", wait=False):
            pass
    assert not list(tmp_path.glob("*/*.lock"))


def test_the_error_for_an_unusable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.NodeError, match="state_path"):
        State(tmp_path / "file" / "state").get("key")
