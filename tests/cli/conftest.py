"""The command in a new folder for each test."""

from __future__ import annotations

import pathlib

import pytest
from cli.command import Command


@pytest.fixture
def cinderlib(tmp_path: pathlib.Path) -> Command:
    return Command(tmp_path)
