"""The command in a new folder for each test: alone, and with a service."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from cli.command import Command
from cli.with_service import CommandWithService


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cinderlib" in metafunc.fixturenames:
        modes = ["alone", pytest.param("service", marks=pytest.mark.slow)]
        alone = metafunc.definition.get_closest_marker("alone")
        metafunc.parametrize("cinderlib", modes[:1] if alone else modes, indirect=True)


@pytest.fixture
def cinderlib(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Command]:
    if request.param == "alone":
        yield Command(tmp_path)
        return
    command = CommandWithService(tmp_path)
    yield command
    command.close()
