"""Processes that are measured: workers that answer, and programs that run once."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Worker:
    """A process that answers requests.

    :param python: the interpreter of its environment.
    :param subject: a module of :mod:`subjects`.
    :param configuration: what its ``Subject`` is made of.
    """

    def __init__(
        self,
        subject: str,
        *,
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
        **configuration: Any,
    ) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", subject, json.dumps(configuration)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(environment or {}),
            text=True,
        )

    def tell(self, do: str, **arguments: Any) -> None:
        """Ask for something whose answer is fetched later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """The answer to what it was told.

        :raises RuntimeError: it has ended; what it said is on standard error.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A process that is measured ended: {self._process.wait()}")
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask, and wait for the answer."""
        self.tell(do, **arguments)
        return self.answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def once(python: str, program: str, **environment: str) -> tuple[float, dict[str, float]]:
    """Run a program in a fresh process.

    :returns: seconds from exec to exit, and what it wrote as JSON in its last line.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [python, "-c", program],
        check=True,
        stdout=subprocess.PIPE,
        env=_environment(environment),
        text=True,
    )
    seconds = time.perf_counter() - start
    lines = done.stdout.strip().splitlines()
    return seconds, json.loads(lines[-1]) if lines else {}


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """For either library's interpreter: it finds this package, and says nothing of deprecations."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **more}
