"""Wrong arguments for all public functions, classes and methods: an error of this library, and no
incomplete change.

``make test`` passes a part of the wrong values, ``make fuzz`` passes all of them.
"""

from __future__ import annotations

import os
import pathlib
import zlib
from collections.abc import Iterator

import pytest
from fuzz.callables import World, call, everything
from fuzz.values import WRONG

from cinderlib.errors import CinderlibError

FULL = bool(os.environ.get("CINDERLIB_MUTATIONS"))
#: A run that is not full tries one of this many values.
ONE_IN = 8

CALLABLES = everything()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("fuzz"))
    with world.controller:
        yield world


def values(name: str) -> list[str]:
    if FULL:
        return list(WRONG)
    start = zlib.crc32(name.encode()) % ONE_IN
    return list(WRONG)[start::ONE_IN]


@pytest.mark.parametrize("name", CALLABLES)
def test_a_wrong_argument_is_an_error_of_this_library(
    world: World, name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    each = CALLABLES[name]
    wrong = []
    world.fill()
    before = world.state()
    for parameter in each.parameters:
        for value in values(f"{name} {parameter}"):
            case = f"{parameter}={value}"
            try:
                call(each, world, parameter, WRONG[value]())
            except CinderlibError as error:
                if len(str(error)) > 2000:
                    wrong.append(f"{case}: a message of {len(str(error))} characters")
                if world.state() != before:
                    wrong.append(f"{case} changed something")
            except Exception as error:
                wrong.append(f"{case}: {type(error).__name__}: {str(error)[:200]}")
            if world.state() != before:
                try:
                    wrong += [f"{case} left {left}" for left in world.left()]
                except Exception as error:
                    wrong.append(f"{case} left what cannot be read: {error!r:.200}")
                world.clear()
                world.fill()
                before = world.state()
    world.clear()
    assert not wrong, "\n".join(wrong)
    assert world.left() == []
    assert [path.name for path in world.root.iterdir() if path.name[0] != "."] == []


def test_everything_public_is_tried() -> None:
    """Introspection finds a new method without a change here."""
    assert len(CALLABLES) > 50
    assert {"Volume.connect", "Controller.volumes", "Volume.name =", "Node.attach"} <= set(
        CALLABLES
    )
