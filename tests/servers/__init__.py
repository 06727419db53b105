"""Real servers for the tests. Each starts when a test first needs it, and stops with the tests."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

PR_SET_PDEATHSIG = 1


def find(name: str, package: str, *, pattern: str | None = None, probe: bool = True) -> str:
    """Find a command that works, or skip the test with a hint to install it.

    :param pattern: the distribution's path of the command, as a glob below ``/``.
    :param probe: whether to run it with ``--version``, as any file can be in the PATH.
    """
    candidates = sorted(map(str, pathlib.Path("/").glob(pattern)), reverse=True) if pattern else []
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    for folder in path.split(os.pathsep):
        if found := shutil.which(name, path=folder):
            candidates.append(found)
    for candidate in candidates:
        if not probe:
            return candidate
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([candidate, "--version"], check=True, capture_output=True, timeout=20)
            return candidate
    pytest.skip(f"no {name} here: apt-get install {package}")


def memory(space: int = 8 << 30) -> str | None:
    """A folder in memory, which syncs files at once; ``None`` if there is none with enough space.

    :param space: in bytes.
    """
    folder = "/dev/shm"
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    has_space = found.f_bavail * found.f_frsize >= space
    return folder if has_space and os.access(folder, os.W_OK) else None


@contextlib.contextmanager
def folder(user: str | None, *, in_memory: bool = False) -> Iterator[pathlib.Path]:
    """A private folder with a short path, as required for sockets.

    :param in_memory: whether it can be in memory.
    """
    base = memory() if in_memory else None
    path = pathlib.Path(tempfile.mkdtemp(prefix="cl-", dir=base or "/tmp"))
    try:
        if user:
            os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def unprivileged() -> str | None:
    """The user for a server, because database servers refuse to run as root.

    The packages' own users may not exist: ``mariadb-server-core`` does not create any.
    """
    return "nobody" if os.geteuid() == 0 else None


def _dies_with_us() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A server that can be stopped, killed and restarted with the same data."""

    def __init__(
        self,
        command: list[str],
        user: str | None,
        log: pathlib.Path,
        ready: Callable[[], bool],
        stop_signal: int,
    ) -> None:
        self._command, self._user, self._log = command, user, log
        self._ready, self._stop_signal = ready, stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 40, *, wait: bool = True) -> None:
        """:param wait: whether to wait until it is ready."""
        with self._log.open("ab") as log:
            # preexec_fn runs after the change of user, which would reset the setting.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                group=pwd.getpwnam(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                preexec_fn=_dies_with_us,
            )
        if wait:
            self.wait_until_ready(timeout)

    def wait_until_ready(self, timeout: float) -> None:
        """Wait until it answers; fail the test if it does not in time."""
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"{self._command[0]} did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it during the block."""
        try:
            self.start()
            yield
        finally:
            self.stop()
