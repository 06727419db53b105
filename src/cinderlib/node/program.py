"""Run another program with a time limit."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence


class _Process(subprocess.Popen[str]):
    """Waits until the kernel reports the end of the process. With a time limit, ``subprocess``
    instead asks repeatedly, and sleeps up to 50 ms in between."""

    def wait(self, timeout: float | None = None) -> int:
        if timeout is not None and self.returncode is None:
            try:
                handle = os.pidfd_open(self.pid)
            except OSError:
                # Linux before 5.3, or another thread has waited for it.
                return super().wait(timeout)
            try:
                until = time.monotonic() + timeout
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll(max(timeout, 0) * 1000)
                timeout = max(until - time.monotonic(), 0)
            finally:
                os.close(handle)
        return super().wait(timeout)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    text_input: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and wait for its end.

    :param timeout: in seconds; then it is killed.
    :param environment: by default that of this process.
    :param text_input: for the standard input, which is empty by default.
    :returns: its exit status and output; bytes that are not text are replaced.
    :raises FileNotFoundError: it is not installed.
    :raises subprocess.TimeoutExpired: it was killed.
    """
    # No code runs in the child before the program, so Python can use a fast way to start it.
    with _Process(
        argv,
        stdin=subprocess.DEVNULL if text_input is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        errors="replace",
        close_fds=True,
    ) as process:
        try:
            output, messages = process.communicate(text_input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output, messages)
