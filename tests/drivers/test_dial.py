"""Every driver of the installed Cinder calls its array, with options as a person would give them.

A separate process without a network loads each class. The outcomes are recorded in
``recorded.json``. A class that does not get as far anymore fails.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import table

from cinderlib.drivers import names

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
#: Where `make drivers` installs the Python packages of vendors.
PACKAGES = pathlib.Path(
    sysconfig.get_path("purelib", vars={"base": str(ROOT / ".cache" / "vendor-packages")})
)
PATHS = [path for path in names.classes() if path.startswith("cinder.")]
#: One of each way to call an array: REST, SSH, a library in C, a command.
CORE = ("PureISCSIDriver", "StorwizeSVCFCDriver", "RBDDriver", "LVMVolumeDriver")
#: Sees no network but its own loopback interface. What a driver leaves running ends with it.
_ALONE = (
    *("unshare", "--net", "--pid", "--fork", "--kill-child"),
    *("sh", "-c", 'ip link set lo up && exec "$@"', "dial"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not shutil.which("ip"), reason="no ip here: apt-get install iproute2"),
]


class Dialer:
    """The process that loads drivers: ``dial.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*_ALONE, sys.executable, "-W", "ignore", str(HERE / "dial.py"), str(PACKAGES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def dial(self, path: str, folder: pathlib.Path) -> tuple[str, str, dict[str, str]]:
        """The outcome of a driver, the called address or command or the reason, and the way of each
        operation.

        :param folder: an empty one.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([path, str(folder)]) + "\n")
        self._process.stdin.flush()
        outcome, detail, ways = json.loads(self._process.stdout.readline())
        return outcome, detail, ways

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def dialer() -> Iterator[Dialer]:
    dialer = Dialer()
    yield dialer
    dialer.close()


def _marked(path: str) -> Any:
    return pytest.param(path, marks=[pytest.mark.core] if path.endswith(CORE) else [])


@pytest.mark.parametrize("path", map(_marked, PATHS))
def test_driver_calls_its_array(
    path: str,
    dialer: Dialer,
    tmp_path: pathlib.Path,
    record_property: Callable[[str, Any], None],
    pytestconfig: pytest.Config,
) -> None:
    outcome, detail, ways = dialer.dial(path, tmp_path)
    record_property("dial", [path, outcome, detail, ways])
    if pytestconfig.getoption("document", False):
        return
    recorded, _ = table.recorded().get(path, ("not recorded: make drivers ARGS=--document", ""))
    if outcome == "does not load" != recorded and not _has_packages(detail):
        pytest.skip(detail)
    if ways:
        assert table.operations(path, ways) in table.DOCUMENT.read_text()
    output = (tmp_path / "output").read_text()
    assert table.rank(outcome) >= table.rank(recorded), f"{outcome}: {detail}\n{output[-2000:]}"


def _has_packages(detail: str) -> bool:
    """Whether `make drivers` installed the package. Ceph's come from the distribution."""
    return PACKAGES.exists() and "python3-r" not in detail


def test_exactly_the_classes_of_cinder_are_recorded(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("document", False):
        assert sorted(table.recorded()) == PATHS


def test_each_driver_that_does_not_call_its_array_has_a_reason() -> None:
    outcomes = {path: outcome for path, (outcome, _) in table.recorded().items()}
    assert set(table.REASONS) == {path for path, got in outcomes.items() if not table.calls(got)}
