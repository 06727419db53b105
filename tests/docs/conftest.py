"""Reports after the tests how much of the code in the documentation ran, and why some did not."""

from __future__ import annotations

import pages
import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    blocks = [block for page in pages.pages() for block in pages.read(page)]
    left_out = [block for block in blocks if block.not_run]
    terminalreporter.section("code in the documents")
    terminalreporter.line(f"{len(blocks) - len(left_out)} blocks run, {len(left_out)} not:")
    for block in left_out:
        terminalreporter.line(f"  {block.where}: {block.not_run}")
