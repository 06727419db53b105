"""Locks in files between processes, including crashes of the holder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import cinderlib as cl
from cinderlib import errors
from cinderlib.locking.files import FileLocks
from cinderlib.locking.locks import Locks
from cinderlib.locking.state_folder import Folders
from cinderlib.node.state import State

HOLDER = """
import sys
from cinderlib.locking.files import FileLocks
give_back = FileLocks(sys.argv[1] + '/locks').take([7], 5)
print("held" if give_back else "not held", flush=True)
sys.stdin.readline()
give_back()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds lock 7 until it reads a line or dies."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_of_another_process_cannot_be_taken(tmp_path: Path, holder) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    assert not locks.take([7], 0.05)
    assert locks.take([8], 0.05), "another lock is free"


def test_no_lock_is_kept_if_one_of_several_cannot_be_taken(tmp_path: Path, holder) -> None:
    assert not FileLocks(f"{tmp_path}/locks").take([6, 7, 8], 0.05)
    assert FileLocks(f"{tmp_path}/locks").take([6, 8], 0)


def test_a_waiting_process_gets_a_released_lock(tmp_path: Path, holder) -> None:
    giving_up = threading.Timer(0.05, lambda: holder.communicate("\n"))
    giving_up.start()
    assert FileLocks(f"{tmp_path}/locks").take([7], 30)
    giving_up.join()


def test_a_wait_that_timed_out_does_not_release_the_lock_of_others(tmp_path: Path, holder) -> None:
    """The waiting thread gets the lock too late, and releases only its own lock."""
    locks = FileLocks(f"{tmp_path}/locks")
    assert not locks.take([7], 0.05)
    holder.kill()
    holder.wait()
    give_back = locks.take([7], 30)
    for _ in range(50):
        assert not FileLocks(f"{tmp_path}/locks").take([7], 0.001)
    give_back()
    assert FileLocks(f"{tmp_path}/locks").take([7], 30), "each that waits holds it for a moment"


def test_taking_a_lock_without_waiting_starts_no_thread(tmp_path: Path, holder) -> None:
    """A thread would take the lock when it is released, and block others."""
    threads = os.listdir("/proc/self/task")
    assert not FileLocks(f"{tmp_path}/locks").take([7], 0)
    assert os.listdir("/proc/self/task") == threads


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.wait()
    assert FileLocks(f"{tmp_path}/locks").take([7], 0)


def test_a_lock_holds_after_its_file_was_removed(tmp_path: Path) -> None:
    """After a cleanup of the folder, all processes still use the same lock file."""
    before = FileLocks(f"{tmp_path}/locks")
    before.take([1], 0)()
    (tmp_path / "locks").unlink()
    after = FileLocks(f"{tmp_path}/locks").take([7], 0)
    assert not before.take([7], 0)
    after()
    assert before.take([7], 0)


def test_two_controllers_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    one = cl.Controller(store, state_path=tmp_path, lock_timeout=0.05)
    other = cl.Controller(store, state_path=tmp_path, lock_timeout=0.05)
    with (
        one,
        other,
        one.journal.locks.hold("volume:a"),
        pytest.raises(errors.Busy, match="another process"),
        other.journal.locks.hold("volume:a"),
    ):
        pytest.fail("both hold it")


def test_a_forked_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    to_child, from_parent = os.pipe()
    give_back = locks.take([7], 0)
    child = os.fork()
    if not child:
        os.close(from_parent)
        os.read(to_child, 1)  # wait for the parent
        os._exit(0)
    try:
        give_back()
        assert FileLocks(f"{tmp_path}/locks").take([7], 0)
    finally:
        os.close(from_parent)
        os.close(to_child)
        os.waitpid(child, 0)


def test_a_child_does_not_keep_the_lock_of_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from cinderlib.locking.files import FileLocks\n"
        "give_back = FileLocks(sys.argv[1] + '/locks').take([7], 0)\n"
        "if not os.fork():\n"
        "    print('forked', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    os._exit(0)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "forked\n"
        process.kill()
        process.wait()
        assert FileLocks(f"{tmp_path}/locks").take([7], 0)


def test_a_release_in_a_child_does_not_release_its_parents_lock(tmp_path: Path) -> None:
    give_back = FileLocks(f"{tmp_path}/locks").take([7], 0)
    child = os.fork()
    if not child:
        give_back()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not FileLocks(f"{tmp_path}/locks").take([7], 0)


def test_a_forked_child_takes_its_own_locks(tmp_path: Path) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    give_back = locks.take([7], 0)
    child = os.fork()
    if not child:
        os._exit(bool(locks.take([7], 0)))
    assert os.waitpid(child, 0)[1] == 0
    give_back()


def test_the_error_if_no_thread_can_be_started(
    tmp_path: Path, holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    with pytest.raises(errors.StoreError, match="did not start"):
        FileLocks(f"{tmp_path}/locks").take([7], 5)


def test_the_error_for_an_unusable_lock_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.StoreError, match="did not start"):
        FileLocks(f"{tmp_path}/missing/locks").take([1], 0)


def test_the_folder_of_host_locks_does_not_depend_on_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise drivers, os-brick and stores without locks would not exclude each other."""
    found = set()
    for name in ("one", "other"):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name / "xdg"))
        monkeypatch.setenv("HOME", str(tmp_path / name / "home"))
        monkeypatch.chdir(tmp_path)
        found.add(Folders(tmp_path / name, None).locks)
        found.add(Folders(None, None).locks)
        found.add(str(State(tmp_path / name / "node").brick_locks))
    assert len(found) == 1
    assert Folders(tmp_path, tmp_path / "chosen").locks == f"{tmp_path}/chosen"


def test_a_call_is_running_until_it_ends_for_all_processes(tmp_path: Path) -> None:
    here, there = (Locks(FileLocks(f"{tmp_path}/locks"), 1) for _ in range(2))
    with here.call() as number:
        assert (here.is_running(number), there.is_running(number)) == (True, True)
        with here.call() as another, there.hold("volume:a"):
            assert another != number
        child = os.fork()
        if not child:
            os._exit(not here.is_running(number))
        assert os.waitpid(child, 0)[1] == 0
    assert (here.is_running(number), there.is_running(number)) == (False, False)


def test_a_lock_excludes_other_users_of_the_same_object(tmp_path: Path) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    give_back = locks.take([7], 0)
    assert not locks.take([7], 0.01)
    give_back()
    # The thread whose wait timed out may still hold it for a moment.
    give_back = locks.take([7], 30)
    assert give_back
    give_back()
