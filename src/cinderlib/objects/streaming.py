"""The methods of the objects for extents, and for streams of content and changes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import IO, TYPE_CHECKING, Any, cast

from cinderlib import errors, operations, streams, value_checks
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.resource import Resource
from cinderlib.progress import Listener, ProgressReporter
from cinderlib.records import SnapshotRecord, VolumeRecord, new_id, now
from cinderlib.validation import check_point

if TYPE_CHECKING:
    from cinderlib.drivers.port_values import Extent, Extents
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.snapshot import Snapshot
    from cinderlib.objects.volume import Volume
    from cinderlib.streams.copying import Applied, Exported
    from cinderlib.streams.device import Device
    from cinderlib.streams.format import Header, Reader, Source


@dataclasses.dataclass(frozen=True)
class _Content:
    """A content to export.

    :ivar header: the fields of the stream's header that identify it.
    :ivar extents: the bytes to export.
    """

    device: Device
    header: Mapping[str, Any]
    extents: list[Extent]


class _Streamed(Resource):
    """The common part of volumes and snapshots."""

    def extents(self, since: Snapshot | None = None) -> Iterator[Extent]:
        """Which bytes are data and which are zero, or the changes since a snapshot.

        :param since: an older snapshot of the same volume. Without it, the extents cover all bytes.
            With it, all other bytes are as in that snapshot.
        :returns: the extents in the order of their offsets, queried from the driver in parts. If
            the driver cannot list them (see ``snapshot.extents`` in
            :meth:`cinderlib.Backend.capabilities`), one extent of data has all bytes.
        :raises InvalidInput: ``since`` is not an older snapshot of the same volume.
        :raises InvalidVolume, InvalidSnapshot: the data cannot be read now.
        :raises DriverError: the storage failed.
        """
        offset = 0
        while True:
            part = self.list_extents(since, offset=offset)
            yield from part.found
            if part.end <= offset:
                return
            offset = part.end

    def list_extents(self, since: Snapshot | None = None, *, offset: int = 0) -> Extents:
        """One part of :meth:`extents`.

        :param offset: the first byte; the ``end`` of the previous part.
        :returns: the extents, and the first byte after this part: ``offset`` if it is the end of
            the volume.
        """
        base = None if since is None else check_resource(since, self._snapshots(), "since").id
        value_checks.check_whole_number(offset, "offset")
        with self._named():
            return self._part_of_extents(base, offset)

    def _part_of_extents(self, since_id: str | None, offset: int) -> Extents:
        raise NotImplementedError

    def _snapshots(self) -> type[Snapshot]:
        return self._controller.Snapshot

    def export_stream(
        self,
        target: IO[bytes],
        since: Snapshot | None = None,
        *,
        progress: Listener | None = None,
    ) -> Exported:
        """Write the content of the volume or snapshot, or its changes since an older snapshot, as a
        stream. :meth:`cinderlib.Volume.apply_stream` writes it to a volume of any backend.

        A volume is attached to this host meanwhile. A snapshot is read from a volume that is
        created from it, attached to this host and deleted at the end. The stream of a snapshot can
        be the base of further streams, that of a volume cannot.

        :param target: a binary file or pipe.
        :param since: an older snapshot of the same volume.
        :param progress: receives the number of bytes.
        :raises InvalidInput: ``since`` is not an older snapshot of the same volume.
        :raises InvalidVolume: the volume is connected, so its content can change.
        :raises CinderlibError: it cannot be attached or read.
        """
        value_checks.check_binary_file(target, "write", "target")
        with self._readable(since) as content:
            described = streams.format.Header(
                **content.header,
                since=None if since is None else since.id,
                data_bytes=sum(each.length for each in content.extents if each.kind == "data"),
                created_at=now().isoformat(timespec="seconds"),
            )
            report = ProgressReporter(progress)
            return streams.copying.write_stream(
                content.device, target, described, content.extents, report
            )

    def _readable(self, since: Snapshot | None) -> AbstractContextManager[_Content]:
        """The content to export. It does not change meanwhile."""
        raise NotImplementedError


class StreamedVolume(_Streamed):
    """The methods of a volume."""

    _record: VolumeRecord

    def _part_of_extents(self, since_id: str | None, offset: int) -> Extents:
        return operations.extents.of_volume(self._controller.journal, self.id, since_id, offset)

    @contextlib.contextmanager
    def _readable(self, since: Snapshot | None) -> Iterator[_Content]:
        self._refuse_connected()
        with self._attached(new_id()) as connection, streams.device.Device.of(connection) as device:
            header = {
                "point": new_id(),
                "size": device.size,
                "volume_id": self.id,
                "volume_name": self._record.name,
            }
            yield _Content(device, header, list(self.extents(since)))
            self.finish_apply(connection.id, written=False)

    def apply_stream(self, source: Source | Reader, *, progress: Listener | None = None) -> Applied:
        """Write a stream to the volume, and record which content the volume has then.

        A stream with the whole content replaces everything. A stream with changes requires that the
        stream with their base was applied last and that no other program wrote to the volume. The
        volume is attached to this host meanwhile.

        If it is interrupted, :attr:`applied` is not ``complete``, and recovery detaches the volume.
        Apply the same stream again to complete it.

        :param source: a binary file or pipe at the beginning of the stream.
        :param progress: receives the number of bytes.
        :raises InvalidVolume: the volume is connected, or does not have the base. Nothing changed.
        :raises Busy: another long call works on the volume. Nothing changed.
        :raises InvalidInput: the stream is damaged, or the volume is too small.
        :raises CinderlibError: the volume cannot be attached or written.
        """
        if isinstance(source, streams.format.Reader):
            stream = source
        else:
            value_checks.check_binary_file(source, "read", "source")
            stream = streams.format.Reader(source)
        header = stream.header
        applied = streams.copying.Applied(header.point, header.since, False)

        def write(path: Any) -> None:
            nonlocal applied
            with streams.device.Device(path, writable=True) as device:
                applied = streams.copying.apply_stream(stream, device, ProgressReporter(progress))

        self.changed = self._apply(header, write)
        return applied

    def _apply(self, header: Header, write: Callable[[Any], None]) -> bool:
        """Apply a stream through an attachment of this host.

        :param write: writes the stream to a path or a handle.
        :returns: whether it was written.
        """
        journal = self._controller.journal
        with self._named(), journal.whole_call():
            record, is_written = operations.apply_stream.apply(
                journal,
                self.id,
                lambda connection: write(journal.host.path(connection)),
                point=header.point,
                since=header.since,
                size=header.size,
            )
        self._adopt(record)
        return is_written

    def _refuse_connected(self) -> None:
        if not cast("Volume", self).connections:
            return
        raise errors.InvalidVolume(
            f"Volume {self._record.name or self.id} is connected to a host, so its content can"
            " change: disconnect it, or use a snapshot of it",
            resource=self,
        )

    @contextlib.contextmanager
    def _attached(self, connection_id: str) -> Iterator[Connection]:
        """Attach it with a new connection, and detach it at the end. An encrypted volume is not
        decrypted, so a stream has the data that is on the storage."""
        volume = cast("Volume", self)
        connection = volume.attach(id=connection_id, decrypt=False)
        try:
            if connection.id != connection_id:
                raise errors.InvalidVolume(
                    f"Volume {self.id} was connected by another program meanwhile", resource=self
                )
            yield connection
        finally:
            volume.detach()

    def begin_apply(
        self, connection_id: str, *, point: str, since: str | None = None, size: int
    ) -> bool:
        """Record that a program will write a stream to the volume by itself, for example on another
        host: it calls this, connects the volume, writes, and calls :meth:`finish_apply`.
        :meth:`apply_stream` does all of that on this host.

        :param connection_id: the ID for the connection through which it will be written.
        :param point: identifies the content after the stream.
        :param since: the content that the stream begins with; ``None`` if it has everything.
        :param size: of the exported volume, in bytes.
        :returns: whether the stream must be written: not if the volume has its content already.
        :raises InvalidVolume: the volume does not have the content that the stream begins with.
        """
        texts = value_checks.check_text(connection_id, "connection_id"), check_point(point, "point")
        base = None if since is None else check_point(since, "point")
        bytes_ = value_checks.check_whole_number(size, "size")
        return self._begin_apply(*texts, base, bytes_)

    def finish_apply(self, connection_id: str, *, written: bool = True) -> None:
        """Record that a stream was written to its end and is on the storage.

        :param written: ``False`` if the connection was only used to read.
        :raises InvalidVolume: another host was connected meanwhile.
        """
        name = value_checks.check_text(connection_id, "connection_id")
        self._finish_apply(name, value_checks.check_flag(written, "written"))

    def _begin_apply(self, connection_id: str, point: str, since: str | None, size: int) -> bool:
        with self._named():
            record, must_write = operations.streams.begin(
                *(self._controller.journal, self.id, connection_id),
                point=point, since=since, size=size,
            )  # fmt: skip
        self._adopt(record)
        return must_write

    def _finish_apply(self, connection_id: str, written: bool) -> None:
        with self._named():
            self._adopt(
                operations.streams.finish(
                    self._controller.journal, self.id, connection_id, written=written
                )
            )


class StreamedSnapshot(_Streamed):
    """The methods of a snapshot."""

    _record: SnapshotRecord

    def _part_of_extents(self, since_id: str | None, offset: int) -> Extents:
        return operations.extents.of_snapshot(self._controller.journal, self.id, since_id, offset)

    @contextlib.contextmanager
    def _readable(self, since: Snapshot | None) -> Iterator[_Content]:
        record = self._record
        header: dict[str, Any] = {
            "point": self.id,
            "size": record.volume_size * 1024**3,
            "volume_id": record.volume_id,
            "volume_name": getattr(self._controller.peek_volume(record.volume_id), "name", ""),
        }
        found = list(self.extents(since))  # also checks the arguments
        with (
            self._temporary() as volume,
            volume.attached(decrypt=False) as connection,
            streams.device.Device.of(connection) as device,
        ):
            yield _Content(device, header, found)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Volume]:
        """A volume with the data of the snapshot, which is deleted at the end."""
        snapshot = cast("Snapshot", self)
        name = f"export of snapshot {self._record.name or self.id}"[:255]
        volume = snapshot.create_volume(name=name)
        try:
            yield volume
        except BaseException as exc:
            try:
                volume.delete()
            except errors.CinderlibError as failed:
                exc.add_note(f"Deleting the temporary volume {volume.id} also failed: {failed}")
            raise
        volume.delete()
