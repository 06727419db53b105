"""Everything around the story: a place for it, what is left out, what is left, and cleaning up."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import NoReturn

import cinderlib as cl
from cinderlib.demo import filesystem
from cinderlib.demo.steps import Steps
from cinderlib.demo.story import DATA, MIB, DemoFailed, life_of_a_volume

#: The data on three volumes and a snapshot, where the filesystem cannot share it, and one spare.
_SPACE = 5 * DATA


def main() -> int:
    """Run the demonstration; what it finds goes to standard output.

    :returns: the exit status: 0, 1 when something failed, 130 and 143 after Ctrl-C and SIGTERM.
    """
    steps = Steps(sys.stdout)
    began = time.monotonic()
    previous = signal.signal(signal.SIGTERM, _stop)
    try:
        with _folder() as folder:
            _introduce(steps, folder)
            empty = _run(steps, folder)
            _show_nothing_is_left(steps, folder, empty)
    except _Terminated:
        steps.say("\nTerminated; everything that was made is removed.")
        return 143
    except KeyboardInterrupt:
        steps.say("\nInterrupted; everything that was made is removed.")
        return 130
    except (cl.errors.CinderlibError, filesystem.CommandError, DemoFailed) as error:
        steps.say(f"\n{error}")
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    steps.say()
    steps.head(
        f"{steps.done} steps in {time.monotonic() - began:.1f} s, and this machine is as before."
    )
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM, to be cleaned up after like Ctrl-C."""


def _stop(signum: int, frame: object) -> NoReturn:
    raise _Terminated


@contextlib.contextmanager
def _folder() -> Iterator[pathlib.Path]:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cinderlib-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _introduce(steps: Steps, folder: pathlib.Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < _SPACE:
        raise DemoFailed(
            f"{folder.parent} has {free // MIB} MiB free, and {_SPACE // MIB} are needed; name"
            " another folder in TMPDIR"
        )
    steps.head("cinderlib: a volume's life on this machine, with no Cinder service")
    steps.say(f"Volumes are sparse files, their records rows of SQLite, both in {folder}.")
    if os.geteuid() != 0:
        steps.say(
            "Not root, so left out: the block device and the mount. The filesystem is worked on\n"
            "in the plain file."
        )
    steps.say()


def _run(steps: Steps, folder: pathlib.Path) -> dict[str, int]:
    """:returns: the rows that a store has in which nothing is recorded, for each table."""
    with contextlib.ExitStack() as open_until_the_end:
        with steps("Load the library and the driver") as note:
            controller = open_until_the_end.enter_context(
                cl.Controller(
                    persistence_config={
                        "storage": "db",
                        "connection": f"sqlite:///{folder}/records",
                    },
                    state_path=folder / "state",
                )
            )
            backend = controller.backend(
                volume_backend_name="demo", volume_driver="file", file_root=str(folder / "volumes")
            )
            empty = _rows(folder / "records")
            note(f"Cinder {version('cinder')}, os-brick {version('os-brick')}")
        try:
            life_of_a_volume(backend, steps)
        except BaseException:
            _remove_everything(controller)
            raise
    return empty


def _remove_everything(controller: cl.Controller) -> None:
    """After a failure, in any state; a second failure must not hide the first."""
    for volume in controller.volumes():
        with contextlib.suppress(cl.errors.CinderlibError):
            volume.cleanup()
            for snapshot in volume.snapshots:
                snapshot.delete()
            volume.delete()


def _show_nothing_is_left(steps: Steps, folder: pathlib.Path, empty: dict[str, int]) -> None:
    with steps("Look for anything left") as note:
        left = [*_loop_devices(folder), *_files(folder / "volumes")]
        for table, count in _rows(folder / "records").items():
            if count != empty.get(table, 0):
                left.append(f"{count - empty.get(table, 0)} rows in {table}")
        if left:
            raise DemoFailed("This is left: " + ", ".join(left))
        note("no loop device, no file, no row")


def _loop_devices(folder: pathlib.Path) -> Iterator[str]:
    for attribute in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # one that went away just now
            if attribute.read_text().startswith(f"{folder.resolve()}/"):
                yield f"/dev/{attribute.parts[3]}"


def _files(folder: pathlib.Path) -> Iterator[str]:
    yield from (str(path) for path in folder.rglob("*") if path.is_file())


def _rows(database: pathlib.Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        return {
            table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608
            for (table,) in tables
        }
