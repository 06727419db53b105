"""New volumes with the content of an image or a stream."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any, Protocol

import click

from cinderlib import errors
from cinderlib.cli import find, naming, sizes
from cinderlib.cli.app import App
from cinderlib.streams import qcow2, raw
from cinderlib.streams.device import Device
from cinderlib.streams.format import MAGIC, Reader

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.cli.sources import Image

_GIB = 1024**3
#: What a volume contains while an image is written to it begins with this.
_POINT = "image "


@dataclasses.dataclass(frozen=True)
class Imported:
    """
    :ivar size: of the disk, in bytes.
    :ivar amount: how much data was read, as text.
    :ivar sha256: checksum of the image as it was read.
    """

    volume: cl.Volume
    size: int
    amount: str
    sha256: str


class Content(Protocol):
    """The content of an image or a stream.

    :ivar size: of the disk, in bytes; ``None`` if unknown.
    """

    size: int | None

    def prepare(self, app: App) -> contextlib.AbstractContextManager[None]:
        """Read everything that must be complete before the storage changes."""

    def fill(self, app: App, volume: cl.Volume) -> Imported:
        """Write it to a volume."""


def content(image: Image, format: str | None) -> Content:
    """The content of an image.

    :param format: ``'raw'``, ``'qcow2'``, or ``None`` for a raw image or a stream.
    :raises InvalidInput: it has another format, or is not safe to read.
    """
    if format == "qcow2":
        return _Qcow2(image)
    if format is None:
        start = image.peek(len(MAGIC))
        if start == MAGIC:
            return _Stream(image)
        if start.startswith(qcow2.MAGIC):
            raise errors.InvalidInput(
                "The image looks like qcow2: add --format qcow2 to write the disk in it, or"
                " --format raw to write its bytes"
            )
    return _Raw(image)


def run(
    app: App, name: str, content: Content, size: float | None, given: Mapping[str, Any]
) -> Imported:
    """Create a volume with a content. It is deleted if that fails.

    :param size: in GiB; ``None`` for the size of the content.
    :param given: the options for the new volume.
    """
    if size is None and content.size is None:
        raise click.UsageError("Specify SIZE, because the size of the image is not known.")
    wanted = -(-(content.size or 0) // _GIB) if size is None else size
    if content.size is not None and content.size > wanted * _GIB:
        raise errors.InvalidInput(
            f"The image has {sizes.of_bytes(content.size)}, more than {sizes.of_gib(wanted)}"
        )
    app.may_create_store()
    fields = {field: value for field, value in given.items() if value is not None}
    backend = fields.pop("backend", None) or app.configuration.only_backend()
    if "pool" in fields:
        fields["pool_name"] = fields.pop("pool")
    if fields.pop("resume", False):
        volume = _incomplete(app, name, backend)
        if content.size is not None and content.size > volume.size * _GIB:
            raise errors.InvalidInput(
                f"The image has {sizes.of_bytes(content.size)}, more than volume {name}"
            )
    else:
        fields = _named(app, name, backend, fields)
        volume = None
    with app.working(f"Importing {name}"), content.prepare(app):
        if volume is None:
            wanted = max(wanted, 1)
            volume = app.backend(backend).create_volume(name=name, size=wanted, **fields)
        else:
            _detach_leftover(app, volume)
        with _deleted_on_errors(volume):
            return content.fill(app, volume)


def _named(app: App, name: str, backend: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Check the name of the new volume."""
    try:
        return naming.of_volume(app.controller, name, backend, fields)
    except errors.AlreadyExists as exc:
        if any(map(_is_incomplete, app.controller.volumes(backend=backend, name=name))):
            exc.add_note(
                "It is the result of an import that was killed, or still runs. If it does not run,"
                " add --resume to import again, or delete the volume."
            )
        raise


def _is_incomplete(volume: cl.Volume) -> bool:
    applied = volume.applied
    return applied is not None and not applied.complete and applied.point.startswith(_POINT)


