"""Every driver of Cinder: ``make drivers``."""

from __future__ import annotations

import pytest
from table import Table


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--document", action="store_true", help="write the table of docs/drivers.md")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Table(config), "drivers-table")
