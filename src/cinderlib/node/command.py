"""Runs other programs, as root if necessary."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
from collections.abc import Sequence

from cinderlib.errors import MissingDependency, NodeError
from cinderlib.node import program

LOG = logging.getLogger(__name__)


def as_root(argv: Sequence[str], root_helper: str | None) -> list[str]:
    """The command line that runs a command as root.

    :param root_helper: not used if this process is root. ``sudo`` must not ask for a password,
        because nobody can enter it.
    """
    if not root_helper or os.geteuid() == 0:
        return list(argv)
    helper = shlex.split(root_helper)
    return [*(["sudo", "-n"] if helper == ["sudo"] else helper), *argv]


class ProgramFailed(NodeError):
    """A program ended with another exit status than 0.

    :ivar status: the exit status.
    :ivar reason: the last part of the messages.
    """

    def __init__(self, name: str, status: int, reason: str) -> None:
        super().__init__(f"{name} failed with status {status}: {reason}")
        self.status = status
        self.reason = reason


def run(
    argv: Sequence[str],
    *,
    root_helper: str | None = None,
    timeout: float = 60,
    secret_input: str | None = None,
) -> str:
    """Run a program and return its output.

    :param root_helper: the command that runs it as root; not used if this process is root.
    :param timeout: in seconds.
    :param secret_input: text for the standard input; no message contains it.
    :raises MissingDependency: the program is not installed.
    :raises ProgramFailed: it failed. The message does not contain the arguments, because they can
        be keys.
    :raises NodeError: it did not finish in time.
    """
    command = as_root(argv, root_helper)
    LOG.debug("Running %s", argv[0])
    try:
        done = program.run(command, timeout=timeout, text_input=secret_input)
    except FileNotFoundError as exc:
        raise MissingDependency(f"The command {exc.filename!r} is not installed.") from exc
    except subprocess.TimeoutExpired as exc:
        raise NodeError(f"{argv[0]} did not end within {timeout:g} seconds.") from exc
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip()[-500:]
        raise ProgramFailed(argv[0], done.returncode, reason)
    return done.stdout
