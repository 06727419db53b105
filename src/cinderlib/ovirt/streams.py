"""Reserves standard output for answers, even if a driver or a child process writes to it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

from cinderlib.locking import state_folder

#: A log larger than this number of bytes is renamed to ``<name>.1``.
LONGEST_LOG = 8 * 1024**2

_STDOUT, _STDERR = 1, 2


@contextlib.contextmanager
def answers_only(log: Path | None) -> Iterator[TextIO]:
    """Reserve standard output for the answer, and redirect all other output.

    It redirects the file descriptors, so that this includes C libraries and child processes.

    :param log: file for all other output, including standard error; ``None`` for standard error.
    :returns: the file for the answers.
    """
    target = os.dup(_STDERR) if log is None else _opened(log)
    with contextlib.ExitStack() as undo:
        answers = undo.enter_context(os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8"))
        for number in (_STDOUT, _STDERR):
            undo.callback(_put_back, os.dup(number), number)
            os.dup2(target, number)
        # Redirect Python's buffered output too: it may be written after the descriptors are reset.
        other = undo.enter_context(os.fdopen(target, "w", buffering=1, encoding="utf-8"))
        undo.enter_context(contextlib.redirect_stdout(other))
        undo.enter_context(contextlib.redirect_stderr(other))
        yield answers


def leave(code: int) -> NoReturn:
    """End this process and discard all further output.

    :param code: the exit code.
    """
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (_STDOUT, _STDERR):
        os.dup2(nowhere, number)
    sys.exit(code)


def _put_back(kept: int, number: int) -> None:
    os.dup2(kept, number)
    os.close(kept)


def _opened(log: Path) -> int:
    state_folder.make(log.parent)
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LONGEST_LOG:
            log.replace(log.with_name(f"{log.name}.1"))
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def log_to_stderr(mark: str) -> None:
    """Write log messages to standard error.

    :param mark: text in each line, to distinguish runs.
    """
    # It is input from another program: it must not contain formats.
    mark = mark.replace("%", "%%")
    form = f"%(asctime)s {mark} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
