"""Progress of long operations."""

from __future__ import annotations

import os
import pathlib
import pty
import re
import shlex
import subprocess
import time

import pytest
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

from cinderlib.cli.app import App
from cinderlib.cli.sizes import of_bytes
from cinderlib.cli.waiting import DELAY
from cinderlib.persistence import generate_key
from cinderlib.progress import Progress

pytestmark = pytest.mark.alone(reason="the driver waits for files that this process makes")

TESTS = pathlib.Path(__file__).parents[1]


@pytest.fixture
def slow(cinderlib: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    text = cinderlib.config.read_text()
    cinderlib.config.write_text(text.replace('"file"', '"cli.slow_driver.SlowDriver"'))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    cinderlib("volume", "create", "data", "1GiB")
    return cinderlib


@needs_tmux
def test_progress_on_a_terminal(slow: Command) -> None:
    gate = slow.folder / "gate"
    command = shlex.join(COMMAND)
    environment = {**slow.environment, "PYTHONPATH": str(TESTS), "GATE": str(gate)}
    with open_terminal(slow.folder, environment) as terminal:
        terminal.type(f"clear; {command} volume clone data copy; echo ended with $?")
        screen = terminal.until(lambda s: "Cloning data" in s and "left" in s)
        assert re.search(r"2\d %, 1(\.\d)? GiB of 4 GiB, [\d.]+ MiB/s, 0:\d\d:\d\d left", screen)
        gate.touch()
        screen = terminal.until(lambda s: "ended with 0" in s)
        assert "Cloning" not in screen
        assert "Created volume copy" in screen

        gate.unlink()
        terminal.type(f"clear; {command} volume create other 1GiB; echo ended with $?")
        screen = terminal.until(lambda s: "Creating other" in s and "0:00:0" in s)
        assert "%" not in screen
        gate.touch()
        assert "Creating" not in terminal.until(lambda s: "ended with 0" in s)


@pytest.mark.slow
def test_no_progress_for_pipes_and_quiet_or_json_output(slow: Command) -> None:
    """Neither a pipe, nor ``-q`` or ``--json`` on a terminal."""
    ours, terminal = pty.openpty()
    running = []
    for number, (options, stderr) in enumerate(
        [([], subprocess.PIPE), (["-q"], terminal), (["--json"], terminal)]
    ):
        gate = slow.folder / f"gate{number}"
        slow("volume", "create", f"data{number}", "1GiB")
        process = subprocess.Popen(
            [*COMMAND, "volume", "clone", f"data{number}", f"copy{number}", *options],
            env={**os.environ, **slow.environment, "GATE": str(gate)},
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        running.append((process, gate))
    os.close(terminal)
    for process, gate in running:
        while not gate.with_suffix(".reached").exists():
            assert process.poll() is None
            time.sleep(0.02)
    # Progress would be visible by now.
    time.sleep(1.5 * DELAY)
    for _, gate in running:
        gate.touch()
    outputs = [process.communicate(timeout=60)[1] for process, _ in running]
    assert outputs[0].decode().splitlines() == ["Created volume copy0, 1 GiB, on files."]
    os.set_blocking(ours, False)
    with pytest.raises((BlockingIOError, OSError)):
        os.read(ours, 1)
    os.close(ours)


def test_progress_of_records(cinderlib: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    key = generate_key()
    store = f'[store]\nencryption_keys = "{key}"\n'
    cinderlib.write(store + cinderlib.config.read_text())
    for name in ("one", "two", "three"):
        cinderlib("volume", "create", name, "1GiB")
    reports: list[Progress] = []
    monkeypatch.setattr(App, "show_progress", lambda app, progress: reports.append(progress))
    dump, copy = str(cinderlib.folder / "dump"), f"sqlite:///{cinderlib.folder}/copy.sqlite"
    # Only a migration copies the history, of three creations.
    for arguments, last, total in [
        (("store", "dump", dump), 2, 3),
        (("store", "load", dump), 2, 3),
        (("store", "migrate", copy, "--yes"), 6, 6),
        (("store", "rotate"), 3, 3),
    ]:
        reports.clear()
        cinderlib(*arguments)
        assert reports[-1] == Progress(last, total, "records"), arguments


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (3 * 2**30, "3 GiB"),
        (2**52, "4096 TiB"),
    ],
)
def test_numbers_of_bytes_are_shown(count: int, shown: str) -> None:
    assert of_bytes(count) == shown
