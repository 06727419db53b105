"""``--wait``: verbs wait while another process or host uses the resource."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time

import pytest
from cli.command import COMMAND, Command

from cinderlib.cli.patience import Patience
from cinderlib.errors import InvalidState

TESTS = pathlib.Path(__file__).parents[1]


def begin(cinderlib: Command, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env={**os.environ, **cinderlib.environment, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_delete_waits_until_the_volume_is_disconnected(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("volume", "attach", "data")
    process = begin(cinderlib, "volume", "delete", "data", "--yes", "--wait", "60")
    assert process.stderr is not None
    assert ". Trying again for 1 min." in process.stderr.readline()
    cinderlib("volume", "detach", "data")
    assert process.wait(60) == 0
    assert process.stderr.read() == "Deleted volume data.\n"
    process.stderr.close()
    assert cinderlib.files == []


def test_the_wait_has_a_limit(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("volume", "create", "free", "1GiB")
    cinderlib("volume", "attach", "data")
    for verb in (("delete", "data", "free", "--yes"), ("wipe", "data", "--yes")):
        start = time.monotonic()
        done = cinderlib("volume", *verb, "--wait", "0.3", ends=5)
        assert time.monotonic() - start >= 0.3
        assert done.stderr.count("Trying again") == 1
    assert len(cinderlib.files) == 1
    start = time.monotonic()
    done = cinderlib("volume", "wipe", "data", "--yes", "--wait", "0", ends=5)
    assert "Trying again" not in done.stderr
    cinderlib("volume", "detach", "data")


def test_other_errors_are_reported_at_once(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "2GiB")
    done = cinderlib("volume", "extend", "data", "1GiB", "--wait", "600", ends=2)
    assert "cannot be made smaller" in done.stderr
    assert "No volume" in cinderlib("volume", "attach", "x", "--wait", "600", ends=3).stderr
    assert (
        "is not a number of seconds"
        in cinderlib("volume", "attach", "data", "--wait", "x", ends=2).stderr
    )
    assert "-1" in cinderlib("volume", "attach", "data", "--wait=-1", ends=2).stderr


def test_a_refusal_that_cannot_end_is_reported_at_once(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("snapshot", "create", "data", "monday")
    cinderlib("snapshot", "create", "data", "tuesday")
    cinderlib("volume", "extend", "data", "2GiB")
    for arguments in (
        # Its size differs from that of the snapshot.
        ("snapshot", "revert", "tuesday", "--yes"),
        # The volume has snapshots, which no host or operation removes.
        ("volume", "delete", "data", "--yes"),
    ):
        done = cinderlib(*arguments, "--wait", "600", ends=5)
        assert "Trying again" not in done.stderr


@pytest.mark.alone(reason="the driver waits for files that this process makes")
def test_a_resource_that_becomes_free_after_the_refusal_is_tried_again() -> None:
    attempts = []

    def step() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise InvalidState("The volume is in use")
        return "done"

    assert Patience(60, pytest.fail, lambda refusal: False)(step) == "done"


def test_a_refusal_of_an_unused_resource_is_tried_twice() -> None:
    attempts = []

    def step() -> None:
        attempts.append(1)
        raise InvalidState("The volume has snapshots")

    with pytest.raises(InvalidState):
        Patience(60, pytest.fail, lambda refusal: False)(step)
    assert len(attempts) == 2


def test_a_running_operation_is_waited_for(
    cinderlib: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = cinderlib.config.read_text()
    text = text.replace('"file"', '"cli.slow_driver.SlowDriver"')
    # A service waits so long for a lock in each try.
    text = text.replace("[controller]\n", "[controller]\nlock_timeout = 1\n")
    cinderlib.config.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    gate = cinderlib.folder / "gate"
    creating = begin(cinderlib, "volume", "create", "slow", "1GiB", GATE=str(gate))
    while not gate.with_suffix(".reached").exists():
        assert creating.poll() is None
        time.sleep(0.02)
    cinderlib("volume", "extend", "slow", "2GiB", "--wait", "0.2", ends=6)
    extending = begin(cinderlib, "volume", "extend", "slow", "2GiB", "--wait", "100")
    assert extending.stderr is not None
    assert "Trying again" in extending.stderr.readline()
    gate.touch()
    assert extending.communicate(timeout=60)[1] == "Volume slow is 2 GiB.\n"
    creating.communicate(timeout=60)
    assert (creating.returncode, extending.returncode) == (0, 0)
