"""Reads and formats sizes and numbers."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import click

_GIB = 1024**3
_UNITS = {
    "": _GIB,
    **{unit: 1024**power for power, unit in enumerate("KMGTP", start=1)},
    **{f"{unit}IB": 1024**power for power, unit in enumerate("KMGTP", start=1)},
    **{f"{unit}B": 1000**power for power, unit in enumerate("KMGTP", start=1)},
    "B": 1,
}
_SIZE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)\s*([a-zA-Z]{0,3})", re.ASCII)


class Size(click.ParamType[float]):
    """``10GiB``, ``10G``, ``10`` (GiB), ``1.5TiB``, ``20GB`` (powers of 1000); converted to GiB."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, int | float):
            return value
        match = _SIZE.fullmatch(value.strip())
        if match is None or match[2].upper() not in _UNITS:
            self.fail(f"{value!r} is not a size; write it like 10GiB, 512MiB, 1.5TiB or 20GB")
        gib = Fraction(match[1]) * _UNITS[match[2].upper()] / _GIB
        return gib.numerator if gib.denominator == 1 else float(gib)


def of_gib(gib: float | str | None) -> str:
    """Format a size in GiB; ``'unknown'`` and ``'infinite'`` do not change."""
    if not isinstance(gib, int | float):
        return str(gib or "")
    unit, value = ("TiB", gib / 1024) if gib >= 1024 else ("GiB", gib)
    return f"{value:.2f}".rstrip("0").rstrip(".") + f" {unit}"


def of_bytes(count: float) -> str:
    """Format a number of bytes: ``'1.5 GiB'``."""
    units = ["TiB", "GiB", "MiB", "KiB", "bytes"]
    while count >= 1024 and len(units) > 1:
        units.pop()
        count /= 1024
    return f"{count:.1f}".removesuffix(".0") + f" {units[-1]}"


def of_age(created_at: datetime.datetime | None) -> str:
    """Format the time since a creation: ``'3 days old'``."""
    if created_at is None:
        return ""
    seconds = int((datetime.datetime.now(datetime.UTC) - created_at).total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count = max(seconds, 0) // length
        if count or length == 1:
            return f"{count} {unit}{'' if count == 1 else 's'} old"
    return ""


def of_seconds(seconds: float) -> str:
    """Format a duration in its two largest units: ``'1 h 5 min'``."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    left = max(int(seconds), 0)
    parts: list[tuple[int, str]] = []
    for unit, length in units:
        count, left = divmod(left, length)
        if count or parts or length == 1:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count or len(parts) == 1)


def counted(counts: Mapping[str, int]) -> str:
    """Format counts: ``'1 volume, 2 key-values'``.

    :param counts: name in the plural -> count.
    """
    return ", ".join(
        f"{count} {name.removesuffix('s') if count == 1 else name}".replace("_", "-")
        for name, count in counts.items()
    )
