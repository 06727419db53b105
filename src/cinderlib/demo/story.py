"""The life of a volume, written as a user of this library would."""

from __future__ import annotations

import contextlib

import cinderlib as cl
from cinderlib.demo import filesystem as fs
from cinderlib.demo.steps import Steps

MIB = 1024**2
GIB = 1024**3
DATA = 100 * MIB


class DemoFailed(Exception):
    """The data is not the data that was written."""


def life_of_a_volume(backend: cl.Backend, steps: Steps) -> None:
    """Create, attach, write, snapshot, restore, clone, extend, detach, delete."""
    with steps("Create a volume") as note:
        volume = backend.create_volume(size=1, name="demo")
        note(f"{volume.size} GiB")

    with steps("Attach the volume") as note:
        attachment = volume.attach()
        block = fs.is_block_device(attachment.path)
        note(f"block device {attachment.path}" if block else "plain file")

    with contextlib.ExitStack() as in_use:
        with steps("Create a filesystem") as note:
            fs.make(attachment.path)
            filesystem = in_use.enter_context(fs.opened(attachment.path))
            note(filesystem.how)

        with steps(f"Write {DATA // MIB} MiB of random data") as note:
            first = filesystem.write("data", DATA)
            note(f"sha256 {first[:8]}")

        with steps("Take a snapshot") as note, filesystem.frozen():
            snapshot = volume.create_snapshot(name="before the accident")
            note(f'"{snapshot.name}"')

        with steps("Overwrite the data") as note:
            second = filesystem.write("data", DATA)
            note(f"sha256 {second[:8]}")

        restored, clone = _copies(snapshot, steps)
        for copy in (restored, clone):
            with (
                steps(f"Read the {copy.name}") as note,
                copy.attached() as attached,
                fs.opened(attached.path) as other,
            ):
                note(_found("the first data", other.checksum("data"), first))

        with steps("Extend the attached volume") as note:
            before = filesystem.size()
            volume.extend(2)
            how = filesystem.grow()
            note(f"{before / GIB:.2f} to {filesystem.size() / GIB:.2f} GiB, {how}")

        with steps("Read the volume") as note:
            note(_found("the second data", filesystem.checksum("data"), second))

    with steps("Detach the volume"):
        volume.detach()

    with steps("Delete all of them"):
        snapshot.delete()
        for each in (clone, restored, volume):
            each.delete()


def _copies(snapshot: cl.Snapshot, steps: Steps) -> tuple[cl.Volume, cl.Volume]:
    with steps("Create volume from snapshot") as note:
        restored = snapshot.create_volume(name="restored volume")
        note(f"{restored.size} GiB")
    with steps("Clone the restored volume") as note:
        clone = restored.clone(name="clone")
        note(f"{clone.size} GiB")
    return restored, clone


def _found(what: str, found: str, expected: str) -> str:
    if found != expected:
        raise DemoFailed(f"Expected {what}: sha256 is {found}, but {expected} was written")
    return f"sha256 {found[:8]}, {what}"
