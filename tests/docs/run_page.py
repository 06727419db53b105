"""Runs the code of one page, in this process and folder: ``run_page.py README.md``."""

from __future__ import annotations

import doctest
import subprocess
import sys
from typing import Any

import pages


def run_console(block: pages.Block) -> None:
    checker = doctest.OutputChecker()
    for session in ("\n" + block.code).split("\n$ ")[1:]:
        command, _, expected = session.partition("\n")
        done = subprocess.run(
            command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        expected = expected.rstrip() + "\n" if expected.strip() else ""
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if done.returncode or (
            expected and not checker.check_output(expected, done.stdout, options)
        ):
            sys.exit(
                f"{block.where}: $ {command}\nended with {done.returncode} and printed:\n"
                f"{done.stdout}\ninstead of:\n{expected}"
            )


def main(page: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in pages.read(page):
        if block.not_run:
            continue
        if block.language == "console":
            run_console(block)
        else:
            # With as many lines before it as in the page, so that a traceback shows its lines.
            source = "\n" * (block.line - 1) + block.code
            exec(compile(source, str(pages.ROOT / page), "exec"), names)


if __name__ == "__main__":
    main(sys.argv[1])
