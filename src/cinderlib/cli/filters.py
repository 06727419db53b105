"""Filters of listings: options that limit a list to the items with certain properties."""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import click

from cinderlib.cli import completing, sizes
from cinderlib.cli.view import Item

F = TypeVar("F", bound=Callable[..., Any])

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_GIB = 1024**3


class Age(click.ParamType[datetime.timedelta]):
    """``30m``, ``12h``, ``7d``, ``2w``."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime.timedelta:
        if isinstance(value, datetime.timedelta):
            return value
        match = _AGE.fullmatch(value.strip())
        if match is None:
            self.fail(f"{value!r} is not an age; write it like 30m, 12h, 7d or 2w")
        return datetime.timedelta(seconds=int(match[1]) * _UNITS[match[2]])


name = click.option(
    "--name",
    metavar="PATTERN",
    help="List only items with this name; * stands for any characters, ? for one.",
)
metadata = click.option(
    "--metadata",
    multiple=True,
    metavar="KEY[=VALUE]",
    help="List only items with this metadata. Can be repeated.",
)
host = click.option(
    "--host",
    help="List only items that are connected to this host.",
    shell_complete=completing.hosts,
)
pool = click.option("--pool", help="List only items in this pool.")
_SIZES = (
    click.option("--min-size", type=sizes.Size(), help="List only items of at least this size."),
    click.option("--max-size", type=sizes.Size(), help="List only items of at most this size."),
)
_AGES = (
    click.option(
        "--older-than", type=Age(), help="List only items that are older than this, e.g. 7d."
    ),
    click.option(
        "--newer-than", type=Age(), help="List only items that are newer than this, e.g. 12h."
    ),
)


def size_and_age(function: F) -> F:
    """``--min-size``, ``--max-size``, ``--older-than`` and ``--newer-than``."""
    for option in reversed((*_SIZES, *_AGES)):
        function = option(function)
    return function


def is_pattern(text: str) -> bool:
    """Whether a name is a pattern for several names."""
    return any(character in text for character in "*?[")


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern, or is the same text."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def chosen(items: Iterable[Item], given: Mapping[str, Any]) -> Iterator[Item]:
    """The items that all filters accept.

    :param given: values of the options by their name; ``None`` or empty if not given.
    """
    tests = [
        _TESTS[option](value)
        for option, value in given.items()
        if value is not None and value != ()
    ]
    return (item for item in items if all(test(item) for test in tests))


Test = Callable[[Item], bool]


def _has_metadata(pairs: tuple[str, ...]) -> Test:
    wanted = [pair.partition("=") for pair in pairs]

    def test(item: Item) -> bool:
        metadata = item["metadata"]
        return all(
            key in metadata and (not equals or metadata[key] == value)
            for key, equals, value in wanted
        )

    return test


def _size(item: Item) -> int:
    return int(item.get("size_bytes", item.get("volume_size_bytes", 0)))


def _age(item: Item) -> datetime.timedelta:
    created = datetime.datetime.fromisoformat(item["created_at"])
    return datetime.datetime.now(datetime.UTC) - created


_TESTS: Mapping[str, Callable[[Any], Test]] = {
    "name": lambda pattern: lambda item: matches(item["name"], pattern),
    "status": lambda status: lambda item: item["status"] == status,
    "pool": lambda pool: lambda item: item["pool"] == pool,
    "host": lambda host: lambda item: host in item["hosts"],
    "metadata": _has_metadata,
    "min_size": lambda size: lambda item: _size(item) >= size * _GIB,
    "max_size": lambda size: lambda item: _size(item) <= size * _GIB,
    "older_than": lambda age: lambda item: item["created_at"] is not None and _age(item) > age,
    "newer_than": lambda age: lambda item: item["created_at"] is not None and _age(item) < age,
}
