"""Keys in files: a folder with one file for each key, which only its owner can access."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import urllib.parse
import uuid
from collections.abc import Iterator

from cinderlib.errors import KeyManagerError

_KEY = re.compile(rb"(?:[0-9a-f]{2})+")
#: The longest content of a file, in bytes.
_LONGEST = 4096


class FileKeys:
    """A folder with keys. It is created with the first key.

    A file contains the key in hexadecimal digits, without an end of line, so that other programs
    can use the file (``cryptsetup --key-file``).

    :param folder: an absolute path.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return f"folder {self._folder}"

    def reserve(self, volume_id: str) -> str:
        with contextlib.suppress(FileNotFoundError), self._opened():
            pass  # the first key creates it
        # The ID of a volume can be used again: a key is never replaced by another one.
        return f"{urllib.parse.quote(volume_id, safe='')[:200]}.{uuid.uuid4().hex[:16]}"

    def put(self, id: str, key: str) -> str:
        # A name that delete() knows, so that an interrupted put leaves no key.
        new, path = self._path(id, "new"), self._path(id)
        with self._opened(create=True) as folder:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                _write(file, key.encode("ascii"))
                os.fsync(file)
            finally:
                os.close(file)
            os.link(new, path)  # does not replace an existing key, unlike a rename
            os.unlink(new)
            os.fsync(folder)
        return id

    def get(self, id: str) -> str:
        path = self._path(id)
        try:
            with self._opened():
                file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    _refuse_access(os.fstat(file), path, 0o600)
                    text = os.read(file, _LONGEST).strip()
                finally:
                    os.close(file)
        except FileNotFoundError:
            raise KeyManagerError(
                f"the file {path} does not exist. Restore it from a backup",
                retryable=False,
            ) from None
        if not _KEY.fullmatch(text):
            raise KeyManagerError(
                f"the file {path} does not contain a key in hexadecimal digits. Restore it from a"
                " backup",
                retryable=False,
            )
        return text.decode("ascii")

    def delete(self, id: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._opened() as folder:
            for path in (self._path(id, "new"), self._path(id)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            os.fsync(folder)

    def _path(self, id: str, kind: str = "key") -> str:
        if "/" in id or "\0" in id or id.startswith("."):
            raise KeyManagerError(f"{id!r} is not the name of a key", retryable=False)
        return f"{self._folder}/{id}.{kind}"

    @contextlib.contextmanager
    def _opened(self, *, create: bool = False) -> Iterator[int]:
        """Open the folder, which only its owner may access.

        :raises FileNotFoundError: it, or a file that the caller opens, does not exist.
        :raises KeyManagerError: others may access it, or a step of the caller failed.
        """
        try:
            if create and not os.path.isdir(self._folder):
                os.makedirs(self._folder, mode=0o700, exist_ok=True)
                _sync(os.path.dirname(self._folder))
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _refuse_access(os.fstat(folder), self._folder, 0o700)
                yield folder
            finally:
                os.close(folder)
        except OSError as exc:
            if isinstance(exc, FileNotFoundError) and not create:
                raise
            of = f"{exc.filename}: " if exc.filename not in (None, self._folder) else ""
            raise KeyManagerError(f"{of}{exc.strerror}") from exc


def _refuse_access(found: os.stat_result, path: str, mode: int) -> None:
    """:raises KeyManagerError: another user owns it, or may read or change it."""
    if found.st_uid != os.geteuid():
        raise KeyManagerError(
            f"{path} belongs to the user with the ID {found.st_uid}, not to {os.geteuid()}. Change"
            " its owner with chown",
            retryable=False,
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeyManagerError(
            f"other users can access {path}: its mode is {stat.S_IMODE(found.st_mode):04o}. If they"
            f" have not read it, restrict it with chmod {mode:o}",
            retryable=False,
        )


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def _sync(folder: str) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