def _incomplete(app: App, name: str, backend: str) -> cl.Volume:
    """The volume of an import that was killed."""
    found = [
        each for each in app.controller.volumes(backend=backend, name=name) if _is_incomplete(each)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        error = errors.InvalidInput(f"Several imports of {name} were killed: delete the volumes")
        find.add_candidates(error, found)
        raise error
    raise errors.VolumeNotFound(
        f"No killed import of volume {name} on {backend} exists: omit --resume"
    )


def _detach_leftover(app: App, volume: cl.Volume) -> None:
    """Detach the volume from this host, to which a killed import attached it."""
    app.backend_of(volume)
    applied = volume.applied
    for each in volume.connections:
        if applied is None or each.id != applied.applied_by:
            raise errors.InvalidVolume(
                f"Volume {volume.name} is connected to a host: disconnect it first",
                resource=volume.id,
            )
        volume.detach()


@contextlib.contextmanager
def _deleted_on_errors(volume: cl.Volume) -> Iterator[None]:
    try:
        yield
    except BaseException as exc:
        try:
            volume.delete()
        except errors.CinderlibError as failed:
            exc.add_note(f"Deleting the incomplete volume {volume.id} also failed: {failed}")
        raise


@contextlib.contextmanager
def _written(volume: cl.Volume, size: int) -> Iterator[Device]:
    """The device of a volume, which is recorded as incomplete until the end of the block.

    :param size: of the content, in bytes.
    """
    id = str(uuid.uuid4())
    volume.begin_apply(id, point=f"{_POINT}{id}", size=size)
    connection = volume.attach(id=id)
    try:
        with Device.of(connection, writable=True) as device:
            yield device
        volume.finish_apply(id)
    finally:
        volume.detach()


class _Raw:
    def __init__(self, image: Image) -> None:
        self._image = image
        self.size = image.size

    @contextlib.contextmanager
    def prepare(self, app: App) -> Iterator[None]:
        """It is read while it is written."""
        yield

    def fill(self, app: App, volume: cl.Volume) -> Imported:
        with _written(volume, self.size or 0) as device:
            copied = raw.load(self._image, device, self.size, app.show_progress)
            self._image.check()
        amount = f"{sizes.of_bytes(copied.data_bytes)} of data"
        return Imported(volume, copied.size_bytes, amount, self._image.sha256)


class _Qcow2:
    def __init__(self, image: Image) -> None:
        self._image = image
        qcow2.require()
        self.size: int | None = qcow2.virtual_size(image.peek(qcow2.HEADER))
        self._file: IO[bytes] | None = None

    @contextlib.contextmanager
    def prepare(self, app: App) -> Iterator[None]:
        """The parts of an image are not in their order, so it is read from a file."""
        with self._image.on_disk(app.show_progress) as self._file:
            self._image.check()
            yield

    def fill(self, app: App, volume: cl.Volume) -> Imported:
        assert self._file is not None
        assert self.size is not None
        with _written(volume, self.size) as device:
            qcow2.load(self._file, device, app.show_progress)
        amount = f"from a file of {sizes.of_bytes(self._image.bytes_read)}"
        return Imported(volume, self.size, amount, self._image.sha256)


class _Stream:
    def __init__(self, image: Image) -> None:
        if image.is_expected:
            raise click.UsageError("A stream has its own checksums: omit --sha256.")
        self._stream = Reader(image)
        header = self._stream.header
        if header.since is not None:
            raise errors.InvalidInput(
                f"The stream has only the changes since {header.since}: import the stream with the"
                " whole content, then write the changes with `volume apply`"
            )
        self.size: int | None = header.size

    @contextlib.contextmanager
    def prepare(self, app: App) -> Iterator[None]:
        """It is read while it is written."""
        yield

    def fill(self, app: App, volume: cl.Volume) -> Imported:
        applied = volume.apply_stream(self._stream, progress=app.show_progress)
        amount = f"{sizes.of_bytes(applied.data_bytes)} of data"
        return Imported(volume, self._stream.header.size, amount, applied.sha256)
