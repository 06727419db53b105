"""A TOML file with the line numbers of the values."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from cinderlib.errors import ConfigurationError

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class TomlFile:
    """:ivar data: the content of the file.

    :raises ConfigurationError: the file cannot be read, or is not valid TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "the file is not UTF-8 text"
            raise ConfigurationError(f"cannot read {path}: {reason}") from exc
        try:
            self.data = tomllib.loads(self._text)
        except RecursionError:
            raise ConfigurationError(f"{path}: nested too deeply") from None
        except ValueError as exc:  # also from int, for a very long number
            at = _AT.search(str(exc))
            line = int(at[1]) if at and at[1] else self._text.count("\n") + 1
            reason = _AT.sub("", str(exc))
            raise ConfigurationError(f"{path}:{line}: not valid TOML: {_cut(reason)}") from exc

    def line(self, *keys: str) -> int | None:
        """The line on which the value of these keys begins.

        tomllib does not report positions, so this parses the first lines of the file: the value
        begins after the longest valid part that does not contain it.
        """
        before = 0
        lines = self._text.splitlines(keepends=True)
        for number in range(1, len(lines) + 1):
            try:
                data = tomllib.loads("".join(lines[:number]))
            except ValueError:
                continue  # within a value of several lines
            if _has(data, keys):
                return before + 1
            before = number
        return None

    def error(self, message: str, *keys: str) -> ConfigurationError:
        """An error about the value of these keys, or about the file."""
        line = self.line(*keys) if keys else None
        place = f"{self.path}:{line}" if line else str(self.path)
        return ConfigurationError(f"{place}: {_cut(message)}")


def _cut(message: str) -> str:
    """Limit the length of a message, which can contain a very long name."""
    return message if len(message) <= 500 else f"{message[:500]}..."


def _has(data: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True
