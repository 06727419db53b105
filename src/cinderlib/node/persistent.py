"""The attachments that this host has again after each boot: their connection documents on the disk.

A document can contain keys in clear, so the files are private to their owner. Unlike the state of
the current boot, they are flushed to the disk.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.errors import NodeError
from cinderlib.locking import state_folder


class Kept(msgspec.Struct, kw_only=True, frozen=True):
    """One of these attachments.

    :ivar key: of the volume's connection, see :meth:`ConnectionDocument.key`.
    :ivar document: the connection document, keys in clear.
    :ivar link: the symbolic link to the device, if one was requested.
    """

    key: str
    document: dict[str, Any]
    link: str | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Kept)


class Documents:
    """The folder of these attachments.

    :param path: of the folder; it is created with the first attachment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> Kept | None:
        """The attachment with that key.

        :raises NodeError: it cannot be read.
        """
        try:
            return _decoder.decode((self.path / f"{key}.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise NodeError(
                f"The persistent attachment in {self.path / key}.json is unreadable: {exc}. Remove"
                " the file, attach the volume, and make it persistent again."
            ) from exc

    def keys(self) -> list[str]:
        """The keys of all of them.

        :raises NodeError: the folder cannot be read.
        """
        try:
            return sorted(file.stem for file in self.path.iterdir() if file.suffix == ".json")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise NodeError(f"{self.path} is unreadable: {exc.strerror}.") from exc

    def all(self) -> Iterator[Kept]:
        """All of them that can be read."""
        for key in self.keys():
            with contextlib.suppress(NodeError):
                if kept := self.get(key):
                    yield kept

    def find(self, connection_id: str) -> Kept | None:
        """The attachment of the connection with that ID."""
        return next((k for k in self.all() if k.document.get("id") == connection_id), None)

    def put(self, kept: Kept) -> bool:
        """Keep an attachment, in place of an earlier one with its key.

        :returns: whether that changed anything.
        :raises NodeError: it cannot be written.
        """
        with contextlib.suppress(NodeError):
            if self.get(kept.key) == kept:
                return False
        file = self.path / f"{kept.key}.json"
        draft = file.with_suffix(".new")
        try:
            state_folder.make(self.path)
            draft.unlink(missing_ok=True)
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(handle, "wb") as output:
                output.write(_encoder.encode(kept))
                output.flush()
                os.fsync(handle)
            draft.replace(file)
            self._flush()
        except OSError as exc:
            raise NodeError(
                f"The attachment cannot be made persistent: {file}: {exc.strerror}."
            ) from exc
        return True

    def remove(self, key: str) -> bool:
        """Forget an attachment.

        :returns: whether there was one.
        :raises NodeError: it cannot be removed.
        """
        file = self.path / f"{key}.json"
        try:
            file.unlink()
            self._flush()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as exc:
            raise NodeError(f"{file} cannot be removed: {exc.strerror}.") from exc
        return True

    def _flush(self) -> None:
        # The folder itself may be new as well.
        for folder in (self.path, self.path.parent):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
