"""What all parts of a run have: folders, databases, those who are compared, how much is asked."""

from __future__ import annotations

import contextlib
import dataclasses
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

OURS, OLD, RAW, BARE = "cinderlib", "5.2.0", "raw", "bare"
RAW_AND_BARE = "raw with bare"


@dataclasses.dataclass
class Bench:
    """A run.

    :ivar old: the interpreter that has cinderlib 5.2.0, if there is one.
    :ivar postgresql: gives the URL of a new database, if there is a server.
    :ivar quick: whether fewer runs and smaller sizes will do.
    """

    results: Results
    folder: pathlib.Path
    old: str | None
    postgresql: Callable[[], str] | None
    quick: bool
    _numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def many(self, whole: int, quick: int) -> int:
        """How many, of one or the other kind of run."""
        return quick if self.quick else whole

    def new_folder(self) -> pathlib.Path:
        """An empty folder."""
        path = self.folder / str(next(self._numbers))
        path.mkdir()
        return path

    def stores(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """The stores by name, each with what makes a configuration of an empty one."""
        found: dict[str, Callable[[], dict[str, Any]]] = {
            "memory": lambda: {"storage": "memory"},
            "SQLite": lambda: _database(f"sqlite:///{self.new_folder() / 'store.sqlite'}"),
        }
        make = self.postgresql
        if make is not None:
            found["PostgreSQL"] = lambda: _database(make())
        return found

    def library(
        self,
        who: str,
        store: Mapping[str, Any],
        subject: str = "library",
        folder: pathlib.Path | None = None,
        **arguments: Any,
    ) -> Worker:
        """A process with one of the two libraries.

        :param folder: for locks and state; one of its own unless several share the store.
        """
        python = self.old if who == OLD else sys.executable
        assert python is not None
        folder = folder or self.new_folder()
        return Worker(subject, python=python, store=dict(store), folder=str(folder), **arguments)

    def raw(self, store: Mapping[str, Any], *, bare: bool = False) -> Worker:
        """A process that works on the tables by hand.

        :param bare: whether it calls a driver in between.
        """
        cl.Controller(dict(store), state_path=self.new_folder()).close()  # makes the tables
        return Worker("raw", url=store["connection"], documents=_documents(), bare=bare)

    def rounds(
        self, workers: Mapping[str, Worker], do: str, rounds: int, **arguments: Any
    ) -> dict[str, dict[str, list[Figure]]]:
        """Ask everyone in turn, again and again.

        :returns: by step and by who it is, a figure in seconds for each round.
        """
        found: dict[str, dict[str, list[Figure]]] = {}
        count = arguments.get("count", 1)
        for number in range(rounds + 1):
            if "first" in arguments:
                arguments["first"] = number * count
            for who, worker in workers.items():
                for step, seconds in worker.ask(do, **arguments).items():
                    if number:  # the first round warms up
                        figures = found.setdefault(step, {}).setdefault(who, [])
                        figures.append(Figure.of(seconds, "s"))
        return found


def in_unit(figures: list[Figure], factor: float, unit: str) -> Figure:
    """The figure of all rounds in another unit."""
    return Figure.of([figure.median * factor for figure in figures], unit)


@contextlib.contextmanager
def work_folder(where: str | None) -> Iterator[pathlib.Path]:
    """A folder for databases: on a disk, so that a commit is as durable as it is in use."""
    with tempfile.TemporaryDirectory(prefix="cinderlib-bench-", dir=where) as folder:
        yield pathlib.Path(folder)


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
