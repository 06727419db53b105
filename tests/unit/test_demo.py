"""``make demo`` works for root and other users, and cleans up when it is interrupted."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from cinderlib.demo import filesystem
from cinderlib.node import loop

DEMO = [sys.executable, "-m", "cinderlib.demo"]
# Another user, who may read all files, because the tests' environment may be in a private folder.
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
AS_NOBODY += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root, for loop devices")


@pytest.fixture
def environment(open_folder: pathlib.Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(open_folder), "PYTHONIOENCODING": "utf-8"}


def _left(environment: dict[str, str]) -> list[str]:
    folder = environment["TMPDIR"]
    mounts = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    loops = [p.read_text() for p in pathlib.Path("/sys/block").glob("loop*/loop/backing_file")]
    return [*os.listdir(folder), *(line for line in [*mounts, *loops] if folder in line)]


def _run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the first data") == 2
    assert "no loop device, file or row" in done.stdout
    assert "\033" not in done.stdout  # colours only on terminals
    steps = [line for line in done.stdout.splitlines() if "✓" in line]
    assert steps
    assert max(map(len, steps)) <= 80
    return done.stdout


@pytest.mark.root
@as_root
def test_as_root_with_a_block_device(environment: dict[str, str]) -> None:
    assert "block device /dev/loop" in _run(DEMO, environment)
    assert _left(environment) == []


@pytest.mark.slow
def test_without_root_on_the_plain_file(environment: dict[str, str]) -> None:
    command = DEMO if os.geteuid() else [*AS_NOBODY, *DEMO]
    printed = _run(command, environment)
    assert "Without root, the demo uses a plain file" in printed
    assert "plain file" in printed
    assert _left(environment) == []


@pytest.fixture
def device(open_folder: pathlib.Path) -> Iterator[str]:
    """A loop device with an empty filesystem."""
    file = open_folder / "file"
    with file.open("wb") as made:
        made.truncate(64 << 20)
    path = loop.create(str(file), read_only=False)
    filesystem.make(path)
    yield path
    loop.remove(path, loop.Source.of(str(file)))


@pytest.mark.root
@as_root
def test_a_filesystem_is_resized_once_its_device_is_free(
    device: str, open_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = open_folder / "elsewhere"
    elsewhere.mkdir()
    with filesystem.opened(device) as mounted:
        subprocess.run(["mount", device, elsewhere], check=True)
        (open_folder / "file").open("ab").truncate(128 << 20)
        loop.refresh(device)
        run, last = filesystem.run, ""

        def cannot_grow_while_mounted(*command: str) -> str:
            nonlocal last
            if command[0] == "resize2fs" and last != "e2fsck":
                raise filesystem.CommandError("not permitted")
            last = command[0]
            return run(*command)

        monkeypatch.setattr(filesystem, "run", cannot_grow_while_mounted)
        release = threading.Timer(0.5, subprocess.run, [["umount", elsewhere]])
        release.start()
        assert mounted.grow() == "unmounted"
        release.join()
        assert mounted.size() > 100 << 20


@pytest.mark.root
@as_root
def test_the_reason_that_a_filesystem_cannot_be_checked(device: str) -> None:
    with filesystem.opened(device), pytest.raises(filesystem.CommandError) as caught:
        filesystem.run("e2fsck", "-f", "-p", device)
    assert "is mounted" in str(caught.value)


@pytest.mark.root
@as_root
@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param(signal.SIGINT, 130, id="Ctrl-C", marks=pytest.mark.core),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    ],
)
@pytest.mark.slow
def test_an_interrupted_demo_cleans_up(
    environment: dict[str, str], number: signal.Signals, status: int
) -> None:
    demo = subprocess.Popen(
        DEMO,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # Background processes of a shell ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Overwrite" in line:  # attached, mounted and with a snapshot
            demo.send_signal(number)
            break
    printed = demo.stdout.read()
    assert demo.wait() == status, printed
    assert "the demo removed everything that it created" in printed
    assert _left(environment) == []
