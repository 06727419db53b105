"""Reads the numbers of tests and the causes of failures from JUnit files and logs."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from checks.parts import NO_TIME

_WIDEST = 200
#: Errors of ruff, mypy, codespell, proselint and Sphinx.
_ERROR = re.compile(
    r"\b(error|warning|would reformat)\b|^\S+:\d+:|^[A-Z]+\d+ |^ *--> ", re.IGNORECASE
)
#: Lines that follow any failure.
_NO_CAUSE = re.compile(r"^make(\[\d+\])?: |^Found \d+ error|^\s*$")


@dataclasses.dataclass(frozen=True)
class Failure:
    """
    :ivar name: of the test or step.
    :ivar cause: lines, the most informative first.
    """

    name: str
    cause: list[str]


@dataclasses.dataclass
class Counts:
    """How many tests had which outcome.

    :ivar late: of the skipped, those for which there was no time.
    """

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    late: int = 0

    def __add__(self, other: Counts) -> Counts:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counts(*(one + another for one, another in pairs))

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def read(junit: pathlib.Path) -> tuple[Counts, list[Failure]]:
    """Read a JUnit file of pytest.

    :returns: the counts and the failures; none if pytest ended before it wrote the file.
    """
    counts = Counts()
    failures: list[Failure] = []
    try:
        cases = list(ElementTree.parse(junit).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return counts, failures
    for case in cases:
        bad = [*case.findall("failure"), *case.findall("error")]
        if bad:
            counts.failed += 1
            name = f"{case.get('file', case.get('classname'))}::{case.get('name')}"
            failures.append(Failure(name, _cause(bad[0].text or bad[0].get("message") or "")))
        elif (skipped := case.find("skipped")) is not None:
            counts.skipped += 1
            counts.late += NO_TIME in skipped.get("message", "")
        else:
            counts.passed += 1
    return counts, failures


def first_errors(step: str, log: str) -> Failure:
    """The failure of a step that runs no tests: the first errors, or the end of the log."""
    lines = [line for line in log.splitlines() if not _NO_CAUSE.search(line)]
    errors = [line for line in lines if _ERROR.search(line)]
    return Failure(f"make {step}", errors or lines[-20:])


def end_of_log(step: str, log: str) -> Failure:
    """The failure of a step that reported no failed test: the end of the log."""
    return Failure(f"make {step}", [line for line in log.splitlines() if line.strip()][-20:])


def report(failures: Sequence[Failure], lines: int) -> list[str]:
    """Failures with their causes, in at most ``lines`` lines.

    If there are too many failures, only the first ones are reported.
    """
    shown = failures[: lines // 4]
    report_lines = [f"{len(failures)} failed:"] if failures else []
    each, more = divmod(lines - 2, len(shown)) if shown else (0, 0)
    for at, failure in enumerate(shown):
        room = each + (at < more)
        report_lines.append(f"FAILED {failure.name}"[:_WIDEST])
        report_lines += [f"    {line}"[:_WIDEST] for line in failure.cause[: room - 1]]
    if len(shown) < len(failures):
        report_lines.append(f"and {len(failures) - len(shown)} more: see the log above")
    return report_lines


def _cause(text: str) -> list[str]:
    """The error and its place, from the description of a failure by pytest."""
    lines = text.rstrip().splitlines()
    errors = [line.removeprefix("E").strip() for line in lines if re.match(r"E(\s|$)", line)]
    errors = [line for line in errors if line]
    if not errors:
        return [line for line in lines if line.strip()][-20:]
    # The output of a program can be part of the message; the reason is at its end.
    if len(errors) > 8:
        errors = [*errors[:2], *errors[-6:]]
    where = next((line.strip() for line in reversed(lines) if re.match(r"\S+:\d+: ", line)), "")
    return [*errors, where] if where else errors
