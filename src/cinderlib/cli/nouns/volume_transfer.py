"""``cinderlib volume export`` and ``import``."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import (
    checksums,
    completing,
    find,
    items,
    options,
    signals,
    sizes,
    streaming,
    views,
)
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.streams.device import Device

_FORMATS = click.Choice(["raw", "qcow2"])


@click.command("export", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    type=_FORMATS,
    help="The format of the image; by default raw. qcow2 requires qemu-img.",
)
@click.option("--stream", is_flag=True, help="Write a stream instead of an image.")
@click.option(
    "--since",
    metavar="SNAPSHOT",
    help="Write a stream with the changes since this snapshot.",
    shell_complete=completing.snapshots,
)
@pass_app
def export(
    app: App, volume: str, file: str, format: str | None, stream: bool, since: str | None
) -> None:
    """Write the content of a volume to an image, or to a stream.

    FILE must not exist; it is sparse, and is removed if the export fails. - writes to standard
    output. The volume must not be in use: create a snapshot, and use `snapshot export`.
    """
    from cinderlib.streams import qcow2, raw

    streams = stream or since is not None
    if streams and format is not None:
        raise click.UsageError("A stream has its own format: omit --format.")
    if format is None and not streams and file.lower().endswith((".qcow2", ".qcow")):
        raise click.UsageError(
            f"{file} is named like a qcow2 image: add --format qcow2, or --format raw to write the"
            " bytes of the volume."
        )
    if format == "qcow2":
        qcow2.require()
    found = find.volume(app.controller, volume)
    if streams:
        app.backend_of(found)
        streaming.export(app, found, file, since, f"volume {volume}")
        return
    with (
        signals.interrupting(),
        app.working(f"Exporting {volume}"),
        _device(app, found) as device,
        streaming.target(file) as target,
    ):
        if format == "qcow2":
            result, sha256 = _export_qcow2(app, device, target, file)
            size = (
                f"{sizes.of_bytes(device.size)} in a file of {sizes.of_bytes(result['file_bytes'])}"
            )
        else:
            sparse = file != "-"
            copied, sha256 = raw.export(device, target, sparse=sparse, report=app.show_progress)
            result = dataclasses.asdict(copied)
            size = (
                f"{sizes.of_bytes(copied.size_bytes)}, {sizes.of_bytes(copied.data_bytes)} of data"
            )
    app.say(f"Exported volume {volume}: {size}, SHA-256 {sha256}.")
    if app.as_json and file != "-":
        app.write(
            {"id": found.id, "file": file, "format": format or "raw", **result, "sha256": sha256}
        )


def _export_qcow2(
    app: App, device: Device, target: IO[bytes], file: str
) -> tuple[dict[str, int], str]:
    """Write a qcow2 image.

    :returns: the sizes of the disk and the file, and the checksum of the file.
    """
    from cinderlib.streams import qcow2

    with contextlib.ExitStack() as stack:
        image = target
        if file == "-":
            # The parts of an image are not written in their order.
            image = stack.enter_context(tempfile.TemporaryFile(prefix="cinderlib-"))
        qcow2.export(device, image, app.show_progress)
        image.seek(0)
        checksum = hashlib.sha256()
        while part := image.read(1 << 20):
            checksum.update(part)
        size = image.tell()
        if image is not target:
            image.seek(0)
            shutil.copyfileobj(image, target, 1 << 20)
            target.flush()
        return {"size_bytes": device.size, "file_bytes": size}, checksum.hexdigest()


@contextlib.contextmanager
def _device(app: App, volume: cl.Volume) -> Iterator[Device]:
    """Attach a volume, and detach it at the end."""
    from cinderlib.streams.device import Device

    if volume.connections:
        raise errors.InvalidVolume(
            f"Volume {volume.name or volume.id} is connected to a host, so its content can change:"
            " disconnect it, or create a snapshot and a volume from the snapshot",
            resource=volume.id,
        )
    app.backend_of(volume)
    with volume.attached(decrypt=False) as connection, Device.of(connection) as device:
        yield device


@click.command("import", cls=Command)
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.argument("size", type=sizes.Size(), required=False)
@options.backend
@click.option("--pool", help="The pool of the volume; by default the backend's first.")
@options.described
@click.option("--bootable", is_flag=True, default=None, help="Mark the volume as bootable.")
@click.option(
    "--format",
    type=_FORMATS,
    help="The format of the image. By default it is raw, unless FILE is a stream. An image is never"
    " read as qcow2 without this option, because its content could come from an untrusted user.",
)
@click.option(
    "--sha256",
    "--checksum",
    "checksum",
    metavar="HEX",
    type=checksums.Checksum(),
    help="The expected checksum of FILE: SHA-256, or SHA-512.",
)
@click.option("--allow-duplicate", is_flag=True, help="Allow a name that is already in use.")
@click.option(
    "--resume",
    is_flag=True,
    help="Import again into the volume that a killed import left.",
)
@single(views.VOLUMES)
@pass_app
def import_(
    app: App,
    /,
    name: str,
    file: str,
    size: float | None,
    format: str | None,
    checksum: tuple[str, str] | None,
    **fields: Any,
) -> None:
    """Create a volume NAME from an image or a stream.

    FILE is a file, a block device, or an http or https URL; - reads standard input. SIZE is that of
    the image if it is omitted, and required for a raw image of unknown size. Broken downloads are
    resumed. The volume is deleted if the import fails.
    """
    from cinderlib.cli import importing, sources

    with signals.interrupting(), sources.opened(file) as image:
        image.expect(checksum)
        content = importing.content(image, format)
        done = importing.run(app, name, content, size, fields)
    app.say(f"Imported {name}: {sizes.of_bytes(done.size)}, {done.amount}, SHA-256 {done.sha256}.")
    created = done.volume
    app.result({**items.volume(created), "changed": True, "sha256": done.sha256}, created.id)
