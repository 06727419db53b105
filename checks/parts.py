"""Divides slow checks into parts, so that a commit runs one of them and a few commits run all."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

#: Why tests are skipped that would begin when only the core still has time.
NO_TIME = "no time left for more than the core tests"


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several parts.

    :ivar number: counted from 1.
    :ivar of: the number of parts.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part that an option specifies, such as ``2/5``.

        :raises ValueError: if the text is not one.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"not a part: {text!r} (expected for example 2/5)")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_commit(cls, commit: str, of: int) -> Part:
        """The part that a commit runs.

        :param commit: its hash, or any other text.
        """
        digest = hashlib.sha256(commit.encode()).digest()
        return cls(int.from_bytes(digest[:8]) % of + 1, of)

    def choose(self, checks: Sequence[T], seconds: Callable[[T], float]) -> list[T]:
        """The checks of this part, in their order. The parts together have each check once.

        :param seconds: how long a check is expected to take. The parts take about the same time.
        """
        total = [0.0] * self.of
        chosen = []
        # The longest first, each to the part that has least so far.
        for at in sorted(range(len(checks)), key=lambda at: -seconds(checks[at])):
            part = total.index(min(total))
            total[part] += seconds(checks[at])
            if part == self.number - 1:
                chosen.append(at)
        return [checks[at] for at in sorted(chosen)]
