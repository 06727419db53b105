"""A real terminal for interactive tests."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="needs tmux: apt-get install tmux"
)


class Terminal:
    """A terminal in tmux."""

    def __init__(
        self, folder: pathlib.Path, environment: dict[str, str], columns: int = 150
    ) -> None:
        self._socket = str(folder / "tmux")
        self._name = "cinderlib"
        # Programs use a number in COLUMNS instead of the width of the terminal.
        settings = [f"-e{name}={value}" for name, value in {**environment, "COLUMNS": ""}.items()]
        self._tmux(
            "new-session", "-d", "-x", str(columns), "-y", "50", "-s", self._name, *settings,
            "-c", str(folder), "sh",
        )  # fmt: skip

    def _tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def type(self, text: str) -> None:
        self._tmux("send-keys", "-t", self._name, "-l", text)
        self._tmux("send-keys", "-t", self._name, "Enter")

    def press(self, key: str) -> None:
        self._tmux("send-keys", "-t", self._name, key)

    def until(self, seen: Callable[[str], object]) -> str:
        """Wait until the screen contains the expected text. Returns the screen with colours."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            screen = self._tmux("capture-pane", "-p", "-e", "-t", self._name)
            if seen(screen):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"never seen; the screen has:\n{screen}")

    def close(self) -> None:
        self._tmux("kill-server")


@contextlib.contextmanager
def open_terminal(
    folder: pathlib.Path, environment: dict[str, str], columns: int = 150
) -> Iterator[Terminal]:
    terminal = Terminal(folder, environment, columns)
    try:
        yield terminal
    finally:
        terminal.close()
