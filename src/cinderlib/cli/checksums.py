"""Checksums as arguments."""

from __future__ import annotations

import re
from typing import Any

import click

from cinderlib.value_checks import shown

#: Hexadecimal digits of a checksum -> its algorithm.
_ALGORITHMS = {64: "sha256", 128: "sha512"}
_CHECKSUM = re.compile(r"(?:(sha256|sha512):)?([0-9a-f]+)", re.IGNORECASE)


class Checksum(click.ParamType[tuple[str, str]]):
    """A SHA-256 or SHA-512 checksum, optionally with its algorithm: ``sha512:...``. Converted to
    the algorithm and the digits."""

    name = "checksum"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        match = _CHECKSUM.fullmatch(value.strip())
        algorithm = _ALGORITHMS.get(len(match[2])) if match else None
        if match is None or algorithm is None or (match[1] or algorithm).lower() != algorithm:
            self.fail(
                f"{shown(value)} is not a checksum: expected 64 hexadecimal digits of SHA-256, or"
                " 128 of SHA-512"
            )
        return algorithm, match[2].lower()
