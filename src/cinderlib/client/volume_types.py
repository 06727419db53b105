"""The volume types of a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from cinderlib.objects.volume_type import VolumeType, of_specs
from cinderlib.objects.volume_types import VolumeTypes, check_changes, check_name, described
from cinderlib.records import TypeSpecs


class RemoteVolumeTypes(VolumeTypes):
    """The methods of a :class:`cinderlib.client.controller.RemoteController`."""

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        raise NotImplementedError

    def _read(self, path: str, **query: str | None) -> Any:
        raise NotImplementedError

    def create_type(
        self,
        name: str,
        *,
        description: str = "",
        extra_specs: Mapping[str, str] | None = None,
        qos_specs: Mapping[str, str] | None = None,
        encryption: Mapping[str, str] | None = None,
    ) -> VolumeType:
        wanted = described(name, description, extra_specs, qos_specs, encryption)
        body = {
            "name": wanted.name,
            "description": wanted.description,
            "extra_specs": wanted.extra_specs,
            "qos_specs": wanted.qos_specs,
            "encryption": wanted.encryption,
        }
        return _of_answer(self._change("POST", "/v1/types", body))

    def type_specs(self, name: str | VolumeType) -> TypeSpecs:
        return msgspec.convert(self._read(_path(name)), TypeSpecs)

    def volume_type(self, name: str) -> VolumeType:
        return of_specs(self.type_specs(name))

    def types(self) -> Iterator[VolumeType]:
        yield from map(_of_answer, self._read("/v1/types"))

    def change_type(
        self,
        name: str,
        *,
        description: str | None = None,
        extra_specs: Mapping[str, str | None] | None = None,
        qos_specs: Mapping[str, str | None] | None = None,
    ) -> VolumeType:
        body = {
            "description": description,
            "extra_specs": check_changes(extra_specs, "extra_specs"),
            "qos_specs": check_changes(qos_specs, "qos_specs"),
        }
        return _of_answer(self._change("PATCH", _path(name), body))

    def delete_type(self, name: str) -> bool:
        return bool(self._change("DELETE", _path(name))["changed"])


def _path(name: Any) -> str:
    return f"/v1/types/{quote(check_name(name), safe='')}"


def _of_answer(answer: Mapping[str, Any]) -> VolumeType:
    return of_specs(msgspec.convert(answer, TypeSpecs))
