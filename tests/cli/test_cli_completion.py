"""Completion in a real bash: names come from the store, without loading drivers."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None, reason="needs bash: apt-get install bash"
)


@pytest.fixture
def path(cinderlib: Command) -> str:
    """A PATH that contains the command."""
    folder = cinderlib.folder / "bin"
    folder.mkdir()
    (folder / "cinderlib").write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    (folder / "cinderlib").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def offered(cinderlib: Command, path: str, *lines: str) -> list[list[str]]:
    """The completions that bash offers at the end of each line."""
    asked = []
    for line in lines:
        words = ["cinderlib", *line.split(" ")]
        asked.append(f"offer {len(words) - 1} {shlex.join(words)}")
    program = """
eval "$(_CINDERLIB_COMPLETE=bash_source cinderlib)"
offer() {
    COMP_CWORD=$1 COMP_WORDS=("${@:2}") COMPREPLY=()
    _cinderlib_completion cinderlib
    echo "${COMPREPLY[*]}"
}
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", program + "\n".join(asked)],
        env={**os.environ, **cinderlib.environment, "PATH": path},
        cwd=cinderlib.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_names_are_offered(cinderlib: Command, path: str) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("volume", "create", "database", "1GiB")
    id = cinderlib("volume", "create", "two words", "1GiB").line
    cinderlib("snapshot", "create", "data", "monday")
    properties = cinderlib("node", "connector", "--protocol", "local").stdout
    document = cinderlib("volume", "connect", "data", "--connector", "-", input=properties).json
    cinderlib("node", "register", "node-1", "--protocol", "local")

    host = document["connector"]["host"]
    other = cinderlib.folder / "other.toml"
    other.write_text("[backends.elsewhere]\nvolume_driver = 'file'\n")
    wanted = {
        "volume show da": ["data", "database"],
        # For a name with a space, the ID is offered.
        "volume show ": ["data", "database", id],
        f"volume show {id[:8]}": [id],
        "volume delete data da": ["database"],
        "snapshot show ": ["monday"],
        "connection show ": [document["id"]],
        "volume connect data --node ": ["node-1"],
        "volume disconnect data --host ": [host],
        "volume list --backend ": ["files"],
        "backend check f": ["files"],
        "driver show lvm": ["lvm"],
        "--config other.toml backend show ": ["elsewhere"],
    }
    found = offered(cinderlib, path, *wanted)
    assert dict(zip(wanted, map(sorted, found), strict=True)) == {
        line: sorted(names) for line, names in wanted.items()
    }


def test_devices_are_offered_to_be_detached(cinderlib: Command, path: str) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data").line
    try:
        assert offered(cinderlib, path, "node detach ") == [[device]]
    finally:
        cinderlib("volume", "detach", "data")
    assert offered(cinderlib, path, "node detach ") == [[]]


def test_no_completions_without_a_store_or_with_a_bad_configuration(
    cinderlib: Command, path: str
) -> None:
    assert offered(cinderlib, path, "volume show ") == [[]]
    assert not (cinderlib.folder / "state").exists()  # Completion did not create it.
    cinderlib.write("[backends.files\n")
    assert offered(cinderlib, path, "volume show ", "volume sh") == [[], ["show"]]


@pytest.mark.alone(reason="examines the modules that the command loads itself")
def test_completion_loads_neither_a_driver_nor_sqlalchemy(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    program = (
        "import sys, atexit; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
        "from cinderlib.cli.main import main; main()"
    )
    completing = {
        "_CINDERLIB_COMPLETE": "bash_complete",
        "COMP_WORDS": "cinderlib volume show d",
        "COMP_CWORD": "3",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **cinderlib.environment, **completing},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["plain,data"]
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "sqlite3" in loaded
    assert not {"cinder", "os_brick", "eventlet", "sqlalchemy"} & loaded


@needs_tmux
def test_a_person_presses_tab(cinderlib: Command, path: str) -> None:
    cinderlib("volume", "create", "quarterly", "1GiB")
    with open_terminal(cinderlib.folder, cinderlib.environment) as terminal:
        terminal.type("PATH=$PWD/bin:$PATH exec bash --norc --noprofile")
        terminal.type('eval "$(_CINDERLIB_COMPLETE=bash_source cinderlib)"; echo ready $((40 + 2))')
        terminal.until(lambda screen: "ready 42" in screen)
        terminal.type("cinderlib volume show qua\t; echo ended with $?")
        screen = terminal.until(lambda screen: "ended with 0" in screen)
    assert "cinderlib volume show quarterly" in screen
