"""The output of the demo."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TextIO

Note = Callable[[str], None]

_BOLD, _DIM, _RED, _GREEN = 1, 2, 31, 32


class Steps:
    """Prints each step with a tick, its result and its duration, in 80 columns.

    In color on a terminal, unless ``NO_COLOR`` is set. Marks are ASCII if the output requires
    it.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self._terminal and not os.environ.get("NO_COLOR")
        unicode = (out.encoding or "").lower().startswith("utf")
        self._tick, self._cross, self._dots = "✓✗…" if unicode else "+x."
        self.done = 0

    @contextlib.contextmanager
    def __call__(self, title: str) -> Iterator[Note]:
        """Time the block. It receives a function for the text next to the title."""
        notes = [""]
        began = time.monotonic()
        if self._terminal:
            print(f"  {self._paint(_DIM, self._dots)} {title}", end="", file=self._out, flush=True)
        try:
            yield notes.append
        except BaseException:
            self._line(self._paint(_RED, self._cross), title, "", time.monotonic() - began)
            raise
        self.done += 1
        self._line(self._paint(_GREEN, self._tick), title, notes[-1], time.monotonic() - began)

    def head(self, text: str) -> None:
        """Print a line that stands out."""
        self.say(self._paint(_BOLD, text))

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self._out, flush=True)

    def _line(self, mark: str, title: str, note: str, seconds: float) -> None:
        start = "\r\033[K" if self._terminal else ""
        self.say(f"{start}  {mark} {title:<29}  {note:<34}{self._paint(_DIM, f'{seconds:7.2f} s')}")

    def _paint(self, code: int, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text
