"""A Cinder driver for LIO's Fibre Channel target, because Cinder has none: the volumes are those of
Cinder's LVM driver. The program ``fc-target`` must have exported the ports."""

from cinder import coordination, interface
from cinder.common import constants
from cinder.volume.drivers import lvm
from cinder.volume.targets import driver
from rtslib_fb import (
    LUN,
    BlockStorageObject,
    FabricModule,
    MappedLUN,
)


def _groups():
    return [group for target in FabricModule("tcm_fc").targets for group in target.tpgs]


def _luns(name):
    """The LUNs of a volume, on each port."""
    return [lun for group in _groups() for lun in group.luns if lun.storage_object.name == name]


class FibreChannelTarget(driver.Target):
    """Exports a volume when it is first connected, and removes the export with the last host."""

    storage_protocol = constants.FC

    def ensure_export(self, context, volume, volume_path):
        pass

    def create_export(self, context, volume, volume_path):
        return {"location": "", "auth": ""}

    def validate_connector(self, connector):
        return bool(connector.get("wwpns"))

    @coordination.synchronized("fibre-channel-target")
    def initialize_connection(self, volume, connector):
        groups = _groups()
        luns = _luns(volume.name)
        if not luns:
            # A volume has the same number on all ports.
            used = {lun.lun for group in groups for lun in group.luns}
            number = next(number for number in range(1, 256) if number not in used)
            group_name = self.configuration.volume_group
            storage = BlockStorageObject(volume.name, dev=f"/dev/{group_name}/{volume.name}")
            luns = [LUN(group, number, storage) for group in groups]
        ports = {}
        for lun in luns:
            group = lun.parent_tpg
            for acl in group.node_acls:
                initiator = acl.node_wwn.removeprefix("naa.")
                if initiator not in connector["wwpns"]:
                    continue
                if volume.name not in (
                    each.tpg_lun.storage_object.name for each in acl.mapped_luns
                ):
                    MappedLUN(acl, lun.lun, lun)
                ports[initiator] = [group.parent_target.wwn.removeprefix("naa.")]
        return {
            "driver_volume_type": "fibre_channel",
            "data": {
                "target_discovered": True,
                "target_lun": luns[0].lun,
                "target_wwn": sorted(port for each in ports.values() for port in each),
                "initiator_target_map": ports,
                "volume_id": volume.id,
            },
        }

    @coordination.synchronized("fibre-channel-target")
    def terminate_connection(self, volume, connector, **kwargs):
        luns = _luns(volume.name)
        for lun in luns:
            for mapped in list(lun.mapped_luns):
                wwpn = mapped.parent_nodeacl.node_wwn.removeprefix("naa.")
                if connector is None or wwpn in connector["wwpns"]:
                    mapped.delete()
        if not any(list(lun.mapped_luns) for lun in luns):
            self._remove(luns)

    @coordination.synchronized("fibre-channel-target")
    def remove_export(self, context, volume):
        self._remove(_luns(volume.name))

    def _remove(self, luns):
        storages = {lun.storage_object.name: lun.storage_object for lun in luns}
        for lun in luns:
            lun.delete()
        for storage in storages.values():
            storage.delete()


@interface.volumedriver
class FibreChannelLVMDriver(lvm.LVMVolumeDriver):
    """Logical volumes over Fibre Channel. Its option ``target_helper`` must be ``fake``."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.target_driver = FibreChannelTarget(
            configuration=self.configuration, executor=self._execute
        )
        self.protocol = constants.FC
