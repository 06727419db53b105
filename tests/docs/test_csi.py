"""The page about CSI's error conditions: its tests exist, and its errors have the listed codes."""

from __future__ import annotations

import ast
import re

import pages
import pytest

from cinderlib import errors

_ROW = re.compile(r"\| .+? \| .+? \| `([A-Z_]+)` \| `(\w+)` \| `(.+?)::(\w+)` \|")
ROWS = [
    row
    for line in (pages.ROOT / "docs/csi-errors.md").read_text().splitlines()
    if (row := _ROW.fullmatch(line))
]


def test_the_table_has_rows() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[2]}-{row[4]}")
def test_a_row_matches_the_code(row: re.Match[str]) -> None:
    code, error, file, test = row.groups()
    assert getattr(errors, error).code == code
    source = (pages.ROOT / file).read_text()
    tests = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert test in tests
    # The test shows this error or a subclass.
    assert error in source
