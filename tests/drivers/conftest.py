"""Every driver of Cinder: ``make drivers``."""

from __future__ import annotations

import pytest
from table import Table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--document", action="store_true", help="record how far drivers get, in docs/drivers.md too"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Table(config), "drivers-table")
