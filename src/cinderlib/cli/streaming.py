"""Streams of volumes from and to files and pipes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from cinderlib import errors
from cinderlib.cli import find, sizes
from cinderlib.cli.app import App

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.cli import sources
    from cinderlib.streams.format import Reader


def export(
    app: App, source: cl.Volume | cl.Snapshot, file: str, since: str | None, what: str
) -> None:
    """Write a stream.

    :param file: the path of a new file, or ``-``.
    :param what: the volume or snapshot, for messages.
    """
    base = None if since is None else find.snapshot(app.controller, since)
    with app.working(f"Exporting {what}"), target(file) as stream:
        exported = source.export_stream(stream, base, progress=app.show_progress)
    data = sizes.of_bytes(exported.data_bytes)
    kind = f"the changes since snapshot {since}" if since else "the whole content"
    app.say(f"Exported {what}: {kind}, {data} of data, SHA-256 {exported.sha256}.")
    if app.as_json and file != "-":
        app.write({"id": source.id, "file": file, **dataclasses.asdict(exported)})


def stream_in(image: sources.Image) -> Reader | None:
    """The stream in an image; ``None`` if it does not begin like one.

    :raises InvalidInput: it is a damaged stream.
    """
    from cinderlib.streams.format import MAGIC, Reader

    return Reader(image) if image.peek(len(MAGIC)) == MAGIC else None


@contextlib.contextmanager
def target(file: str) -> Iterator[IO[bytes]]:
    """Standard output, or a new file, which is removed if the block fails.

    :param file: its path, or ``-``.
    """
    if file == "-":
        yield sys.stdout.buffer
        return
    with _new_file(file) as opened:
        yield opened
        opened.flush()
        os.fsync(opened.fileno())


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[IO[bytes]]:
    try:
        file = open(path, "x+b", opener=_private)  # noqa: SIM115 (the file is removed on errors)
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
