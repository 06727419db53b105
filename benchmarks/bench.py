"""Shared by all parts of a run: folders, databases, the compared subjects, and numbers of runs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cinderlib as cl
from benchmarks.measure import Figure
from benchmarks.process import Worker
from benchmarks.results import Results

#: The stores that can be compared with 5.2.0 and with transactions by hand.
SQL = ("SQLite", "PostgreSQL")
OURS, OLD, RAW, BARE = "cinderlib", "5.2.0", "raw", "bare"
RAW_AND_BARE = "raw with bare"


@dataclasses.dataclass
class Bench:
    """A run of the benchmark.

    :ivar old: the interpreter with cinderlib 5.2.0, if it is installed.
    :ivar servers: for each available database server, the function that creates a database and
        returns its URL.
    :ivar quick: whether to do fewer runs with smaller sizes.
    """

    results: Results
    folder: pathlib.Path
    old: str | None
    servers: Mapping[str, Callable[[], str]]
    quick: bool
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def many(self, whole: int, quick: int) -> int:
        """The first number, or the second in a quick run."""
        return quick if self.quick else whole

    def new_folder(self) -> pathlib.Path:
        """Create an empty folder."""
        path = self.folder / str(next(self._numbers))
        path.mkdir()
        return path

    def stores(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """The stores by name; each value returns the configuration of a new, empty store."""
        found: dict[str, Callable[[], dict[str, Any]]] = {
            "memory": lambda: {"storage": "memory"},
            "SQLite": lambda: _database(f"sqlite:///{self.new_folder() / 'store.sqlite'}"),
        }
        for name, create in self.servers.items():
            found[name] = functools.partial(_new_database, create)
        return found

    def library(
        self,
        who: str,
        store: Mapping[str, Any],
        subject: str = "library",
        folder: pathlib.Path | None = None,
        **arguments: Any,
    ) -> Worker:
        """Start a process with one of the two libraries.

        :param folder: for locks and state; a new one by default. Processes that share a store need
            the same folder.
        """
        python = self.old if who == OLD else sys.executable
        assert python is not None
        folder = folder or self.new_folder()
        return Worker(subject, python=python, store=dict(store), folder=str(folder), **arguments)

    def raw(self, store: Mapping[str, Any], *, bare: bool = False) -> Worker:
        """Start a process that executes the SQL statements directly.

        :param bare: whether it calls a driver between transactions.
        """
        cl.Controller(dict(store), state_path=self.new_folder()).close()  # creates the tables
        return Worker("raw", url=store["connection"], documents=_documents(), bare=bare)

    def rounds(
        self, workers: Mapping[str, Worker], do: str, rounds: int, **arguments: Any
    ) -> dict[str, dict[str, list[Figure]]]:
        """Send a request to all workers in turn, for a number of rounds.

        :returns: for each step and subject, a figure in seconds for each round.
        """
        found: dict[str, dict[str, list[Figure]]] = {}
        count = arguments.get("count", 1)
        for number in range(rounds + 1):
            if "first" in arguments:
                arguments["first"] = number * count
            for who, worker in workers.items():
                for step, seconds in worker.ask(do, **arguments).items():
                    if number:  # the first round only warms up
                        figures = found.setdefault(step, {}).setdefault(who, [])
                        figures.append(Figure.of(seconds, "s"))
        return found


def in_unit(figures: list[Figure], factor: float, unit: str) -> Figure:
    """Combine the figures of all rounds, in another unit."""
    return Figure.of([figure.median * factor for figure in figures], unit)


@contextlib.contextmanager
def work_folder(where: str | None) -> Iterator[pathlib.Path]:
    """Create a folder for databases on a disk, so that commits cost as much as in production."""
    with tempfile.TemporaryDirectory(prefix="cinderlib-bench-", dir=where) as folder:
        yield pathlib.Path(folder)


def _new_database(create: Callable[[], str]) -> dict[str, Any]:
    return _database(create())


def _database(url: str) -> dict[str, Any]:
    return {"storage": "db", "connection": url}


def _documents() -> dict[str, str]:
    from cinderlib import records
    from cinderlib.locking.process_identity import this_process

    now, id = records.now(), records.new_id()
    volume = records.VolumeRecord(
        id=id, version=1, created_at=now, updated_at=now, launched_at=now, backend="null", size=1,
        host="h@null#p", name="volume-1", status="available",
    )  # fmt: skip
    connection = records.ConnectionRecord(
        id=id, version=1, created_at=now, updated_at=now, backend="null", volume_id=id,
        connector={"host": "h", "ip": "192.0.2.1", "initiator": "iqn.2016-04.com.example:bench"},
        conn_info=records.Secret({"driver_volume_type": "local", "data": {"device_path": "/x"}}),
    )  # fmt: skip
    intent = records.IntentRecord(
        id=id, version=1, created_at=now, updated_at=now, operation="volume.create",
        backend="null", resource_id=id, lock=f"volume:{id}", owner=this_process(),
    )  # fmt: skip
    return {record.kind: records.encode(record).decode() for record in (volume, connection, intent)}
