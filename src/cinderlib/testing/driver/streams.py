"""Tests of extents, and of streams with the content or the changes of volumes."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.driver.base import GIB, DriverTests, needs

#: Bytes that a stream may have in addition to the written data.
_OVERHEAD = 1 << 20


class StreamTests(DriverTests):
    """Extents cover the written data, and streams give another volume the same data."""

    def _is_native(self, backend: Any) -> bool:
        return bool(backend.capabilities()["snapshot.extents"].way == "native")

    @needs("snapshot")
    def test_extents_cover_all_bytes_or_the_changes(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        empty = volume.create_snapshot()
        with self._attached(volume) as device:
            pattern = self._write(device)
        written = volume.create_snapshot()
        for found in (list(volume.extents()), list(written.extents())):
            assert sum(each.length for each in found) == self.size * GIB
            assert [each.offset for each in found] == sorted(each.offset for each in found)
        changed = [each for each in written.extents(since=empty) if each.kind == "data"]
        if device is not None:
            for offset in pattern.offsets:
                assert any(e.offset <= offset < e.offset + e.length for e in changed)
        if self._is_native(backend):
            assert sum(each.length for each in changed) < self.size * GIB // 2
            assert list(volume.extents(since=written)) == []

    @needs("snapshot", "attach")
    def test_streams_give_another_volume_the_same_data(self, backend: Any) -> None:
        volume, target = backend.create_volume(self.size), backend.create_volume(self.size)
        with self._attached(volume) as device:
            old = self._write(device)
        first = volume.create_snapshot()
        whole, changes = io.BytesIO(), io.BytesIO()
        first.export_stream(whole)
        target.apply_stream(io.BytesIO(whole.getvalue()))
        with self._attached(volume) as device:
            new = self._write(device)
        second = volume.create_snapshot()
        exported = second.export_stream(changes, since=first)
        if self._is_native(backend):
            assert len(changes.getvalue()) < old.length + _OVERHEAD
        assert target.apply_stream(io.BytesIO(changes.getvalue())).point == exported.point
        with self._attached(target) as device:
            self._check(device, new)
        # Another program could have written to the volume now.
        third = volume.create_snapshot()
        changes = io.BytesIO()
        third.export_stream(changes, since=second)
        with pytest.raises(errors.InvalidVolume):
            target.apply_stream(io.BytesIO(changes.getvalue()))
        assert len(list(backend.volumes)) == 2
