"""The service's verb for the history."""

from __future__ import annotations

import datetime
from typing import Any

from cinderlib import errors, value_checks
from cinderlib.operations.history_query import Operation
from cinderlib.service import requests
from cinderlib.service.verb_request import Request, whole_number


def show_history(request: Request[requests.Nothing]) -> list[Operation]:
    """List the operations of the store with users, times and outcomes."""
    query = request.query
    since, limit, running = query.get("since"), query.get("limit"), query.get("running", "true")
    if running not in ("true", "false"):
        raise errors.InvalidInput(
            f"running must be 'true' or 'false', not {value_checks.shown(running)}"
        )
    found: Any = request.controller.history(
        query.get("resource"),
        backend=query.get("backend"),
        since=None if since is None else _time(since),
        after=query.get("after"),
        limit=None if limit is None else whole_number(limit, "limit"),
        running=running == "true",
    )
    return list(found)


def _time(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        raise errors.InvalidInput(
            "since must be a time such as 2026-01-31T12:00:00+00:00, not"
            f" {value_checks.shown(text)}"
        ) from None
