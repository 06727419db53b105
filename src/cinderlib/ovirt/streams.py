"""Standard output for answers only, whatever a driver or a program that it runs prints."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

from cinderlib.locking import state_folder

#: A log that has grown beyond this many bytes is put aside as ``<name>.1``.
LONGEST_LOG = 8 * 1024**2

_STDOUT, _STDERR = 1, 2


@contextlib.contextmanager
def answers_only(log: Path | None) -> Iterator[TextIO]:
    """Take standard output away from everything but the answer.

    It is done to the file descriptors, so that it holds for C libraries and child processes too.

    :param log: where everything else goes, standard error as well; ``None`` for standard error.
    :returns: what answers are written to.
    """
    target = os.dup(_STDERR) if log is None else _opened(log)
    with contextlib.ExitStack() as undo:
        answers = undo.enter_context(os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8"))
        for number in (_STDOUT, _STDERR):
            undo.callback(_put_back, os.dup(number), number)
            os.dup2(target, number)
        # What Python buffers goes there too, and not where the descriptors lead in the end.
        other = undo.enter_context(os.fdopen(target, "w", buffering=1, encoding="utf-8"))
        undo.enter_context(contextlib.redirect_stdout(other))
        undo.enter_context(contextlib.redirect_stderr(other))
        yield answers


def leave(code: int) -> NoReturn:
    """End this process; what is printed on its way out is dropped.

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


def log_to_stderr(marked: str) -> None:
    """Let what is logged go to standard error.

    :param marked: what stands in each line, to tell one run from another.
    """
    # As a value, never as a format: it comes from outside.
    marked = marked.replace("%", "%%")
    form = f"%(asctime)s {marked} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
