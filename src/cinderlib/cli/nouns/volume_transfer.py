"""``cinderlib volume export`` and ``import``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import (
    completing,
    find,
    items,
    naming,
    options,
    sizes,
    streaming,
    views,
)
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.cli import transfer
    from cinderlib.streams.device import Device
    from cinderlib.streams.format import Reader

_GIB = 1024**3
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@click.command("export", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--stream", is_flag=True, help="Write a stream instead of a raw image.")
@click.option(
    "--since",
    metavar="SNAPSHOT",
    help="Write a stream with the changes since this snapshot.",
    shell_complete=completing.snapshots,
)
@pass_app
def export(app: App, volume: str, file: str, stream: bool, since: str | None) -> None:
    """Write the content of a volume to a raw image, or to a stream.

    FILE must not exist; it is sparse, and is removed if the export fails. - writes to standard
    output. The volume must not be in use: create a snapshot, and use `snapshot export`.
    """
    from cinderlib.cli import transfer

    found = find.volume(app.controller, volume)
    if stream or since is not None:
        app.backend_of(found)
        streaming.export(app, found, file, since, f"volume {volume}")
        return
    with (
        app.working(f"Exporting {volume}"),
        _device(app, found) as device,
        streaming.target(file) as target,
    ):
        sparse = file != "-"
        copied = transfer.export(device, target, sparse=sparse, report=app.show_progress)
    data = sizes.of_bytes(copied.data_bytes)
    size = sizes.of_bytes(copied.size_bytes)
    app.say(f"Exported volume {volume}: {size}, {data} of data, SHA-256 {copied.sha256}.")
    if app.as_json and file != "-":
        app.write({"id": found.id, "file": file, **dataclasses.asdict(copied)})


@contextlib.contextmanager
def _device(app: App, volume: cl.Volume, *, writable: bool = False) -> Iterator[Device]:
    """Attach a volume, and detach it at the end."""
    from cinderlib.streams.device import Device

    if volume.connections:
        raise errors.InvalidVolume(
            f"Volume {volume.name or volume.id} is connected to a host, so its content can change:"
            " disconnect it, or create a snapshot and a volume from the snapshot",
            resource=volume.id,
        )
    app.backend_of(volume)
    with (
        volume.attached() as connection,
        Device(connection.path, writable=writable) as device,
    ):
        yield device


@click.command("import", cls=Command)
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.argument("size", type=sizes.Size(), required=False)
@options.backend
@click.option("--pool", help="The pool of the volume; by default the backend's first.")
@options.described
@click.option("--bootable", is_flag=True, default=None, help="Mark the volume as bootable.")
@click.option("--sha256", metavar="HEX", help="The expected SHA-256 checksum of the image.")
@click.option("--allow-duplicate", is_flag=True, help="Allow a name that is already in use.")
@single(views.VOLUMES)
@pass_app
def import_(
    app: App,
    /,
    name: str,
    file: IO[bytes],
    size: float | None,
    backend: str | None,
    sha256: str | None,
    allow_duplicate: bool,
    **fields: Any,
) -> None:
    """Create a volume NAME from a raw image or a stream.

    FILE is a file or block device; - reads standard input. SIZE is that of FILE if it is omitted,
    and required for a raw image on standard input. The volume is deleted if the import fails.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise click.UsageError(
            f"{shown(sha256)} is not a SHA-256 checksum (64 hexadecimal digits)."
        )
    source, stream = streaming.opened(file)
    if stream is not None and sha256 is not None:
        raise click.UsageError("A stream has its own checksums: omit --sha256.")
    if stream is not None and stream.header.since is not None:
        raise errors.InvalidInput(
            f"The stream has only the changes since {stream.header.since}: import the stream with"
            " the whole content, then write the changes with `volume apply`"
        )
    total = _size(file) if stream is None else stream.header.size
    if size is None and total is None:
        raise click.UsageError("Specify SIZE, because the size of standard input is not known.")
    wanted = -(-(total or 0) // _GIB) if size is None else size
    if total is not None and total > wanted * _GIB:
        raise errors.InvalidInput(
            f"The image has {sizes.of_bytes(total)}, more than {sizes.of_gib(wanted)}"
        )
    app.may_create_store()
    backend = app.configuration.only_backend() if backend is None else backend
    fields["pool_name"] = fields.pop("pool")
    given = {field: value for field, value in fields.items() if value is not None}
    given = naming.of_volume(
        app.controller, name, backend, {**given, "allow_duplicate": allow_duplicate}
    )
    with app.working(f"Importing {name}"):
        created = app.backend(backend).create_volume(name=name, size=max(wanted, 1), **given)
        copied = _fill(app, created, stream or source, total, sha256)
    app.say(
        f"Imported {name}: {sizes.of_bytes(total or copied.size_bytes)},"
        f" {sizes.of_bytes(copied.data_bytes)} of data, SHA-256 {copied.sha256}."
    )
    app.result({**items.volume(created), "changed": True, "sha256": copied.sha256}, created.id)


def _fill(
    app: App,
    volume: cl.Volume,
    source: Reader | transfer.Rest,
    total: int | None,
    sha256: str | None,
) -> transfer.Copied:
    """Write an image or a stream to a new volume, which is deleted if that fails."""
    from cinderlib.cli import transfer

    try:
        if not isinstance(source, transfer.Rest):
            applied = volume.apply_stream(source, progress=app.show_progress)
            return transfer.Copied(source.header.size, applied.data_bytes, applied.sha256)
        with _device(app, volume, writable=True) as device:
            copied = transfer.load(source, device, total, app.show_progress)
            if sha256 is not None and copied.sha256 != sha256.lower():
                raise errors.InvalidInput(
                    f"The SHA-256 checksum of the image is {copied.sha256}, not {sha256.lower()}"
                )
    except BaseException as exc:
        try:
            volume.delete()
        except errors.CinderlibError as failed:
            exc.add_note(f"Deleting the incomplete volume {volume.id} also failed: {failed}")
        raise
    return copied


def _size(file: IO[bytes]) -> int | None:
    """The size of a file or block device; ``None`` for pipes."""
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        return None
    return streaming.remaining(file)
