"""References of existing volumes and snapshots, as arguments and in tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from cinderlib.value_checks import json_object

_NAME = "source-name"


class Reference(click.ParamType[dict[str, Any]]):
    """The name on the storage, or the reference of the driver as a JSON object."""

    name = "reference"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        if not value.startswith("{"):
            return {_NAME: value}
        reference = json_object(value)
        if reference is None:
            self.fail("it begins with '{' and is not a JSON object", param, ctx)
        return reference


def text(reference: Mapping[str, Any] | None) -> str:
    """A reference in the form that the commands accept."""
    if not reference:
        return ""
    name = reference.get(_NAME)
    if len(reference) == 1 and isinstance(name, str) and not name.startswith("{"):
        return name
    return json.dumps(dict(reference))
