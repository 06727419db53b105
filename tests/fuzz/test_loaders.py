"""External data is read completely or refused with our error, in bounded time and memory, and never
causes code to be imported or run, or other files to be opened.

``CINDERLIB_MUTATIONS`` sets the number of changed examples for each loader (300 by default). They
are the same in each run, and a failure shows the example's number. ``coverage_guided.py`` searches
for others.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from loaders import Loader, Loaders
from mutations import damaged, mutated

from cinderlib.errors import CinderlibError

COUNT = int(os.environ.get("CINDERLIB_MUTATIONS", "300"))
#: Examples per test. The examples of a loader are divided into tests, so that a part of them can
#: run.
AT_ONCE = 2000
NAMES = [
    *("document", "document as data", "load", "lines", "store load", "connection"),
    *("document from a pipe", "connector", "configuration", "state of the host", "rows"),
    *("database of cinderlib 5", "options from oVirt"),
]
#: In seconds and in MiB: far above normal values, far below a hang.
LONGEST, LARGEST = 10, 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def loaders(folder: pathlib.Path) -> Iterator[Loaders]:
    made = Loaders(folder)
    yield made
    made.close()


class Watch:
    """Records actions that no loader should perform, from Python's audit events."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._audit)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            if isinstance(args[0], int) or os.fsdecode(args[0]).startswith(self.folder):
                return
        elif event not in ("compile", "import", "os.system", "socket.connect", "subprocess.Popen"):
            return
        self.seen.append(f"{event} {args!r}"[:300])


watch = Watch()


def changed(loader: Loader, number: int) -> Any:
    """An example, as text or data, with one to four changes."""
    dice = random.Random(number)
    example = dice.choice(loader.examples)
    if loader.data:
        return mutated(json.loads(example), dice)
    if loader.json and number % 2:
        return json.dumps(mutated(json.loads(example), dice)).encode()
    return damaged(example, dice)


def test_the_list_is_complete(loaders: Loaders) -> None:
    assert sorted(loaders.all) == sorted(NAMES)


@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
@pytest.mark.parametrize("name", NAMES)
def test_changed_documents_are_read_or_refused(
    loaders: Loaders, folder: pathlib.Path, name: str, first: int
) -> None:
    loader = loaders.all[name]
    for example in loader.examples:
        loader.read(json.loads(example) if loader.data else example)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read = 0
    try:
        for number in range(first, min(first + AT_ONCE, COUNT), loader.one_in):
            given = changed(loader, number)
            begin, watch.folder = time.monotonic(), str(folder)
            try:
                loader.read(given)
            except CinderlibError as exc:
                refused = str(exc)
            except BaseException as exc:
                raise AssertionError(f"{name}, number {number}: {exc!r}"[:2000]) from exc
            else:
                read, refused = read + 1, ""
            finally:
                watch.folder = None
            assert len(refused) < 2000, f"{name}, number {number}"
            assert time.monotonic() - begin < LONGEST, f"{name}, number {number}"
            assert not watch.seen, f"{name}, number {number}: {watch.seen}"
    finally:
        watch.seen.clear()
    assert 0 < read < COUNT, "the changes are neither all harmless nor all fatal"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < LARGEST


def test_loaded_records_can_be_listed(loaders: Loaders) -> None:
    """Includes records of changed documents that could be read."""
    controller = loaders.controller
    found = [list(controller.volumes()), list(controller.snapshots())]
    assert all(found)
    for volume in found[0]:
        repr(volume)
        volume.to_dict()


def test_names_in_a_document_are_not_imported(tmp_path: pathlib.Path) -> None:
    (tmp_path / "evil.py").write_text("open('was-here', 'w')\nclass Driver: pass\n")
    options = {"volume_backend_name": "a", "volume_driver": "evil.Driver", "class": "evil.Driver"}
    document = {"class": "Backend", "backend": options, "volumes": []}
    program = (
        "import sys; from cinderlib import serialization as s; before = set(sys.modules)\n"
        f"for more in ({{}}, {{'format': 1}}): print(s.read({document!r} | more).backend_options)\n"
        "assert set(sys.modules) == before, set(sys.modules) - before\n"
        "assert not {'cinder', 'os_brick', 'sqlalchemy', 'evil'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("evil.Driver") == 4
    assert not (tmp_path / "was-here").exists()
