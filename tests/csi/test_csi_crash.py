"""The plug-in is killed at each step of each call of a volume's life; the orchestrator repeats the
call, and at the end nothing remains."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import crash_worker
import points
import pytest

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices and mounts need root"),
]
WORKER = pathlib.Path(__file__).with_name("crash_worker.py")
#: Without --crash=all, one step of this many.
SAMPLE = 12


class Worker:
    def __init__(self, folder: pathlib.Path, filesystem: str) -> None:
        command = [sys.executable, WORKER, folder, filesystem]
        self._log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )

    def ask(self, call: int, at: Any = None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([call, at]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.log
        return json.loads(answer)

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()[-4000:]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._log.close()


@pytest.fixture(scope="module", params=["ext4", "xfs"])
def worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("crash"), request.param)
    yield worker
    worker.close()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("call", range(len(crash_worker.CALLS)), ids=crash_worker.CALLS)
def test_a_killed_call_is_completed_by_the_next(
    worker: Worker, call: int, request: pytest.FixtureRequest
) -> None:
    default = os.environ.get("CINDERLIB_CRASH", "sample")
    everything = request.config.getoption("--crash", default) == "all"
    names = worker.ask(call)
    if names == [] and crash_worker.CALLS[call] == "expand_node":
        pytest.skip("the kernel extends a mounted ext4 only for CAP_SYS_RESOURCE")
    assert isinstance(names, list), worker.log
    steps = list(points.deaths(names))
    assert steps
    chosen = steps if everything else steps[call % SAMPLE :: SAMPLE] or steps[:1]
    answers = [(name, worker.ask(call, (at, name))) for at, name in chosen]
    failed = [f"{name}: {answer}" for name, answer in answers if answer != "ok"]
    assert not failed, f"{len(failed)} of {len(chosen)}: {failed}\n{worker.log}"
    print(f"\n{crash_worker.CALLS[call]}: killed at {len(chosen)} of {len(steps)} steps")
