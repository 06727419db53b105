"""Durations on the command line."""

from __future__ import annotations

import re
from typing import Any

import click

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class Seconds(click.FloatRange):
    """A number of seconds, such as ``90`` or ``0.5``.

    :param min: the smallest one.
    :param max: the largest one; ``None``: no limit.
    """

    def __init__(self, min: float = 0, max: float | None = None) -> None:
        super().__init__(min=min, max=max)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, str) and not _SECONDS.fullmatch(value):
            self.fail(f"{value!r} is not a number of seconds, such as 90 or 0.5", param, ctx)
        seconds: float = super().convert(value, param, ctx)
        return seconds
