"""Tests of attached volumes and their data."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.device import MIB, Device
from cinderlib.testing.driver.base import GIB, DriverTests, needs


class DataTests(DriverTests):
    """Data survives a detach and an extend."""

    @needs("attach")
    def test_data_survives_detach_and_attach(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            device = Device(attachment.path)
            assert device.size == self.size * GIB
            if "block_device" in self.supports:
                assert stat.S_ISBLK(Path(attachment.path).stat().st_mode)
            pattern = self._write(device)
            volume.refresh()
            assert (volume.status, volume.attach_status) == ("in-use", "attached")
        volume.refresh()
        assert (volume.status, volume.attach_status) == ("available", "detached")
        with volume.attached() as attachment:
            self._check(Device(attachment.path), pattern)

    @needs("attach")
    def test_repeated_attach_returns_the_same_device(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        first, second = volume.attach(), volume.attach()
        assert first.id == second.id
        if isinstance(first.path, str):
            assert first.path == second.path
        assert len(volume.connections) == 1
        volume.detach()
        assert volume.connections == []

    @needs("attach", "read_only")
    def test_read_only_attachment_refuses_writes(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
        connection = volume.connect(self.connector(backend), attach_mode="ro")
        connection.attach()
        device = Device(connection.path)
        self._check(device, pattern)
        with pytest.raises(Exception, match=r"(?i)read.only|not permitted|denied"):
            device.write(0, b"overwritten")
        self._check(device, pattern)
        connection.detach()
        volume.disconnect(connection)

    @needs("attach")
    def test_two_volumes_are_attached_at_the_same_time(self, backend: Any) -> None:
        one, two = backend.create_volume(self.size), backend.create_volume(self.size)
        with one.attached() as first, two.attached() as second:
            patterns = self._write(Device(first.path)), self._write(Device(second.path))
            self._check(Device(first.path), patterns[0])
            self._check(Device(second.path), patterns[1])

    @needs("attach")
    def test_wiped_volume_has_only_zeros(self, backend: Any) -> None:
        volume, other = backend.create_volume(self.size), backend.create_volume(self.size)
        with volume.attached() as attachment, other.attached() as another:
            self._write(Device(attachment.path))
            kept = self._write(Device(another.path))
        volume.wipe()
        assert (volume.status, volume.attach_status, volume.connections) == (
            "available", "detached", []
        )  # fmt: skip
        with volume.attached() as attachment, other.attached() as another:
            device = Device(attachment.path)
            for offset in range(0, device.size, 64 * MIB):
                length = min(64 * MIB, device.size - offset)
                assert device.read(offset, length).count(0) == length
            self._check(Device(another.path), kept)
            with pytest.raises(errors.InvalidVolume):
                volume.wipe()
            self._check(Device(another.path), kept)

    @needs("extend")
    def test_extend_keeps_the_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        assert volume.extend(self.size + 1) == (self.size + 1) * GIB
        assert volume.size == self.size + 1
        with self._attached(volume) as device:
            self._check(device, pattern, size=self.size + 1)

    @needs("extend_attached")
    def test_extend_resizes_the_device_of_an_attached_volume(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
            assert volume.extend(self.size + 1) == (self.size + 1) * GIB
            self._check(device, pattern, size=self.size + 1)
            self._write(device, self.size + 1)
            assert volume.status == "in-use"

    @needs("extend")
    def test_volume_cannot_shrink(self, backend: Any) -> None:
        volume = backend.create_volume(self.size + 1)
        with pytest.raises(errors.InvalidInput):
            volume.extend(self.size)
        assert volume.extend(self.size + 1) == (self.size + 1) * GIB
        volume.refresh()
        assert (volume.size, volume.status) == (self.size + 1, "available")

    @needs("snapshot", "clone")
    def test_copy_cannot_be_smaller(self, backend: Any) -> None:
        volume = backend.create_volume(self.size + 1)
        snapshot = volume.create_snapshot()
        with pytest.raises(errors.InvalidInput):
            volume.clone(size=self.size)
        with pytest.raises(errors.InvalidInput):
            snapshot.create_volume(size=self.size)
        assert [v.id for v in backend.volumes] == [volume.id]
