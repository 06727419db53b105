"""The standard streams of the command: closed, full or in an encoding that lacks a character, they
are an error in one line or do not matter."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_NAMES = ("stdin", "stdout", "stderr")


def prepare() -> None:
    """Replace the standard streams of this process.

    A closed number is opened first. Otherwise the next file that the process opens would get it,
    and messages would go into a database or a volume.
    """
    for number, name in enumerate(_NAMES):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, so this one. Reading or writing the results fails with it.
            os.open(os.devnull, os.O_WRONLY if number == 0 else os.O_RDONLY)
        setattr(sys, name, _stream(number, getattr(sys, name)))


def _stream(number: int, before: IO[str] | None) -> io.TextIOWrapper:
    """
    :param before: the stream that Python opened, if the number was open.
    """
    raw = _Standard(number)
    buffered = io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw)
    errors = getattr(before, "errors", None) or "strict"
    return io.TextIOWrapper(
        buffered,
        encoding=getattr(before, "encoding", None) or "utf-8",
        # A name in a table can have a character that the terminal's encoding lacks.
        errors="backslashreplace" if number and errors == "strict" else errors,
        line_buffering=number == 2 or os.isatty(number),
    )


class _Standard(io.FileIO):
    """A standard stream whose errors a person can read. A lost message is not an error, because the
    operation that it is about was done."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "rb" if number == 0 else "wb", closefd=False)
        self._failed = False

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise click.ClickException(
                f"Standard input cannot be read: {error.strerror}"
            ) from error

    def write(self, data: ReadableBuffer, /) -> int:
        length = memoryview(data).nbytes
        if self._failed:
            return length  # it was reported, and Python tries again when it ends
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if self.fileno() == 2:
                return length
            if isinstance(error, BrokenPipeError):
                raise  # the reader has seen enough
            raise click.ClickException(
                f"Standard output cannot be written: {error.strerror}"
            ) from error
