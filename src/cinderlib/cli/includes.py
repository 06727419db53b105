"""Files with backends that a configuration includes, written by other programs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cinderlib.cli.schema import problems, reference_of
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.errors import ConfigurationError


def read(file: TomlFile) -> dict[str, TomlFile]:
    """The backends of the files that a file includes.

    :param file: has ``include = "/folder/*.toml"`` before its first table.
    :returns: name of a backend -> the file with its table.
    :raises ConfigurationError: a file cannot be read, has other tables, or has a backend that
        another file has.
    """
    found = dict.fromkeys(file.data.get("backends", ()), file)
    for path in _matching(file):
        included = TomlFile(path)
        other = included.data.keys() - {"backends"}
        if other:
            name = sorted(other)[0]
            raise included.error(f"an included file has only [backends.NAME], not {name}", name)
        for problem in problems(included):
            raise problem
        for name in included.data.get("backends", ()):
            if name in found:
                raise included.error(
                    f"backend {name!r} is also in {found[name].path}", "backends", name
                )
            found[name] = included
    return found


def _matching(file: TomlFile) -> list[Path]:
    pattern = file.data.get("include")
    if pattern is None:
        return []
    folder = file.path.absolute().parent
    return [Path(path) for path in sorted(glob.glob(str(folder / pattern)))]


def fingerprint(file: TomlFile | None) -> object:
    """A value that changes with the included files, and with the files with secrets that they refer
    to. It is the same as long as no file is included."""
    return None if file is None else tuple(_states(file))


def _states(file: TomlFile) -> Iterator[object]:
    for path in _matching(file):
        yield _state(path)
        try:
            backends = TomlFile(path).data.get("backends", {})
        except ConfigurationError:
            continue
        yield from (_state(path.parent / where) for where in _references(backends))


def _references(backends: Any) -> Iterator[str]:
    for options in backends.values() if isinstance(backends, Mapping) else ():
        for value in options.values() if isinstance(options, Mapping) else ():
            reference = reference_of(value)
            if reference is not None and reference[0] == "file":
                yield reference[1]


def _state(path: Path) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return (path, None)
    return (path, found.st_ino, found.st_mtime_ns, found.st_size)
