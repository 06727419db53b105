"""A driver that notes what it is told about each new volume."""

from cinder.volume import volume_types

from cinderlib.drivers.file.driver import FileDriver


class RecordingDriver(FileDriver):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.told = []

    def create_volume(self, volume):
        self.told.append(
            {
                "extra_specs": dict(volume.volume_type.extra_specs),
                "asked_by_id": volume_types.get_volume_type_extra_specs(volume.volume_type_id),
                "qos_specs": volume_types.get_volume_type_qos_specs(volume.volume_type_id),
                "metadata": dict(volume.metadata),
            }
        )
        return super().create_volume(volume)
