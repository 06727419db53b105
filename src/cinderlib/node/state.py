"""The state of attachments on this host, shared by its processes and discarded after a reboot.

Each attachment has one small file in a folder named after the boot. The file has a line for each
step: the intent before the host is changed, and the result after. Therefore everything that a crash
leaves can be found. The files are not flushed to the disk on purpose: they matter only until the
next boot, and until then they survive in the page cache even if every process is killed. For the
same reason lines are appended instead of replacing the file, which some filesystems flush.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from cinderlib.errors import Busy, NodeError
from cinderlib.locking import state_folder
from cinderlib.locking.process_identity import boot_id
from cinderlib.node.block import Trace
from cinderlib.node.persistent import Documents
from cinderlib.value_checks import check_path


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """One attachment of this host.

    :ivar key: of the volume's connection, see :meth:`ConnectionDocument.key`.
    :ivar document: the connection document, keys in clear.
    :ivar status: ``'attaching'`` and ``'detaching'`` are intents, ``'attached'`` is a result.
    :ivar before: existing devices of the volume before the attach, which must not be touched.
    :ivar device: the result of the attach.
    :ivar traces: the block devices of the attach.
    :ivar link: the symbolic link to the device, if one was requested.
    :ivar cgroup: the control group to which the limits of the volume apply, if one was requested.
    :ivar limited: the device that has limits in this control group.
    """

    key: str
    document: dict[str, Any]
    status: Literal["attaching", "attached", "detaching"] = "attaching"
    before: dict[str, Any] = {}
    device: dict[str, Any] | None = None
    traces: list[Trace] = []
    link: str | None = None
    cgroup: str | None = None
    limited: Trace | None = None


_BOOT = re.compile(r"boot-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


class State:
    """The state folder.

    :param path: of the folder; a folder that is private to the user is created in it on first use.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = default_path() if path is None else Path(check_path(path, "state_path"))
        self._ready: Path | None = None

    @property
    def brick_locks(self) -> Path:
        """The folder for os-brick's locks."""
        return state_folder.host_locks(self._folder() / "os-brick", create=True)

    def encrypted(self, key: str) -> Path:
        """The path of the link to the encrypted device of an attachment."""
        return self._folder() / "encrypted" / key

    def link_encrypted(self, key: str, device: str) -> None:
        """Create the link to the encrypted device of an attachment, or replace it."""
        link = self.encrypted(key)
        with self._writing():
            state_folder.make(link.parent)
            link.unlink(missing_ok=True)
            link.symlink_to(device)

    def unlink_encrypted(self, key: str) -> None:
        """Remove the link to the encrypted device of an attachment, if it exists."""
        with self._writing():
            self.encrypted(key).unlink(missing_ok=True)

    @property
    def identity(self) -> str:
        """Identifies this folder, independent of the path to it."""
        status = self._folder().stat()
        return f"{status.st_dev:x}:{status.st_ino:x}"

    @property
    def mounts(self) -> Path:
        """The folder for mounts of shares. It is outside the private folder, so that other users
        can access the files."""
        return self.path.with_name(f"{self.path.name}-mounts")

    @property
    def persistent(self) -> Documents:
        """The attachments of this host that return after each boot."""
        return Documents(self.path / "persistent")

    def get(self, key: str) -> Entry | None:
        """The entry with that key."""
        try:
            folder = self._existing()
            if folder is None:
                return None
            steps = (folder / f"{key}.json").read_bytes().splitlines()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise NodeError(f"The state of this host in {self.path} is unreadable: {exc}.") from exc
        for step in reversed(steps):
            # A line that is incomplete belongs to a step that never started.
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return _decoder.decode(step)
        return None

    def find(self, connection_id: str) -> Entry | None:
        """The entry of the connection with that ID."""
        return next((e for e in self.entries() if e.document.get("id") == connection_id), None)

    def entries(self) -> Iterator[Entry]:
        """All entries of this boot."""
        folder = self._existing()
        for file in sorted(folder.glob("*.json")) if folder is not None else ():
            if entry := self.get(file.stem):
                yield entry

    def put(self, entry: Entry) -> None:
        """Write the next step of an entry."""
        file = self._folder() / f"{entry.key}.json"
        step = b"\n%b\n" % _encoder.encode(entry)
        with self._writing():
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.write(handle, step) < len(step):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)

    def remove(self, key: str) -> None:
        """Remove an entry, if it exists."""
        with self._writing():
            (self._folder() / f"{key}.json").unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, key: str, *, wait: bool = True) -> Iterator[None]:
        """Keep all other threads and processes of this host away from the attachment.

        The kernel releases the lock when its holder dies. Therefore an intent whose lock is free
        was interrupted.

        :param wait: wait until the holder finishes.
        :raises Busy: another thread or process has it, and ``wait`` is false.
        """
        file = self._folder() / f"{key}.lock"
        while True:
            with self._writing():
                handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    raise Busy(
                        "Another thread or process is using the attachment.", resource=key
                    ) from None
                # The previous holder may have removed the file: then this lock protects nothing.
                if _same_file(handle, file):
                    try:
                        yield
                    finally:
                        # A file that cannot be removed does no harm: its lock is free.
                        with contextlib.suppress(OSError):
                            file.unlink()
                        # A child that was forked meanwhile has a copy of the handle.
                        fcntl.flock(handle, fcntl.LOCK_UN)
                    return
            finally:
                os.close(handle)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise NodeError(
                f"The state of this host in {self.path} is not writable: {exc}."
            ) from exc

    def _existing(self) -> Path | None:
        """The folder of this boot to read from; reading creates none.

        :raises NodeError: its parent is not a folder, so that it cannot be created either.
        """
        existing = next(
            (each for each in (self.path, *self.path.parents) if os.path.exists(each)), None
        )
        is_folder = existing is not None and os.path.isdir(existing)
        if is_folder and not os.path.exists(self.path / f"boot-{boot_id()}"):
            return None
        return self._folder()

    def _folder(self) -> Path:
        if self._ready is None:
            folder = self.path / f"boot-{boot_id()}"
            try:
                state_folder.make(folder)
                if folder.stat().st_uid != os.geteuid():
                    raise PermissionError(errno.EPERM, "it belongs to another user")
                for other in self.path.iterdir():
                    if _BOOT.fullmatch(other.name) and other != folder:
                        _forget(other)
            except OSError as exc:
                raise NodeError(
                    f"The folder for the state of this host, {self.path}, cannot be used: "
                    f"{exc.strerror}. Specify another folder with state_path."
                ) from exc
            self._ready = folder
        return self._ready


def default_path() -> Path:
    """The folder for the state of this host, for this user."""
    return state_folder.default() / "node"


def _forget(folder: Path) -> None:
    # The devices of another boot do not exist any more, so the entries are useless. The removal is
    # not recursive: something could be mounted in there by mistake.
    with contextlib.suppress(OSError):
        inner = [folder / "os-brick", folder / "encrypted"]
        for each in (*inner, folder):
            for file in each.iterdir() if each.is_dir() else ():
                if file.is_file() or file.is_symlink():
                    file.unlink()
        for each in inner:
            if each.is_dir():
                each.rmdir()
        folder.rmdir()


def _same_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
