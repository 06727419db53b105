"""Runs the demo: its directory, its introduction, its cleanup and the check for leftovers."""

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
    """Run the demo on standard output.

    :returns: the exit status: 0, 1 after a failure, 130 and 143 after Ctrl-C and SIGTERM.
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
        steps.say("\nTerminated; the demo removed everything that it created.")
        return 143
    except KeyboardInterrupt:
        steps.say("\nInterrupted; the demo removed everything that it created.")
        return 130
    except (cl.errors.CinderlibError, filesystem.CommandError, DemoFailed) as error:
        steps.say(f"\n{error}")
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    steps.say()
    steps.head(f"{steps.done} steps in {time.monotonic() - began:.1f} s. The machine is unchanged.")
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM: clean up as after Ctrl-C."""


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
            f"{folder.parent} has {free // MIB} MiB free, but the demo needs {_SPACE // MIB} MiB;"
            " set TMPDIR to another directory"
        )
    steps.head("cinderlib: the life of a volume on this machine, without a Cinder service")
    steps.say(f"Volumes are sparse files, records are in SQLite:\n{folder}")
    if os.geteuid() != 0:
        steps.say("Without root, the demo uses a plain file: no block device and no mount.")
    steps.say()


def _run(steps: Steps, folder: pathlib.Path) -> dict[str, int]:
    """:returns: the number of rows in each table of an empty store."""
    with contextlib.ExitStack() as open_until_the_end:
        with steps("Load library and driver") as note:
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
    """Clean up after a failure in any state. A second failure must not hide the first."""
    for volume in controller.volumes():
        with contextlib.suppress(cl.errors.CinderlibError):
            volume.cleanup()
            for snapshot in volume.snapshots:
                snapshot.delete()
            volume.delete()


def _show_nothing_is_left(steps: Steps, folder: pathlib.Path, empty: dict[str, int]) -> None:
    with steps("Check for leftovers") as note:
        left = [*_loop_devices(folder), *_files(folder / "volumes")]
        for table, count in _rows(folder / "records").items():
            if count != empty.get(table, 0):
                left.append(f"{count - empty.get(table, 0)} rows in {table}")
        if left:
            raise DemoFailed("Leftovers: " + ", ".join(left))
        note("no loop device, file or row")


def _loop_devices(folder: pathlib.Path) -> Iterator[str]:
    for attribute in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # removed meanwhile
            if attribute.read_text().startswith(f"{folder.resolve()}/"):
                yield f"/dev/{attribute.parts[3]}"


def _files(folder: pathlib.Path) -> Iterator[str]:
    yield from (str(path) for path in folder.rglob("*") if path.is_file())


def _rows(database: pathlib.Path) -> dict[str, int]:
    """The number of rows in each table, except the history, which keeps deleted volumes."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'cinderlib_operation'"
        ).fetchall()
        return {
            table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608
            for (table,) in tables
        }
