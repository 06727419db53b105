"""The table of what a run has shown: scenario by protocol, with the versions it was shown with."""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Iterable

PROTOCOLS = ("iSCSI", "iSCSI multipath", "NVMe/TCP", "RBD", "NFS")
DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs" / "connections.md"
_BEGIN, _END = "<!-- table: written by make lab -->\n", "<!-- table: end -->\n"

#: What a scenario shows, the protocol it shows it for, and whether it passed.
Shown = tuple[str, str, bool]


def table(shown: Iterable[Shown], versions: dict[str, str], seconds: float) -> str:
    """The table as Markdown, in the order in which the scenarios ran."""
    rows: dict[str, dict[str, bool]] = {}
    for scenario, protocol, passed in shown:
        row = rows.setdefault(scenario, {})
        row[protocol] = row.get(protocol, True) and passed
    lines = [["Scenario", *PROTOCOLS], ["---"] * (len(PROTOCOLS) + 1)]
    for scenario, row in rows.items():
        cells = [{True: "passed", False: "**failed**", None: ""}[row.get(p)] for p in PROTOCOLS]
        lines.append([scenario, *cells])
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{text}\nRun on {day} in {seconds / 60:.0f} minutes with {told}.\n"


def write(text: str) -> None:
    """Put the table into the document."""
    document = DOCUMENT.read_text()
    between = re.compile(f"({re.escape(_BEGIN)}).*({re.escape(_END)})", re.DOTALL)
    DOCUMENT.write_text(between.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", document))
