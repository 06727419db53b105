"""usage: python -m benchmarks [PART...] [--quick] [--folder PATH] [--document]"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import pathlib
import sys
from collections.abc import Callable, Iterator

from benchmarks import environment, report
from benchmarks.bench import Bench, work_folder
from benchmarks.results import Results

PARTS = (
    "start",
    "operations",
    "placement",
    "history",
    "attach",
    "scale",
    "concurrency",
    "growth",
    "drivers",
    "service",
    "streams",
    "copying",
    "proxmox",
    "csi",
)
ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTPUT = ROOT / ".cache" / "bench"
DOCS = ROOT / "docs"


def main() -> None:
    arguments = _arguments()
    sys.path.insert(0, str(ROOT / "tests"))  # for the tests' servers
    results = Results()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        bench = Bench(
            results=results,
            folder=stack.enter_context(work_folder(arguments.folder)),
            old=environment.python(),
            servers=dict(_servers(stack)),
            quick=arguments.quick,
        )
        for name in arguments.parts or PARTS:
            results.record_machine_load()
            importlib.import_module(f"benchmarks.parts.{name}").run(bench)
        results.record_machine_load()
    results.write(OUTPUT / "results.json")
    (OUTPUT / "table.md").write_text(report.table(results))
    folder = DOCS if arguments.document else OUTPUT
    report.plot(results, folder / "growth.svg")
    report.summary_plot(results, folder / "cost.svg")
    print(f"\nThe table and the figures are in {OUTPUT.relative_to(ROOT)}/")
    if arguments.document:
        if arguments.parts:
            report.parts_into_page(results, DOCS / "performance-details.md")
        else:
            report.into_page(report.summary(results), DOCS / "performance.md")
            report.into_page(report.table(results), DOCS / "performance-details.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Compare cinderlib with 5.2.0, the bare driver call, and the limits.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer runs, smaller sizes")
    parser.add_argument(
        "--folder", help="where to create databases (default: the system's temporary folder)"
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="update the pages in docs/; with PART, only its tables in performance-details.md",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return arguments


def _servers(stack: contextlib.ExitStack) -> Iterator[tuple[str, Callable[[], str]]]:
    from _pytest.outcomes import OutcomeException
    from servers import etcd, postgresql

    for name, module in (("PostgreSQL", postgresql), ("etcd", etcd)):
        try:
            yield name, stack.enter_context(module.run(durable=True)).database
        except OutcomeException as missing:
            print(f"{name} is skipped: {missing}", file=sys.stderr)


if __name__ == "__main__":
    main()
