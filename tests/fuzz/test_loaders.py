"""What others have written is read completely or refused by an error of ours, in bounded time and
memory, and is never a way to have something imported, run, or opened elsewhere.

``CINDERLIB_MUTATIONS`` says how many changed examples each loader is given (300 by default). The
same are made in each run; a failure names the number of the one. ``coverage_guided.py`` looks for
others, for as long as it is let.
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
#: A test gives a loader that many; those of a loader are divided so that a part of them can be run.
AT_ONCE = 2000
NAMES = [
    *("document", "document as data", "load", "lines", "store load", "connection"),
    *("document from a pipe", "connector", "configuration", "state of the host", "rows"),
    *("database of cinderlib 5", "options from oVirt"),
]
#: In seconds and in MiB: far above what any takes, far below what a user would call a hang.
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
    """What is done meanwhile that no loader has a reason to do, from Python's audit events."""

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
    """A text, or what one says, that is wrong in one to four places."""
    dice = random.Random(number)
    example = dice.choice(loader.examples)
    if loader.data:
        return mutated(json.loads(example), dice)
    if loader.json and number % 2:
        return json.dumps(mutated(json.loads(example), dice)).encode()
    return damaged(example, dice)


def test_the_list_is_whole(loaders: Loaders) -> None:
    assert sorted(loaders.all) == sorted(NAMES)


@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_is_refused(
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


def test_what_was_loaded_can_be_listed(loaders: Loaders) -> None:
    """After all that was stored of documents that were wrong and could be read."""
    controller = loaders.controller
    found = [list(controller.volumes()), list(controller.snapshots())]
    assert all(found)
    for volume in found[0]:
        repr(volume)
        volume.to_dict()


def test_nothing_that_a_document_names_is_imported(tmp_path: pathlib.Path) -> None:
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
