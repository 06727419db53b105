"""The arguments of a verb, and helpers of verbs: pages of lists, resources with backends."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cinderlib import errors, records, value_checks
from cinderlib.client.store import of_cursor
from cinderlib.records import Record
from cinderlib.service import requests
from cinderlib.service.roles import Peer

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from cinderlib.objects.backend import Backend
    from cinderlib.objects.replicating import Replication
    from cinderlib.objects.resource import Resource
    from cinderlib.service.backends import Source

B = TypeVar("B", bound=requests.Body)


@dataclasses.dataclass(slots=True)
class Request(Generic[B]):
    """What a verb gets.

    :ivar id: the ID, or the name of a backend or node, in the path.
    :ivar query: the query's parameters.
    :ivar span: the span of the request, if traces are enabled.
    :ivar program: the client's program, by the client's own account.
    :ivar backend: the configured backend that the verb used, for the metrics; empty before, and if
        it needs none. Never the text of a client, which could be any.
    """

    backends: Source
    peer: Peer
    id: str
    query: Mapping[str, str]
    body: B
    backend: str = ""
    span: Span | None = None
    program: str = ""

    @property
    def controller(self) -> Any:
        """The service's controller."""
        return self.backends.controller

    def loaded(self, name: str) -> Backend:
        """A backend; see :meth:`Source.loaded`."""
        self.backends.check_name(name)
        self.backend = name
        return self.backends.loaded(name)

    def failed_over(self, name: str, to: str | None) -> Replication:
        """Fail over a backend; see :meth:`Source.failed_over`."""
        self.backends.check_name(name)
        self.backend = name
        return self.backends.failed_over(name, to)

    def of_loaded(self, resource: Resource) -> Any:
        """The resource, once its backend is loaded."""
        self.loaded(resource.record.backend)
        return resource

    def stored(self, resource: Resource) -> Any:
        """The resource. Its backend may be loaded or not."""
        self._use(resource.record.backend)
        return resource

    def _use(self, backend: str) -> None:
        """Count the request for a backend. The store can have volumes of others."""
        if backend in self.backends.names:
            self.backend = backend

    def page(self, kind: type[Record], *fields: str) -> Iterator[Any]:
        """The records of a list, in the order of creation.

        :param fields: the parameters of the query that are fields of the records.
        """
        where = {field: self.query[field] for field in fields if field in self.query}
        limit = self.query.get("limit")
        after = self.query.get("after")
        last = None
        if after is not None:
            last = of_cursor(kind, after) if "," in after else self._last(kind, after)
        self._use(where.get("backend", ""))
        count = None if limit is None else whole_number(limit, "limit")
        prefix = self.query.get("name_prefix")
        if prefix is None:
            found: Iterator[Any] = self.controller.store.iterate(
                kind, where, after=last, limit=count
            )
            return found
        every = self.controller.store.iterate(kind, where, after=last)
        return itertools.islice((each for each in every if each.name.startswith(prefix)), count)

    def _last(self, kind: type[Record], id: str) -> Record:
        found: Record | None = self.controller.store.get(kind, id)
        if found is None:
            raise errors.NotFound(f"{kind.kind.capitalize()} {id!r} does not exist", resource=id)
        return found


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """Records to send in sequence, without secrets: records, or dicts for them."""

    records: Iterator[Any]


def shown(record: Record, **more: Any) -> dict[str, Any]:
    """A record without its secrets, for an answer.

    :param more: further fields of the answer.
    """
    return {**records.to_builtins(record), **more}


def removed(
    request: Request[Any], find: Callable[[], Any], remove: Callable[[Any], None]
) -> dict[str, Any]:
    """Remove a resource; succeeds if it does not exist.

    :param find: returns the resource.
    """
    try:
        found = find()
    except (errors.SnapshotNotFound, errors.VolumeNotFound):
        return {"id": request.id, "changed": False}
    remove(found)
    return {"id": request.id, "changed": found.changed}


def flag(request: Request[Any], name: str) -> bool:
    """A parameter of the query, false if it is not there.

    :raises InvalidInput: it is neither ``true`` nor ``false``.
    """
    text = request.query.get(name, "false")
    if text not in ("true", "false"):
        raise errors.InvalidInput(
            f"{name} must be 'true' or 'false', not {value_checks.shown(text)}"
        )
    return text == "true"


def whole_number(text: str, what: str) -> int:
    """The value of a parameter of the query.

    :raises InvalidInput: it is not a whole number.
    """
    if not text.isascii() or not text.isdigit():
        raise errors.InvalidInput(f"{what} must be a whole number, not {value_checks.shown(text)}")
    return int(text)
