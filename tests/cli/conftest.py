"""The command in a folder of its own."""

from __future__ import annotations

import pathlib

import pytest
from cli.command import Command


@pytest.fixture
def cinderlib(tmp_path: pathlib.Path) -> Command:
    return Command(tmp_path)
