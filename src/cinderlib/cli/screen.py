"""A display that fills the terminal and updates itself."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cinderlib import errors
from cinderlib.cli import exits

#: Seconds between two queries of the storage.
_STORAGE = 60.0
#: Keys that end the display.
_QUIT = b"qQ\x03\x04"


def show(write: Callable[[], None], query: Callable[[], None], interval: float) -> None:
    """Update the display until the user ends it.

    :param write: writes the content to standard output.
    :param query: queries the storage. It runs in a thread, because storage can be slow.
    :param interval: seconds between two updates.
    """
    over = threading.Event()
    threading.Thread(target=_query_again, args=(query, over), daemon=True).start()
    console = Console(file=sys.stdout, highlight=False)
    try:
        with (
            _keys() as wait,
            Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False,
                 redirect_stderr=False) as live,
        ):  # fmt: skip
            while True:
                live.update(_fitting(_written(write), console), refresh=True)
                if wait(interval):
                    return
    except KeyboardInterrupt:
        return
    finally:
        over.set()


def _query_again(query: Callable[[], None], over: threading.Event) -> None:
    while not over.is_set():
        with contextlib.suppress(errors.CinderlibError):
            query()
        over.wait(_STORAGE)


class _Terminal(io.StringIO):
    """Collects the output for a terminal."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


def _written(write: Callable[[], None]) -> str:
    """The output of a function; an error instead, because the store can be back at the next
    update."""
    collected = _Terminal(sys.stdout.encoding)
    with contextlib.redirect_stdout(collected):
        print(f"cinderlib top  {time.strftime('%H:%M:%S')}  q: quit\n")
        try:
            write()
        except errors.CinderlibError as error:
            print(f"Error: {exits.one_line(error)}")
    return collected.getvalue()


def _fitting(text: str, console: Console) -> Text:
    """A text that is not longer than the screen."""
    lines = text.splitlines()
    if len(lines) > console.height:
        hidden = len(lines) - console.height + 1
        lines = [*lines[: console.height - 1], f"{hidden} more lines"]
    shown = Text.from_ansi("\n".join(lines))
    shown.no_wrap = True
    return shown


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Read keys without waiting for the end of a line.

    :returns: a function that waits for a time in seconds, and returns whether the user ended the
        display meanwhile.
    """
    if not sys.stdin.isatty():
        yield _sleep
        return
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)

    def wait(seconds: float) -> bool:
        ready, _, _ = select.select([source], [], [], seconds)
        return bool(ready) and any(key in _QUIT for key in os.read(source, 64) or b"q")

    tty.setcbreak(source)
    try:
        yield wait
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
