"""What the service does for requests about the replication of backends; see :mod:`.verbs`."""

from __future__ import annotations

import dataclasses
from typing import Any

from cinderlib.service import requests
from cinderlib.service.verb_request import Request


def show(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Show which storage a backend uses, and whether it is frozen."""
    return dataclasses.asdict(request.loaded(request.id).replication)


def fail_over(request: Request[requests.FailOver]) -> dict[str, Any]:
    """Let a backend use the replicas of the volumes, or its own storage again."""
    return dataclasses.asdict(request.failed_over(request.id, request.body.to))


def freeze(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Refuse operations that create, change or delete volumes and snapshots of a backend."""
    return dataclasses.asdict(request.loaded(request.id).freeze())


def thaw(request: Request[requests.Nothing]) -> dict[str, Any]:
    """Allow operations on a frozen backend again."""
    return dataclasses.asdict(request.loaded(request.id).thaw())
