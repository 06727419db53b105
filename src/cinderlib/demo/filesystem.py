"""An ext4 filesystem on a volume: mounted from a block device, or worked on in a plain file.

The second needs no rights: the tools of e2fsprogs read and write a filesystem that is not mounted.
"""

from __future__ import annotations

import abc
import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator

from cinderlib.node import block

CHUNK = 1024**2
#: Seconds.
_FREE_TIMEOUT = 10.0


class CommandError(Exception):
    """A command that the demonstration needs is missing or failed."""


def run(*command: str) -> str:
    """What a command prints.

    :raises CommandError: it is not installed, or it failed.
    """
    # A user's PATH often lacks the folders of the administrator's commands.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    program = shutil.which(command[0], path=path)
    if program is None:
        raise CommandError(
            f"The command {command[0]} is not installed; it is in e2fsprogs or util-linux"
        )
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True)
    if done.returncode:
        # Some of e2fsprogs give their reason on standard output.
        reason = "; ".join(filter(None, (done.stderr.strip(), done.stdout.strip())))
        raise CommandError(f"{' '.join(command)} failed with status {done.returncode}: {reason}")
    return done.stdout


def write_random(path: pathlib.Path, size: int) -> str:
    """Write that many random bytes, durably. Gives their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(size // CHUNK):
            data = os.urandom(CHUNK)
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def checksum(path: pathlib.Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Filesystem(abc.ABC):
    """What the demonstration does with a filesystem.

    :ivar how: how it is used, for people.
    """

    how: str

    @abc.abstractmethod
    def write(self, name: str, size: int) -> str:
        """Write a file of random data, durably. Gives its SHA-256."""

    @abc.abstractmethod
    def checksum(self, name: str) -> str:
        """The SHA-256 of a file on the volume."""

    @abc.abstractmethod
    def frozen(self) -> contextlib.AbstractContextManager[None]:
        """Hold all writes, with everything written that was begun."""

    @abc.abstractmethod
    def grow(self) -> str:
        """Take all of a volume that has become larger. Gives how that was done, for people."""

    @abc.abstractmethod
    def size(self) -> int:
        """In bytes."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the volume."""


class Mounted(Filesystem):
    """A mounted one; needs root and a block device."""

    how = "ext4, mounted"

    def __init__(self, device: str) -> None:
        self._device = device
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="cinderlib-demo-mount-"))
        try:
            self._mount()
        except BaseException:
            self._folder.rmdir()
            raise

    def _mount(self) -> None:
        run("mount", self._device, str(self._folder))

    def write(self, name: str, size: int) -> str:
        return write_random(self._folder / name, size)

    def checksum(self, name: str) -> str:
        with (self._folder / name).open("rb") as file:
            # Drop the cache, so that the data is read from the volume.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return checksum(self._folder / name)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        run("fsfreeze", "--freeze", str(self._folder))
        try:
            yield
        finally:
            run("fsfreeze", "--unfreeze", str(self._folder))

    def grow(self) -> str:
        try:
            run("resize2fs", self._device)
        except CommandError:
            # Containers often lack the capability SYS_RESOURCE, without which the kernel extends a
            # filesystem only while it is not mounted.
            run("umount", str(self._folder))
            self._wait_until_free()
            run("e2fsck", "-f", "-p", self._device)
            run("resize2fs", self._device)
            self._mount()
            return "unmounted"
        return "mounted"

    def _wait_until_free(self) -> None:
        """Wait until nothing uses the device. A filesystem that is no longer mounted here can still
        be mounted in another namespace, or be in use by the kernel, which ends soon. If it does not
        end, e2fsck reports it."""

        def free() -> bool:
            try:
                os.close(os.open(self._device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
            except OSError as exc:
                return exc.errno != errno.EBUSY
            return True

        block.wait(free, timeout=_FREE_TIMEOUT)

    def size(self) -> int:
        found = os.statvfs(self._folder)
        return found.f_blocks * found.f_frsize

    def close(self) -> None:
        if self._folder.exists():
            if self._folder.is_mount():
                run("umount", str(self._folder))
            self._folder.rmdir()


class Unmounted(Filesystem):
    """One in a plain file, used without mounting it."""

    how = "ext4, not mounted (no root)"

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, name: str, size: int) -> str:
        with tempfile.TemporaryDirectory(prefix="cinderlib-demo-") as folder:
            source = pathlib.Path(folder, name)
            digest = write_random(source, size)
            # debugfs prints its errors, but returns success.
            run("debugfs", "-w", "-R", f"rm {name}", self._path)
            run("debugfs", "-w", "-R", f"write {source} {name}", self._path)
        return digest

    def checksum(self, name: str) -> str:
        with tempfile.TemporaryDirectory(prefix="cinderlib-demo-") as folder:
            copy = pathlib.Path(folder, name)
            run("debugfs", "-R", f"dump {name} {copy}", self._path)
            return checksum(copy)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        yield

    def grow(self) -> str:
        run("e2fsck", "-f", "-p", self._path)
        run("resize2fs", self._path)
        return "not mounted"

    def size(self) -> int:
        fields = dict(
            line.split(":", 1)
            for line in run("dumpe2fs", "-h", self._path).splitlines()
            if ":" in line
        )
        return int(fields["Block count"]) * int(fields["Block size"])

    def close(self) -> None:
        pass


def is_block_device(path: str) -> bool:
    """Whether it can be mounted now."""
    return stat.S_ISBLK(os.stat(path).st_mode)


def make(path: str) -> None:
    """Make an empty ext4 filesystem on a block device or in a plain file."""
    run("mke2fs", "-q", "-F", "-t", "ext4", path)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Filesystem]:
    """The filesystem that is on a block device or in a plain file; closed afterwards."""
    filesystem = Mounted(path) if is_block_device(path) else Unmounted(path)
    try:
        yield filesystem
    finally:
        filesystem.close()
