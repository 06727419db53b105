"""Measured processes: workers that answer requests, and programs that run once."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Worker:
    """A process that answers requests.

    :param python: the interpreter of the library's environment.
    :param subject: a module of :mod:`subjects`.
    :param configuration: the arguments for its ``Subject``.
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

    def send(self, do: str, **arguments: Any) -> None:
        """Send a request without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to a request that was sent.

        :raises RuntimeError: if the process ended; its standard error shows why.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"A measured process ended with exit code {self._process.wait()}")
        return json.loads(line)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send a request and wait for the answer."""
        self.send(do, **arguments)
        return self.answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def once(python: str, program: str, **environment: str) -> tuple[float, dict[str, float]]:
    """Run a program in a new process.

    :returns: seconds from exec to exit, and the JSON in the last line of the output.
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
    return seconds, json.loads(done.stdout.strip().splitlines()[-1])


def alone(python: str, program: str, **environment: str) -> float:
    """Run a program in a new process, without its output.

    :returns: seconds from exec to exit.
    """
    start = time.perf_counter()
    command = [python, "-c", program]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=_environment(environment))
    return time.perf_counter() - start


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment for either library's interpreter: with this package and without warnings."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **more}
