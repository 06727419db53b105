"""Writes a first configuration: commented TOML, and a private file for each password."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cinderlib import errors
from cinderlib.cli import tomltext
from cinderlib.locking import state_folder

_HEAD = """\
# Configuration of cinderlib, created by `cinderlib init`.
# `cinderlib config check` checks it, and `cinderlib backend check` also queries the storage.

# Volumes are recorded in a SQLite database in the state directory. For several hosts, use a
# database server:
# [store]
# connection = "postgresql://user:password@server/database"
"""


class NewConfiguration:
    """A configuration file that does not exist yet.

    :param path: path of the file.
    :param backend: name of the backend.
    :param title: description of the storage, for a comment.
    :param options: the options of the backend, ``volume_driver`` first.
    :param secrets: the options that are passwords; each is written to a private file, except those
        that are references.
    """

    def __init__(
        self,
        path: Path,
        backend: str,
        title: str,
        options: Mapping[str, Any],
        secrets: Mapping[str, Any],
    ) -> None:
        self.path = path
        self._backend = backend
        self._title = title
        self._options = options
        self._secrets = secrets
        #: The path while the configuration is checked.
        self.draft = path.with_name(f".{path.name}.{os.getpid()}")
        self._kept = False

    def _secret_file(self, option: str) -> Path:
        return self.path.with_name(f"{self._backend}.{option}")

    @contextlib.contextmanager
    def drafted(self) -> Iterator[None]:
        """Write the files, with the configuration at :attr:`draft`. They are removed at the end,
        unless :meth:`keep` was called.

        :raises AlreadyExists: a file exists.
        :raises InvalidInput: a file cannot be written.
        """
        written: list[Path] = []
        try:
            for path, text in self._files():
                _write(path, text)
                written.append(path)
            yield
        finally:
            if not self._kept:
                for path in written:
                    path.unlink(missing_ok=True)

    def keep(self) -> None:
        """Move the configuration to its path.

        :raises AlreadyExists: the path exists.
        """
        try:
            os.link(self.draft, self.path)
        except FileExistsError:
            raise exists(self.path) from None
        os.unlink(self.draft)
        self._kept = True

    def _files(self) -> Iterator[tuple[Path, str]]:
        options = dict(self._options)
        for option, value in self._secrets.items():
            if isinstance(value, str):
                file = self._secret_file(option)
                yield file, f"{value}\n"
                options[option] = {"file": file.name}
            else:
                options[option] = value
        lines = tomltext.tables({"backends": {self._backend: options}})
        table = "\n".join(lines).lstrip()
        yield self.draft, f"{_HEAD}\n# {self._title}\n{table}\n"


def exists(path: Path) -> errors.AlreadyExists:
    """The error for a configuration that exists."""
    return errors.AlreadyExists(
        f"{path} already exists: change it with an editor, or choose another file with --config",
        resource=str(path),
    )


def _write(path: Path, text: str) -> None:
    try:
        state_folder.make(path.parent)
        with open(path, "x", opener=_private, encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise errors.AlreadyExists(f"{path} already exists: remove it first") from None
    except OSError as exc:
        raise errors.InvalidInput(f"Cannot write {path}: {exc.strerror}") from exc


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
