"""The page about CSI's conditions: its tests exist, its errors have the codes that it says."""

from __future__ import annotations

import ast
import re

import pages
import pytest

from cinderlib import errors

_ROW = re.compile(r"\| .+? \| .+? \| `([A-Z_]+)` \| `(\w+)` \| `(.+?)::(\w+)` \|")
ROWS = [
    row
    for line in (pages.ROOT / "docs/csi.md").read_text().splitlines()
    if (row := _ROW.fullmatch(line))
]


def test_there_are_rows() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[2]}-{row[4]}")
def test_a_row_is_true(row: re.Match[str]) -> None:
    code, error, file, test = row.groups()
    assert getattr(errors, error).code == code
    source = (pages.ROOT / file).read_text()
    tests = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert test in tests
    # What the test shows is this error, or one of the kinds that it is the root of.
    assert error in source
