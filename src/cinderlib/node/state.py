"""What this host attached, kept across processes and dropped when the host has been restarted.

One small file per attachment in a folder named after the boot, with a line for each step: the
intent before the host is touched, the result after, so that whatever a crash leaves can be found.
Nothing is flushed to the disk, on purpose: the files matter only until the next boot, and until
then the page cache keeps them even when every process here is killed. For the same reason lines
are added instead of files replaced, which some filesystems take as a wish to flush.
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


class Entry(msgspec.Struct, kw_only=True, frozen=True):
    """One attachment of this host.

    :ivar key: of the volume's connection, see :meth:`ConnectionDocument.key`.
    :ivar document: the connection document, keys in clear.
    :ivar status: ``'attaching'`` and ``'detaching'`` are intents, ``'attached'`` is a result.
    :ivar before: what was on this host of the same volume before, and is therefore not ours.
    :ivar device: what the attach gave.
    :ivar traces: the block devices that the attach made.
    """

    key: str
    document: dict[str, Any]
    status: Literal["attaching", "attached", "detaching"] = "attaching"
    before: dict[str, Any] = {}
    device: dict[str, Any] | None = None
    traces: list[Trace] = []


_BOOT = re.compile(r"boot-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


class State:
    """The state folder.

    :param path: of the folder; one that is private to the user is made in it when it is needed.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else default_path()
        self._ready: Path | None = None

    @property
    def brick_locks(self) -> Path:
        """The folder of os-brick's locks."""
        return state_folder.host_locks(self._folder() / "os-brick")

    @property
    def identity(self) -> str:
        """Tells this folder from all others, by whichever path it is found."""
        status = self._folder().stat()
        return f"{status.st_dev:x}:{status.st_ino:x}"

    @property
    def mounts(self) -> Path:
        """The folder for mounts of shares. Beside the private one: other users follow its paths."""
        return self.path.with_name(f"{self.path.name}-mounts")

    def get(self, key: str) -> Entry | None:
        """The entry of that key."""
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
            # A step that was being written when its process was killed was not begun.
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return _decoder.decode(step)
        return None

    def find(self, connection_id: str) -> Entry | None:
        """The entry of the connection with that id."""
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
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                if os.write(handle, step) < len(step):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
        except OSError as exc:
            raise NodeError(
                f"The state of this host in {self.path} is not writable: {exc}."
            ) from exc

    def remove(self, key: str) -> None:
        """Forget an entry; it does not need to be there."""
        try:
            (self._folder() / f"{key}.json").unlink(missing_ok=True)
        except OSError as exc:
            raise NodeError(
                f"The state of this host in {self.path} is not writable: {exc}."
            ) from exc

    @contextlib.contextmanager
    def locked(self, key: str, *, wait: bool = True) -> Iterator[None]:
        """Keep every other thread and process of this host off the attachment meanwhile.

        The kernel gives the lock back when its holder dies, so an intent whose lock is free was
        interrupted.

        :param wait: for a holder to finish.
        :raises Busy: another has it, and waiting was not asked for.
        """
        file = self._folder() / f"{key}.lock"
        while True:
            try:
                handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as exc:
                raise NodeError(
                    f"The state of this host in {self.path} is not writable: {exc}."
                ) from exc
            try:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    raise Busy("Another works on the same attachment.", resource=key) from None
                # The one who had the lock may have removed its file: then this is no lock at all.
                if _same_file(handle, file):
                    try:
                        yield
                    finally:
                        # One that cannot be removed is as good as one that is free.
                        with contextlib.suppress(OSError):
                            file.unlink()
                        # A child forked meanwhile has a copy of the handle; closing is not enough.
                        fcntl.flock(handle, fcntl.LOCK_UN)
                    return
            finally:
                os.close(handle)

    def _existing(self) -> Path | None:
        """The folder of this boot to read from; reading creates none.

        :raises NodeError: its parent is not a folder, so that it cannot be created either.
        """
        there = next((each for each in (self.path, *self.path.parents) if each.exists()), None)
        is_folder = there is not None and there.is_dir()
        if is_folder and not (self.path / f"boot-{boot_id()}").exists():
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
                    f"{exc.strerror}. Give another one as state_path."
                ) from exc
            self._ready = folder
        return self._ready


def default_path() -> Path:
    """Where the state of this host is kept for this user."""
    return state_folder.default() / "node"


def _forget(folder: Path) -> None:
    # The devices of another boot are gone, and what was written of them says nothing any more.
    # Not a recursive removal: something could be mounted in there by mistake.
    with contextlib.suppress(OSError):
        for inner in (folder / "os-brick", folder):
            for file in inner.iterdir() if inner.is_dir() else ():
                if file.is_file():
                    file.unlink()
        if (folder / "os-brick").is_dir():
            (folder / "os-brick").rmdir()
        folder.rmdir()


def _same_file(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
