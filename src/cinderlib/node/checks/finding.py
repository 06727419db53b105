"""The results of the checks of a host, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of a host.

    :ivar check: the name of the check, the same in all versions (``'iscsi.initiator-name'``).
    :ivar severity: ``'error'``: it does not work. ``'warning'``: it works now, but can fail later
        or cause harm elsewhere. ``'note'``: information, no action is necessary.
    :ivar problem: the problem.
    :ivar meaning: the consequence of the problem.
    :ivar commands: shell commands that repair it; run them as root in this order.
    :ivar advice: how to repair it without a command, or information to read first.
    """

    check: str
    severity: Severity
    problem: str
    meaning: str = ""
    commands: tuple[str, ...] = ()
    advice: str = ""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The findings for a host.

    :ivar protocols: the checked protocols, and the reason for each.
    :ivar findings: the worst first.
    """

    protocols: Mapping[str, str]
    findings: tuple[Finding, ...]


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings and notes, in this order."""
    order = ("error", "warning", "note")
    return tuple(sorted(findings, key=lambda finding: order.index(finding.severity)))
