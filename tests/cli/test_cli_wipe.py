"""``cinderlib volume wipe``."""

from __future__ import annotations

import os
import shlex

import pytest
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

MIB = 1024**2


@pytest.fixture
def data(cinderlib: Command) -> str:
    """A volume with data at its beginning and end."""
    cinderlib("volume", "create", "data", "1GiB")
    write(cinderlib)
    return "data"


def write(cinderlib: Command) -> None:
    (name,) = cinderlib.files
    with (cinderlib.volumes / name).open("r+b") as file:
        file.write(b"secret" * MIB)
        file.seek(-6, os.SEEK_END)
        file.write(b"secret")


def allocated(cinderlib: Command) -> int:
    (name,) = cinderlib.files
    return (cinderlib.volumes / name).stat().st_blocks * 512


def is_wiped(cinderlib: Command) -> bool:
    (name,) = cinderlib.files
    with (cinderlib.volumes / name).open("rb") as file:
        begin = file.read(6)
        file.seek(-6, os.SEEK_END)
        return begin + file.read() == bytes(12)


def test_wipe_overwrites_the_data_and_can_be_repeated(cinderlib: Command, data: str) -> None:
    assert allocated(cinderlib) > 6 * MIB
    done = cinderlib("volume", "wipe", data, "--yes")
    assert (done.stdout, done.stderr) == ("", "Wiped volume data.\n")
    assert is_wiped(cinderlib)
    assert allocated(cinderlib) < MIB
    (item,) = cinderlib("volume", "wipe", data, "--yes", "--json").json
    assert (item["name"], item["status"], item["changed"]) == ("data", "available", True)
    assert cinderlib("node", "list").stdout == ""
    (first, *_) = cinderlib("log", data, "-o", "json").json[-1:]
    assert (first["operation"], first["outcome"]) == ("volume.wipe", "done")


def test_wipe_needs_a_confirmation_and_the_exact_name(cinderlib: Command, data: str) -> None:
    cinderlib("snapshot", "create", data, "monday")
    id = cinderlib("volume", "list", "-o", "json").json[0]["id"]
    shown = f"overwrite all data of volume data ({id}, 1 GiB, 1 snapshot with data that stays)"
    for arguments, code, text in (
        ((data,), 2, f"This would {shown}. Add --yes to confirm."),
        ((data, "--dry-run"), 0, f"Would {shown}."),
        ((id[:12], "--yes"), 3, "this command requires the complete ID"),
        (("other", "--yes"), 3, "No volume has the name or ID 'other'"),
    ):
        assert text in cinderlib("volume", "wipe", *arguments, ends=code).stderr
    planned = cinderlib("volume", "wipe", data, "--dry-run", "--json").json
    assert planned == {"planned": shown, "changed": False}


def test_volumes_in_use_are_refused_and_the_others_are_wiped(cinderlib: Command, data: str) -> None:
    cinderlib("volume", "create", "used", "1GiB")
    cinderlib("volume", "attach", "used")
    done = cinderlib("volume", "wipe", "used", data, "--yes", ends=5)
    assert "without volume used" in done.stderr
    assert "disconnect it first" in done.stderr
    assert "Wiped volume data." in done.stderr
    results = cinderlib("volume", "wipe", "used", data, "--yes", "--json", ends=5).json
    assert [(each["name"], each["changed"], "error" in each) for each in results] == [
        ("used", False, True),
        ("data", True, False),
    ]
    cinderlib("volume", "detach", "used")


@needs_tmux
def test_wipe_asks_on_a_terminal(cinderlib: Command, data: str) -> None:
    command = shlex.join(COMMAND)
    with open_terminal(cinderlib.folder, cinderlib.environment, columns=80) as terminal:
        terminal.type(f"clear; {command} volume wipe data; echo ended with $?")
        terminal.until(lambda screen: "[y/N]" in screen)
        terminal.type("n")
        terminal.until(lambda screen: "nothing changed" in screen and "ended with 6" in screen)
        assert not is_wiped(cinderlib)
        terminal.type(f"clear; {command} volume wipe data; echo ended with $?")
        terminal.until(lambda screen: "[y/N]" in screen)
        terminal.type("y")
        terminal.until(lambda screen: "Wiped volume data" in screen and "ended with 0" in screen)
    assert is_wiped(cinderlib)
