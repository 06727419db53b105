"""``cinderlib volume export`` and ``import``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import completing, find, items, naming, options, sizes, transfer, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    import cinderlib as cl

_GIB = 1024**3
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@click.command("export", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@pass_app
def export(app: App, volume: str, file: str) -> None:
    """Write the content of a volume to a raw image.

    FILE must not exist; it is sparse, and is removed if the export fails. - writes to standard
    output. The volume must not be in use: create a snapshot, and export a volume from it.
    """
    found = find.volume(app.controller, volume)
    with app.working(f"Exporting {volume}"), _device(app, found) as device:
        if file == "-":
            stdout = sys.stdout.buffer
            copied = transfer.export(device, stdout, sparse=False, report=app.show_progress)
        else:
            with _new_file(file) as target:
                copied = transfer.export(device, target, sparse=True, report=app.show_progress)
                target.flush()
                os.fsync(target.fileno())
    data = sizes.of_bytes(copied.data_bytes)
    size = sizes.of_bytes(copied.size_bytes)
    app.say(f"Exported volume {volume}: {size}, {data} of data, SHA-256 {copied.sha256}.")
    if app.as_json and file != "-":
        app.write({"id": found.id, "file": file, **dataclasses.asdict(copied)})


@contextlib.contextmanager
def _device(app: App, volume: cl.Volume) -> Iterator[str]:
    """Attach a volume, and detach it at the end."""
    if volume.connections:
        raise errors.InvalidVolume(
            f"Volume {volume.name or volume.id} is connected to a host, so its content can change:"
            " disconnect it, or create a snapshot and a volume from the snapshot",
            resource=volume.id,
        )
    app.backend_of(volume)
    with volume.attached() as connection:
        if not isinstance(connection.path, str):
            raise errors.Unsupported(
                f"On this host, {connection.protocol} has no device, but a handle of the process"
            )
        yield connection.path


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[IO[bytes]]:
    try:
        file = open(path, "xb", opener=_private)  # noqa: SIM115 (the file is removed on errors)
    except FileExistsError:
        raise errors.AlreadyExists(
            f"{path} already exists: choose another file, or remove it first"
        ) from None
    except OSError as exc:
        raise errors.InvalidInput(f"Cannot write {path}: {exc.strerror}") from exc
    try:
        with file:
            yield file
    except BaseException:
        os.unlink(path)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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
    """Create a volume NAME with the content of a raw image.

    FILE is a file or block device; - reads standard input. SIZE is that of FILE if it is omitted,
    and required for standard input. The volume is deleted if the import fails.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise click.UsageError(
            f"{shown(sha256)} is not a SHA-256 checksum (64 hexadecimal digits)."
        )
    total = _size(file)
    if size is None and total is None:
        raise click.UsageError("Specify SIZE, because the size of standard input is not known.")
    wanted = -(-(total or 0) // _GIB) if size is None else size
    if total is not None and total > wanted * _GIB:
        raise errors.InvalidInput(
            f"The image has {sizes.of_bytes(total)}, more than {sizes.of_gib(wanted)}"
        )
    if file.seekable():
        place = file.tell()
        transfer.refuse_qcow2(file.read(4))
        file.seek(place)
    app.may_create_store()
    backend = app.configuration.only_backend() if backend is None else backend
    fields["pool_name"] = fields.pop("pool")
    given = {field: value for field, value in fields.items() if value is not None}
    given = naming.of_volume(
        app.controller, name, backend, {**given, "allow_duplicate": allow_duplicate}
    )
    with app.working(f"Importing {name}"):
        created = app.backend(backend).create_volume(name=name, size=max(wanted, 1), **given)
        copied = _fill(app, created, file, total, sha256)
    app.say(
        f"Imported {name}: {sizes.of_bytes(copied.size_bytes)},"
        f" {sizes.of_bytes(copied.data_bytes)} of data, SHA-256 {copied.sha256}."
    )
    app.result({**items.volume(created), "changed": True, "sha256": copied.sha256}, created.id)


def _fill(
    app: App, volume: cl.Volume, file: IO[bytes], total: int | None, sha256: str | None
) -> transfer.Copied:
    """Write an image to a new volume, which is deleted if that fails."""
    try:
        with _device(app, volume) as device:
            copied = transfer.load(file, device, total, app.show_progress)
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
    place = file.tell()
    size = file.seek(0, os.SEEK_END) - place
    file.seek(place)
    return size
