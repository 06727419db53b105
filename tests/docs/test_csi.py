"""The page about CSI's error conditions: its tests exist, and its errors have the listed codes."""

from __future__ import annotations

import ast
import re

import pages
import pytest

from cinderlib import errors

_ROW = re.compile(r"\| .+? \| .+? \| `([A-Z_]+)` \| `(\w+)` \| `(.+?)::(\w+)` \|")
_LINES = (pages.ROOT / "docs/csi-errors.md").read_text().splitlines()
ROWS = [row for line in _LINES if (row := _ROW.fullmatch(line))]
_CONDITION = re.compile(
    r"\| (\w+) \| ([^|]+) \| `([A-Z_]+)` \| (?:`([^|`]+)::(\w+)`|([^`|][^|]+)) \|"
)
CONDITIONS = [row for line in _LINES if (row := _CONDITION.fullmatch(line))]
#: The codes in the error tables of CSI 1.13, without those of changed blocks.
SPECIFIED = {
    "any": "INVALID_ARGUMENT INVALID_ARGUMENT PERMISSION_DENIED ABORTED UNIMPLEMENTED"
    " UNAUTHENTICATED",
    "Probe": "FAILED_PRECONDITION FAILED_PRECONDITION",
    "CreateVolume": "INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS RESOURCE_EXHAUSTED OUT_OF_RANGE",
    "DeleteVolume": "FAILED_PRECONDITION",
    "ControllerPublishVolume": "NOT_FOUND NOT_FOUND ALREADY_EXISTS FAILED_PRECONDITION"
    " RESOURCE_EXHAUSTED",
    "ControllerUnpublishVolume": "NOT_FOUND NOT_FOUND",
    "ValidateVolumeCapabilities": "NOT_FOUND",
    "ListVolumes": "ABORTED",
    "ControllerGetVolume": "NOT_FOUND",
    "ControllerModifyVolume": "INVALID_ARGUMENT NOT_FOUND",
    "CreateSnapshot": "ALREADY_EXISTS ABORTED RESOURCE_EXHAUSTED",
    "DeleteSnapshot": "INVALID_ARGUMENT FAILED_PRECONDITION ABORTED",
    "ListSnapshots": "ABORTED",
    "GetSnapshot": "NOT_FOUND",
    "ControllerExpandVolume": "INVALID_ARGUMENT NOT_FOUND FAILED_PRECONDITION OUT_OF_RANGE",
    "CreateVolumeGroupSnapshot": "ALREADY_EXISTS FAILED_PRECONDITION RESOURCE_EXHAUSTED",
    "DeleteVolumeGroupSnapshot": "INVALID_ARGUMENT FAILED_PRECONDITION",
    "GetVolumeGroupSnapshot": "INVALID_ARGUMENT NOT_FOUND",
    "NodeStageVolume": "NOT_FOUND ALREADY_EXISTS FAILED_PRECONDITION",
    "NodeUnstageVolume": "NOT_FOUND",
    "NodePublishVolume": "NOT_FOUND ALREADY_EXISTS FAILED_PRECONDITION FAILED_PRECONDITION",
    "NodeUnpublishVolume": "NOT_FOUND",
    "NodeGetVolumeStats": "NOT_FOUND",
    "NodeExpandVolume": "INVALID_ARGUMENT NOT_FOUND FAILED_PRECONDITION OUT_OF_RANGE",
}


def test_the_table_has_rows() -> None:
    assert len(ROWS) > 30


def test_each_row_of_the_specification_is_listed() -> None:
    listed: dict[str, str] = {}
    for row in CONDITIONS:
        listed[row[1]] = f"{listed.get(row[1], '')} {row[3]}".lstrip()
    assert listed == SPECIFIED


@pytest.mark.parametrize("row", [row for row in CONDITIONS if row[5]], ids=lambda row: row[0][:60])
def test_a_condition_has_its_test(row: re.Match[str]) -> None:
    source = (pages.ROOT / row[4]).read_text()
    (test,) = [
        each
        for each in ast.walk(ast.parse(source))
        if isinstance(each, ast.FunctionDef) and each.name == row[5]
    ]
    # The test itself, or a function that it calls, expects the code.
    assert row[3] in source
    assert test.body


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[2]}-{row[4]}")
def test_a_row_matches_the_code(row: re.Match[str]) -> None:
    code, error, file, test = row.groups()
    assert getattr(errors, error).code == code
    source = (pages.ROOT / file).read_text()
    tests = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert test in tests
    # The test shows this error or a subclass.
    assert error in source
