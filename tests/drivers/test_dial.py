"""Drivers of the installed Cinder call their array, with options as a person would give them.

Each is loaded in a process and a network namespace of its own, where nothing answers. How far each
class got, and why not further, is in ``recorded.json``; ``make drivers ARGS=--document`` writes it.
A class that does not get as far any more fails. Skipped are classes whose Python package is not
installed, and those that are not recorded yet.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cinderlib.drivers import names

HERE = pathlib.Path(__file__).parent
#: Class -> how far it got, and what it called or why it got no further.
RECORDED: dict[str, list[str]] = json.loads((HERE / "recorded.json").read_text())
PATHS = [path for path in names.classes() if path.startswith("cinder.")]
#: From the worst to the best.
OUTCOMES = ("breaks", "refuses its options", "fails", "loads")
_CALLS = ("reaches its array", "runs its command")
#: Makes the process see no network but its own loopback interface.
_ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "dial")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not shutil.which("ip"), reason="no ip here: apt-get install iproute2"),
]


@pytest.mark.parametrize("path", PATHS)
def test_driver_calls_its_array(
    path: str, tmp_path: pathlib.Path, record_property: Callable[[str, Any], None]
) -> None:
    done = subprocess.run(
        [*_ALONE, sys.executable, "-W", "ignore", str(HERE / "dial.py"), path, str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout, done.stderr[-2000:]
    outcome, detail = json.loads(done.stdout.splitlines()[-1]).values()
    record_property("dial", [path, outcome, detail])
    if outcome == "does not load":
        pytest.skip(detail)
    if path not in RECORDED:
        pytest.skip(f"not recorded yet, it {outcome}: {detail}")
    before, _ = RECORDED[path]
    assert _distance(outcome) >= _distance(before), f"{outcome}: {detail}"


def _distance(outcome: str) -> int:
    return len(OUTCOMES) if outcome in _CALLS else OUTCOMES.index(outcome)


def test_recorded_drivers_exist() -> None:
    assert set(RECORDED) <= set(PATHS)
