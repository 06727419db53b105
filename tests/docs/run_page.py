"""Runs the code of one page, in this process and folder: ``run_page.py README.md``."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from typing import Any

import pages
import pytest

#: The exit code for a page whose requirements this machine lacks.
SKIPPED = 77


#: Pages show realistic IDs, devices and times. The output of a run has others of the same kind.
KINDS = {
    "<id>": r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "<short id>": r"\b[0-9a-f]{8}\b",
    "<time>": r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00|Z)?",
    # Without root, a volume of the driver `file` is attached as its file.
    "/<device>": r"/dev/loop\d+|/\S+/volume-<id>",
}


def _kinds(text: str) -> str:
    for kind, pattern in KINDS.items():
        text = re.sub(pattern, kind, text)
    return text


def as_expected(expected: str, printed: str) -> bool:
    """Whether the output matches the page: ``...`` matches anything, an ID any ID, and the folder
    ``/srv/trial`` the working directory."""
    expected = expected.rstrip().replace("/srv/trial", os.getcwd()) + "\n"
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(_kinds(expected), _kinds(printed), options)


def run_console(block: pages.Block) -> None:
    for session in ("\n" + block.code).split("\n$ ")[1:]:
        command, _, expected = session.partition("\n")
        done = subprocess.run(
            command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode or (expected.strip() and not as_expected(expected, done.stdout)):
            sys.exit(
                f"{block.where}: $ {command}\nended with {done.returncode} and printed:\n"
                f"{done.stdout}\ninstead of:\n{expected}"
            )


def main(page: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in pages.read(page):
        if block.not_run:
            continue
        if block.language == "console":
            run_console(block)
        elif block.language == "prints":
            if not as_expected(block.code, printed):
                sys.exit(f"{block.where}: printed was\n{printed}\ninstead of\n{block.code}")
        else:
            # Preceding empty lines give tracebacks the line numbers of the page.
            source = "\n" * (block.line - 1) + block.code
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(source, str(pages.ROOT / page), "exec"), names)
            printed = output.getvalue()


if __name__ == "__main__":
    sys.path.insert(0, str(pages.ROOT / "tests"))  # for the servers of hidden blocks
    try:
        main(sys.argv[1])
    except pytest.skip.Exception as missing:
        print(missing)
        sys.exit(SKIPPED)
