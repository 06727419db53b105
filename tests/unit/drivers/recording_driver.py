"""A driver that records the properties that it receives with each new volume."""

from cinder.volume import volume_types

from cinderlib.drivers.file.driver import FileDriver


class RecordingDriver(FileDriver):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.recorded = []

    def create_volume(self, volume):
        self.recorded.append(
            {
                "extra_specs": dict(volume.volume_type.extra_specs),
                "specs_by_type_id": volume_types.get_volume_type_extra_specs(volume.volume_type_id),
                "qos_specs": volume_types.get_volume_type_qos_specs(volume.volume_type_id),
                "metadata": dict(volume.metadata),
            }
        )
        return super().create_volume(volume)
