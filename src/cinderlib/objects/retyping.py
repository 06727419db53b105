"""Volumes that get other specs."""

from __future__ import annotations

from collections.abc import Mapping

from cinderlib import errors, validation
from cinderlib.objects.resource import Resource
from cinderlib.objects.volume_type import VolumeType
from cinderlib.operations import retype
from cinderlib.records import TypeSpecs, VolumeRecord


class RetypedVolume(Resource):
    """The method of a volume."""

    _record: VolumeRecord

    def retype(
        self,
        type: str | VolumeType | None = None,
        *,
        extra_specs: Mapping[str, str] | None = None,
        qos_specs: Mapping[str, str] | None = None,
    ) -> None:
        """Give it other specs, on its storage too: those of a volume type, own ones, or none.
        Its encryption cannot be changed.

        If it has the specs already, nothing changes. The specs of the type can have changed since:
        a retype to the same type applies the new ones.

        :param type: the volume type.
        :param extra_specs: own extra specs, instead of a type.
        :param qos_specs: own QoS specs, instead of a type.
        :raises VolumeTypeNotFound: the type does not exist.
        :raises Unsupported: the driver cannot do it for this volume. Nothing changed.
        :raises DriverError: the storage failed. The volume can be used; its status is
            ``'error_retyping'``, because the storage has its old or its new specs. Repeat the call.
        """
        if type is None:
            target = TypeSpecs(
                id=self.id,
                extra_specs=validation.check_specs({} if extra_specs is None else extra_specs),
                qos_specs=validation.check_qos_specs({} if qos_specs is None else qos_specs),
                encryption=self._record.encryption,
            )
        elif extra_specs is None and qos_specs is None:
            target = self._controller.type_specs(type)
        else:
            raise errors.InvalidInput("Specify either a type or extra_specs and qos_specs")
        with self._named():
            record, self.changed = retype.retype(self._controller.journal, self.id, target)
            self._adopt(record)
