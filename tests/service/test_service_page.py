"""docs/service.md describes all requests, options and roles of the service."""

from __future__ import annotations

import inspect
import pathlib

import msgspec

from cinderlib.cli.schema import ServiceTable
from cinderlib.service.roles import Role
from cinderlib.service.routes import ROUTES

PAGE = (pathlib.Path(__file__).parents[2] / "docs/service.md").read_text()


def test_each_request_is_in_the_table() -> None:
    for route in ROUTES:
        text = (inspect.getdoc(route.verb) or "").partition("\n\n")[0].replace("\n", " ")
        assert f"| `{route.method} {route.path}` | `{route.role.value}` | {text} |" in PAGE


def test_each_option_is_in_the_table() -> None:
    for field in msgspec.structs.fields(ServiceTable):
        assert f"`{field.name}`" in PAGE


def test_each_role_is_in_the_table() -> None:
    assert all(f"| `{role.value}` |" in PAGE for role in Role)
