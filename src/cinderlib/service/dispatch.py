"""Finds the endpoint of a request by its path, without trying one pattern after another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

E = TypeVar("E")

_ID = "{id}"


class Table(Generic[E]):
    """Endpoints by method and path.

    :param entries: method, path, which may contain ``{id}`` once, endpoint.
    """

    def __init__(self, entries: Iterable[tuple[str, str, E]]) -> None:
        self._endpoints: dict[tuple[str, str, str], tuple[bool, E]] = {}
        for method, path, endpoint in entries:
            before, has_id, after = path.partition(_ID)
            self._endpoints[method, before, after] = bool(has_id), endpoint

    def find(self, method: str, path: str) -> tuple[E, str] | None:
        """The endpoint of a request, and the ID in its path, or an empty text.

        :returns: ``None`` if there is no such endpoint.
        """
        parts = path.split("/", 4)  # '', 'v1', a kind of resource, an ID, the rest
        found = self._endpoints.get((method, path, ""))
        if found is not None and not found[0]:
            return found[1], ""
        if len(parts) < 4 or not parts[3]:
            return None
        after = f"/{parts[4]}" if len(parts) == 5 else ""
        found = self._endpoints.get((method, f"/{parts[1]}/{parts[2]}/", after))
        return None if found is None else (found[1], parts[3])
