"""Locks in files: between processes, and whatever becomes of the holder."""

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
    """Another process that holds lock 7 until it reads a line, or dies."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_of_another_process_is_not_got(tmp_path: Path, holder) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    assert not locks.take([7], 0.05)
    assert locks.take([8], 0.05), "another lock is free"


def test_of_several_locks_none_is_kept_when_one_is_not_got(tmp_path: Path, holder) -> None:
    assert not FileLocks(f"{tmp_path}/locks").take([6, 7, 8], 0.05)
    assert FileLocks(f"{tmp_path}/locks").take([6, 8], 0)


def test_who_waits_gets_it_when_it_is_given_up(tmp_path: Path, holder) -> None:
    giving_up = threading.Timer(0.05, lambda: holder.communicate("\n"))
    giving_up.start()
    assert FileLocks(f"{tmp_path}/locks").take([7], 30)
    giving_up.join()


def test_a_lock_that_was_waited_for_in_vain_is_not_lost_to_who_has_it(
    tmp_path: Path, holder
) -> None:
    """The thread that waits in the kernel gets it too late, and gives up only what is its own."""
    locks = FileLocks(f"{tmp_path}/locks")
    assert not locks.take([7], 0.05)
    holder.kill()
    holder.wait()
    give_back = locks.take([7], 30)
    for _ in range(50):
        assert not FileLocks(f"{tmp_path}/locks").take([7], 0.001)
    give_back()
    assert FileLocks(f"{tmp_path}/locks").take([7], 30), "each that waits holds it for a moment"


def test_who_does_not_wait_leaves_nobody_waiting(tmp_path: Path, holder) -> None:
    """A thread that does would get the lock when it is free, and others not."""
    threads = os.listdir("/proc/self/task")
    assert not FileLocks(f"{tmp_path}/locks").take([7], 0)
    assert os.listdir("/proc/self/task") == threads


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.wait()
    assert FileLocks(f"{tmp_path}/locks").take([7], 0)


def test_a_lock_holds_after_its_file_was_removed(tmp_path: Path) -> None:
    """Somebody cleans up the folder; whoever comes then locks the same file as the others."""
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


def test_a_child_that_is_forked_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    to_child, from_parent = os.pipe()
    give_back = locks.take([7], 0)
    child = os.fork()
    if not child:
        os.close(from_parent)
        os.read(to_child, 1)  # until the parent has done
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


def test_a_child_that_gives_back_does_not_free_its_parents_lock(tmp_path: Path) -> None:
    give_back = FileLocks(f"{tmp_path}/locks").take([7], 0)
    child = os.fork()
    if not child:
        give_back()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not FileLocks(f"{tmp_path}/locks").take([7], 0)


def test_a_child_that_is_forked_locks_for_itself(tmp_path: Path) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    give_back = locks.take([7], 0)
    child = os.fork()
    if not child:
        os._exit(bool(locks.take([7], 0)))
    assert os.waitpid(child, 0)[1] == 0
    give_back()


def test_where_no_thread_can_be_started_waiting_is_an_error_of_the_library(
    tmp_path: Path, holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    with pytest.raises(errors.StoreError, match="did not start"):
        FileLocks(f"{tmp_path}/locks").take([7], 5)


def test_a_folder_that_cannot_be_used_is_an_error_of_the_library(tmp_path: Path) -> None:
    with pytest.raises(errors.StoreError, match="did not start"):
        FileLocks(f"{tmp_path}/missing/locks").take([1], 0)


def test_the_folder_of_a_hosts_locks_follows_no_setting_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drivers, os-brick and stores without locks of their own would not exclude each other."""
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


def test_a_call_is_running_until_it_ends_wherever_that_is_asked(tmp_path: Path) -> None:
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


def test_a_lock_is_held_once_by_all_who_use_one_object(tmp_path: Path) -> None:
    locks = FileLocks(f"{tmp_path}/locks")
    give_back = locks.take([7], 0)
    assert not locks.take([7], 0.01)
    give_back()
    # The thread that waited in vain may still hold it for a moment.
    give_back = locks.take([7], 30)
    assert give_back
    give_back()
