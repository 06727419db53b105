"""Wrong values for every option and argument of the command: an exit code that is documented, one
or two lines on standard error, and nothing half done.

``make test`` passes a part of the wrong values, ``make fuzz`` passes all of them.
"""

from __future__ import annotations

import os
import pathlib
import zlib

import pytest
from cli.command import Command
from fuzz.commands import LEFT_OUT, WRONG, World, verbs

from cinderlib.cli.exits import MEANINGS

FULL = bool(os.environ.get("CINDERLIB_MUTATIONS"))
#: A run that is not full tries one of this many values.
ONE_IN = 28

VERBS = {name: verb for name, verb in verbs().items() if name not in LEFT_OUT and verb.parameters}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(Command(tmp_path_factory.mktemp("fuzz")))


def values(name: str) -> list[str]:
    if FULL:
        return list(WRONG)
    return list(WRONG)[zlib.crc32(name.encode()) % ONE_IN :: ONE_IN]


@pytest.mark.parametrize("name", VERBS)
def test_a_wrong_value_is_refused_in_two_lines(
    world: World, name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verb, wrong = VERBS[name], []
    before = world.state()
    for parameter in verb.parameters:
        assert parameter.name is not None
        for value in values(f"{name} {parameter.name}"):
            case = f"{parameter.name}={value}"
            arguments = verb.arguments(parameter.name, WRONG[value], world.examples)
            try:
                done = world.command(*arguments, ends=None)
            except Exception as error:
                wrong.append(f"{case}: {error!r:.300}")
                continue
            wrong += [
                f"{case} {each}" for each in problems(done.exit_code, done.stderr, done.stdout)
            ]
            for created in list(tmp_path.iterdir()):
                created.unlink()
                if done.exit_code:
                    wrong.append(f"{case} created a file, and ended with {done.exit_code}")
            if world.state() != before:
                if done.exit_code:
                    wrong.append(f"{case} changed something, and ended with {done.exit_code}")
                reconciled = world.command("reconcile", ends=None)
                if reconciled.stdout:
                    wrong.append(f"{case} left {reconciled.stdout:.300}")
                world.clear()
                world.fill()
                before = world.state()
    assert not wrong, "\n".join(wrong)


def problems(exit_code: int, stderr: str, stdout: str = "") -> list[str]:
    """Where an end of the command breaks what its page promises."""
    found = []
    if exit_code not in MEANINGS:
        found.append(f"ended with {exit_code}: {stderr:.300}")
    if "Traceback" in stderr or "--debug shows" in stderr:
        found.append(f"was not foreseen: {stderr:.300}")
    if len(stderr) > 2000 or len(stderr.splitlines()) > 2 + ("Try '" in stderr):
        found.append(f"wrote {len(stderr.splitlines())} lines: {stderr:.300}")
    if exit_code and not stderr and not stdout:
        found.append(f"ended with {exit_code} and said nothing")
    return found
