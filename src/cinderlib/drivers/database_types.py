"""Volume types, QoS specs and initiator data in Cinder's database interface."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cinder import exception

from cinderlib.drivers import rows
from cinderlib.drivers.database_base import Part
from cinderlib.drivers.rows import Row
from cinderlib.errors import StaleRecord
from cinderlib.persistence import volume_types
from cinderlib.persistence.base import Put
from cinderlib.records import KeyValueRecord, TypeSpecs, replace


class Types(Part):
    """Functions of ``cinder.db.api`` about volume types, QoS specs and initiators."""

    # --- volume types and their QoS specs, which have the ID of the type: see rows.type_id

    def volume_type_get(
        self,
        context: Any,
        id: str,
        inactive: bool = False,
        expected_fields: Iterable[str] | None = None,
    ) -> Row:
        return rows.volume_type(self._of_type(id))

    def volume_type_get_by_name(self, context: Any, name: str) -> Row:
        found = self._view.volume_type(volume_types.id_of(name)) or self._view.volume_type(name)
        if found is None:
            raise exception.VolumeTypeNotFoundByName(volume_type_name=name)
        return rows.volume_type(found)

    def volume_type_extra_specs_get(self, context: Any, volume_type_id: str) -> dict[str, str]:
        return dict(self._of_type(volume_type_id).extra_specs)

    def volume_type_qos_specs_get(self, context: Any, type_id: str) -> dict[str, Row | None]:
        specs = self._of_type(type_id)
        return {"qos_specs": rows.qos_specs(specs) if specs.qos_specs else None}

    def volume_type_encryption_get(self, context: Any, volume_type_id: str) -> None:
        """This library does not encrypt volumes."""

    def volume_type_access_get_all(self, context: Any, type_id: str) -> list[Row]:
        return []

    def project_default_volume_type_get(self, context: Any, project_id: str | None = None) -> None:
        """No project has a default type."""

    def qos_specs_get(self, context: Any, qos_specs_id: str, inactive: bool = False) -> Row:
        specs = self._view.volume_type(qos_specs_id)
        if specs is None or not specs.qos_specs:
            raise exception.QoSSpecsNotFound(specs_id=qos_specs_id)
        return rows.qos_specs(specs)

    def qos_specs_associations_get(self, context: Any, qos_specs_id: str) -> list[Row]:
        specs = self._view.volume_type(qos_specs_id)
        return [rows.volume_type(specs)] if specs is not None and specs.qos_specs else []

    def _of_type(self, id: str) -> TypeSpecs:
        specs = self._view.volume_type(id)
        if specs is None:
            raise exception.VolumeTypeNotFound(volume_type_id=id)
        return specs

    # --- the drivers' data about initiators: a key-value record for each initiator

    def driver_initiator_data_get(
        self, context: Any, initiator: str, namespace: str | None
    ) -> list[Row]:
        return [
            Row({"initiator": initiator, "namespace": namespace, "key": key, "value": value})
            for key, value in _notes(self._initiator(initiator, namespace)).items()
        ]

    def driver_initiator_data_insert_by_key(
        self, context: Any, initiator: str, namespace: str | None, key: str, value: Any
    ) -> Row:
        store = self._view.scopes()[0].store
        while True:
            record = self._initiator(initiator, namespace)
            notes = _notes(record)
            if key in notes:
                raise exception.DriverInitiatorDataExists(
                    initiator=initiator, namespace=namespace, key=key
                )
            try:
                store.apply(Put(replace(record, value=json.dumps({**notes, key: value}))))
            except StaleRecord:
                continue  # another thread changed the record: read it again
            return Row({"initiator": initiator, "namespace": namespace, "key": key, "value": value})

    def _initiator(self, initiator: str, namespace: str | None) -> KeyValueRecord:
        key = f"cinder/initiator/{namespace or ''}/{initiator}"
        store = self._view.scopes()[0].store
        return store.get(KeyValueRecord, key) or KeyValueRecord(id=key)

    # --- tables without records in this library; drivers accept an empty answer

    def image_volume_cache_get_by_volume_id(self, context: Any, volume_id: str) -> None:
        """This library does not cache images."""

    def image_volume_cache_get_all(self, context: Any, **filters: Any) -> list[Row]:
        return []

    def service_get(self, context: Any, service_id: Any = None, **filters: Any) -> Row:
        raise exception.ServiceNotFound(service_id=service_id, host=filters.get("host"))

    def service_get_all(self, context: Any, **filters: Any) -> list[Row]:
        return []


def _notes(record: KeyValueRecord) -> dict[str, Any]:
    text = record.reveal()
    notes = json.loads(text) if text else {}
    return notes if isinstance(notes, dict) else {}
