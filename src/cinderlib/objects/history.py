"""Checks of the arguments of ``history``."""

from __future__ import annotations

import datetime
from typing import Any

from cinderlib import value_checks
from cinderlib.errors import InvalidInput
from cinderlib.objects.resource import Resource


def check_query(
    resource: Any, backend: Any, since: Any, after: Any, limit: Any, running: Any
) -> dict[str, Any]:
    """The arguments of a query of the history.

    :raises InvalidInput: one of them has the wrong type.
    """
    if isinstance(resource, Resource):
        resource = resource.id
    if since is not None:
        since = value_checks.check_instance(since, datetime.datetime, "since")
        if since.tzinfo is None:
            raise InvalidInput("since must have a time zone")
    if limit is not None:
        limit = value_checks.check_whole_number(limit, "limit")
    text = value_checks.check_optional_text
    return {
        "resource": text(resource, "resource"),
        "backend": text(backend, "backend"),
        "since": since,
        "after": text(after, "after"),
        "limit": limit,
        "running": value_checks.check_flag(running, "running"),
    }
