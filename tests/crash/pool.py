"""Workers that run cases, one for each core."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import servers

WORKER = pathlib.Path(__file__).with_name("worker.py")


class Pool:
    """The worker processes.

    :param databases: of each server the function that creates a database and returns its URL. A
        case for the store ``'postgresql'`` uses its worker's database, one for ``'new postgresql'``
        its own.
    :ivar most: how many points of one test are tried at most; ``None``: all.
    """

    most: int | None = None

    def __init__(self, databases: Mapping[str, Callable[[], str]], workers: int) -> None:
        self._workers: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker(databases) for _ in range(workers)]
        for worker in self._all:
            self._workers.put(worker)
        self._threads = concurrent.futures.ThreadPoolExecutor(len(self._all))

    def play(self, requests: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Run requests. Yields the answers in the same order."""
        return self._threads.map(self._one, requests)

    def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        worker = self._workers.get()
        try:
            return worker.ask(request)
        finally:
            self._workers.put(worker)

    def close(self) -> None:
        self._threads.shutdown()
        for worker in self._all:
            worker.close()


class _Worker:
    def __init__(self, databases: Mapping[str, Callable[[], str]]) -> None:
        self._stores: dict[str, Callable[[], str]] = {"documents": lambda: "documents"}
        for name, create in databases.items():
            # A bound method belongs to all workers; each has its own database.
            self._stores[name] = functools.cache(functools.partial(create))
            self._stores[f"new {name}"] = create
        # Cases sync many small files, and do not test the disk.
        self._folder = tempfile.mkdtemp(prefix="cl-crash-", dir=servers.memory(1 << 30))
        self._log = open(f"{self._folder}/log", "w+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd="/",
            # A case forks this process two to four times; the kernel copies large pages faster.
            env=os.environ | {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
        )
        self._ready = False

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if not self._ready:
            self._line()
            self._ready = True
        store = self._stores.get(request["store"], lambda: None)()
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request | {"store": store}) + "\n")
            self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"the worker ended:\n{self._log.read().decode()[-3000:]}")
        return line

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)
        self._log.close()
        shutil.rmtree(self._folder)
