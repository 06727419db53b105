"""Threads that write to SQLite: waiting jobs run together, each with its own result or error."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.persistence.base import Put
from cinderlib.persistence.sql import SQLStore
from cinderlib.persistence.sql.turns import Job, Turns
from cinderlib.records import KeyValueRecord, new_id, replace

Threads = concurrent.futures.ThreadPoolExecutor


@pytest.fixture
def threads() -> Iterator[Threads]:
    with Threads(8) as threads:
        yield threads


class Busy:
    """Turns whose first job does not end before all other jobs wait."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_begun = threading.Event()
        self.done: list[list[str]] = []
        self.broken = False
        self.turns: Turns[str] = Turns(self.alone, self.together)

    def alone(self, work: str) -> str:
        if work == "first":
            self.has_begun.set()
            self.may_end.wait(30)
        self.done.append([work])
        return work.upper()

    def together(self, jobs: Sequence[Job[str]]) -> None:
        if self.broken:
            raise OSError("the disk is full")
        for job in jobs:
            if job.work == "wrong":
                job.error = ValueError("wrong")
            else:
                job.result = job.work.upper()
        self.done.append([job.work for job in jobs])

    def begin(self, threads: Threads, *works: str) -> list[concurrent.futures.Future[str]]:
        first = threads.submit(self.turns.do, "first", 30)
        assert self.has_begun.wait(30)
        futures = [first]
        for number, work in enumerate(works, 1):
            futures.append(threads.submit(self.turns.do, work, 30))
            while len(self.turns._waiting) < number:
                threading.Event().wait(0.001)
        return futures


def test_waiting_jobs_run_together(threads: Threads) -> None:
    busy = Busy()
    first, *others = busy.begin(threads, "a", "b", "wrong", "c")
    busy.may_end.set()
    assert first.result(30) == "FIRST"
    with pytest.raises(ValueError, match="wrong"):
        others.pop(2).result(30)
    assert [other.result(30) for other in others] == ["A", "B", "C"]
    assert busy.done == [["first"], ["a", "b", "wrong", "c"]]


def test_a_failed_group_is_retried_one_by_one(threads: Threads) -> None:
    busy = Busy()
    busy.broken = True
    futures = busy.begin(threads, "a", "b", "c")
    busy.may_end.set()
    assert [future.result(30) for future in futures] == ["FIRST", "A", "B", "C"]
    assert sorted(busy.done) == [["a"], ["b"], ["c"], ["first"]]


def test_a_job_that_timed_out_does_not_run_later(threads: Threads) -> None:
    busy = Busy()
    (first,) = busy.begin(threads)
    with pytest.raises(TimeoutError):
        busy.turns.do("late", 0.01)
    busy.may_end.set()
    assert first.result(30) == "FIRST"
    assert busy.turns.do("next", 30) == "NEXT"
    assert busy.done == [["first"], ["next"]]


def test_the_main_thread_runs_only_its_own_job() -> None:
    """Control-C may interrupt it, and others would not know which of their jobs were done."""
    busy = Busy()
    other, own = Job("other"), Job("own")
    busy.turns._waiting.extend((other, own))
    busy.turns._serve(own)
    assert (own.taken, other.taken) == (True, False)
    assert list(busy.turns._waiting) == [other]
    assert busy.done == []


def test_writers_of_a_store_share_commits_and_not_errors(
    tmp_path: Path, statements: list[str], threads: Threads
) -> None:
    store = SQLStore(f"sqlite:///{tmp_path}/store.sqlite")
    old = KeyValueRecord(id="old", value="1")
    (kept,) = store.apply(Put(old))
    stale = replace(kept, version=kept.version + 7)

    def write(change: Put) -> Callable[[], Any]:
        return lambda: store.apply(Put(KeyValueRecord(id=new_id(), value="with")), change)

    changes = [Put(KeyValueRecord(id=f"new-{number}", value="x")) for number in range(6)]
    statements.clear()
    # The others wait while this thread has the turn.
    with store._database._turns._turn:
        futures = [threads.submit(write(change)) for change in (*changes, Put(stale))]
        while len(store._database._turns._waiting) < len(futures):
            threading.Event().wait(0.001)
    with pytest.raises(errors.StaleRecord):
        futures.pop().result(30)
    assert [future.result(30)[1].id for future in futures] == [c.record.id for c in changes]
    assert statements.count("COMMIT") == 1
    # All changes were written, except those of the failed job.
    assert store.count(KeyValueRecord) == 1 + 2 * len(changes)
    assert store.get(KeyValueRecord, "old") == kept
    store.close()
