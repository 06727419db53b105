"""What the checks of a host find, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a host that is not as it should be.

    :ivar check: what was looked at; it stays the same from version to version
        (``'iscsi.initiator-name'``).
    :ivar severity: ``'error'``: it does not work. ``'warning'``: it works until something goes
        wrong, or harms something else. ``'note'``: worth knowing, and nothing to be done about.
    :ivar problem: what was seen.
    :ivar meaning: what that leads to.
    :ivar commands: what mends it: lines for a shell, run as root in this order.
    :ivar advice: what mends it where no command can, or what to know before they are run.
    """

    check: str
    severity: Severity
    problem: str
    meaning: str = ""
    commands: tuple[str, ...] = ()
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on a host.

    :ivar protocols: what the host was looked at for, and why.
    :ivar findings: the worst first.
    """

    protocols: Mapping[str, str]
    findings: tuple[Finding, ...]


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings and notes, each in the order in which they were found."""
    order = ("error", "warning", "note")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
