"""What the objects of a service have in common: their path, and the requests that change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

from cinderlib import errors, records
from cinderlib.objects.backend import Backend
from cinderlib.objects.resource import Resource
from cinderlib.objects.volume import Volume
from cinderlib.records import VolumeRecord

if TYPE_CHECKING:
    from cinderlib.client.store import RemoteStore
    from cinderlib.node.this_host import LocalHost

#: Fields of which only the keys that were set or removed are written.
_KEY_BY_KEY = ("metadata", "admin_metadata")


class Service(Protocol):
    """What the objects need of the controller that they belong to."""

    store: RemoteStore
    local_host: LocalHost

    @property
    def is_local(self) -> bool: ...

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any: ...

    def _read(self, path: str, **query: str | None) -> Any: ...

    def local_connector(self, backend: Backend) -> dict[str, Any]: ...

    def peek_volume(self, volume_id: str) -> VolumeRecord | None: ...

    def volume(self, volume_id: str) -> Volume: ...

    def wrap(self, record: Any) -> Any: ...


class RemoteResource(Resource):
    """Base of the objects: a path in the service."""

    _collection: str

    @property
    def _service(self) -> Service:
        return cast(Service, self._controller)

    def _path(self, verb: str = "") -> str:
        path = f"/v1/{self._collection}/{quote(self.id, safe='')}"
        return f"{path}/{verb}" if verb else path

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        with self._named():
            answer = self._service._change(method, path, body)
        if isinstance(answer, dict):
            self.changed = answer.pop("changed", None)
        return answer

    def _document(self, *, related: bool) -> Any:
        raise errors.Unsupported(
            "Documents contain keys and are not made through the service: use `cinderlib store"
            " dump`, or connection_info to attach a connection"
        )

    def save(self) -> None:
        """Write the fields that were set since it was read, and only these."""
        before, after = self._record, self._pending()
        changes: dict[str, Any] = {}
        for name in (*self._edited,):
            old, new = getattr(before, name), getattr(after, name)
            if name in _KEY_BY_KEY and old != new:
                # Other writers may have set other keys meanwhile.
                changes[f"{name}_changes"] = {
                    key: new.get(key)
                    for key in old.keys() | new.keys()
                    if old.get(key) != new.get(key)
                }
            elif old != new:
                changes[name] = new
        if changes:
            self._adopt(
                records.from_builtins(self._kind, self._change("PATCH", self._path(), changes))
            )
        else:
            self.refresh()
