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
from cinderlib.locks import FileLocks

HOLDER = """
import sys
from cinderlib.locks import FileLocks
with FileLocks(sys.argv[1]).hold(7, 5) as got:
    print("held" if got else "not held", flush=True)
    sys.stdin.readline()
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
    locks = FileLocks(str(tmp_path))
    with locks.hold(7, 0.05) as got:
        assert not got
    with locks.hold(8, 0.05) as got:
        assert got, "another lock is free"


def test_who_waits_gets_it_when_it_is_given_up(tmp_path: Path, holder) -> None:
    giving_up = threading.Timer(0.05, lambda: holder.communicate("\n"))
    giving_up.start()
    with FileLocks(str(tmp_path)).hold(7, 30) as got:
        assert got
    giving_up.join()


def test_the_lock_of_a_process_that_is_killed_is_free(tmp_path: Path, holder) -> None:
    holder.kill()
    holder.wait()
    with FileLocks(str(tmp_path)).hold(7, 0) as got:
        assert got


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
    locks = FileLocks(str(tmp_path))
    to_child, from_parent = os.pipe()
    with locks.hold(7, 0) as got:
        assert got
        child = os.fork()
        if not child:
            os.close(from_parent)
            os.read(to_child, 1)  # until the parent has done
            os._exit(0)
    try:
        with locks.hold(7, 0) as got:
            assert got
    finally:
        os.close(from_parent)
        os.close(to_child)
        os.waitpid(child, 0)


def test_a_child_that_leaves_the_block_does_not_free_its_parents_lock(tmp_path: Path) -> None:
    locks = FileLocks(str(tmp_path))
    with locks.hold(7, 0):
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            with FileLocks(str(tmp_path)).hold(7, 0) as got:
                assert not got
    if not child:
        os._exit(0)


def test_a_folder_that_cannot_be_used_is_an_error_of_the_library(tmp_path: Path) -> None:
    with (
        pytest.raises(errors.StoreError, match="nothing was done"),
        FileLocks(str(tmp_path / "missing")).hold(1, 0),
    ):
        pytest.fail("there is no file to lock")
