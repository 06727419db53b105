"""A TOML file whose values can be found again by line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from cinderlib.errors import ConfigurationError

_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class TomlFile:
    """:ivar data: what the file says.

    :raises ConfigurationError: it cannot be read, or is no TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text in UTF-8"
            raise ConfigurationError(f"{path} cannot be read: {reason}") from exc
        try:
            self.data = tomllib.loads(self._text)
        except RecursionError:
            raise ConfigurationError(f"{path}: it is nested too deep") from None
        except ValueError as exc:  # tomllib's own, and int's for a number without end
            at = _AT.search(str(exc))
            line = int(at[1]) if at and at[1] else self._text.count("\n") + 1
            reason = _AT.sub("", str(exc))
            raise ConfigurationError(f"{path}:{line}: this is no TOML: {_cut(reason)}") from exc

    def line(self, *keys: str) -> int | None:
        """The line on which the value begins that is found under these keys.

        tomllib gives no places, so beginnings of the file are read: the value begins after the
        longest one that is TOML and lacks it.
        """
        before = 0
        lines = self._text.splitlines(keepends=True)
        for number in range(1, len(lines) + 1):
            try:
                data = tomllib.loads("".join(lines[:number]))
            except ValueError:
                continue  # in the middle of a value of several lines
            if _has(data, keys):
                return before + 1
            before = number
        return None

    def error(self, message: str, *keys: str) -> ConfigurationError:
        """An error about what is found under these keys, or about the file."""
        line = self.line(*keys) if keys else None
        place = f"{self.path}:{line}" if line else str(self.path)
        return ConfigurationError(f"{place}: {_cut(message)}")


def _cut(message: str) -> str:
    """What a name without end is in is not shown without end."""
    return message if len(message) <= 500 else f"{message[:500]}..."


def _has(data: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True
