"""The command where the host is not as it expects: streams that are closed or full, locales without
the characters, no home, no account, folders that are read-only.

Each case is a separate process. ``make test`` runs one command in some places, ``make fuzz``
runs all.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import zlib
from collections.abc import Mapping

import pytest
from cli.command import COMMAND, Command
from fuzz.commands import World
from fuzz.test_command import FULL, problems

#: Commands that change nothing.
READING = (
    "volume list",
    "volume list --json",
    "volume show data",
    "volume show none",
    "snapshot list",
    "connection list",
    "backend list",
    "config check",
    "config show",
    "node list",
    "node leftovers",
    "store dump",
    "reconcile",
    "volume --help",
    "--version",
)
WRITING = (
    "volume create new 1GiB",
    "volume create données 1GiB",
    "volume extend data 2GiB",
    "volume delete none --yes",
    "volume connect data --connector -",
    "node attach -",
    "node detach -",
    "node register node1",
    "snapshot create data new",
    "store load -",
    "recover",
)
# make fuzz runs all.
pytestmark = pytest.mark.slow

STREAMS = {
    "no stdin": "<&-",
    "no stdout": ">&-",
    "no stderr": "2>&-",
    "no streams": "<&- >&- 2>&-",
    "full stdout": ">/dev/full",
    "full stderr": "2>/dev/full",
    "empty stdin": "</dev/null",
    "broken pipe": "| head -c 1",
}
LOCALES: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "ASCII": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "Latin-1": {"LC_ALL": "en_US.ISO-8859-1"},
    "unknown": {"LC_ALL": "xx_YY.unknown"},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(Command(tmp_path_factory.mktemp("fuzz")))
    world.command("volume", "create", "n\u00e4me \U0001f4be", "1GiB")
    return world


def some(name: str, commands: tuple[str, ...]) -> tuple[str, ...]:
    if FULL:
        return commands
    return (commands[zlib.crc32(name.encode()) % len(commands)],)


def run(
    world: World, command: str, *, streams: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in a shell.

    :param streams: redirections.
    :param environment: variables of the command only: bash has a warning for a locale that it
        does not know.
    """
    variables = [f"{name}={value}" for name, value in (environment or {}).items()]
    script = f'set -o pipefail; env "$@" {streams}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *variables, *COMMAND, *command.split()],
        input=b"",
        capture_output=True,
        check=False,
        env={**os.environ, **world.command.environment},
    )


def problems_of(
    world: World, before: object, done: subprocess.CompletedProcess[bytes], silent: bool = False
) -> list[str]:
    stderr = done.stderr.decode(errors="replace")
    found = problems(done.returncode, stderr, done.stdout.decode(errors="replace") or "-" * silent)
    if world.state() != before:
        left = world.command("reconcile", ends=None)
        if left.stdout:
            found.append(f"left {left.stdout:.300}")
    return found


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_cannot_be_used(world: World, name: str) -> None:
    wrong = []
    for command in some(name, READING + WRITING):
        before = world.state()
        done = run(world, command, streams=STREAMS[name])
        silent = "2>" in STREAMS[name] or name == "broken pipe"
        wrong += [f"{command}: {each}" for each in problems_of(world, before, done, silent)]
        if name in ("no stdout", "full stdout") and command in READING:
            # Some commands have nothing to write there, only messages.
            has_output = bool(run(world, command).stdout)
            assert bool(done.returncode) >= has_output, command
    assert not wrong, "\n".join(wrong)


def test_a_closed_stream_is_no_file_of_the_command(world: World) -> None:
    """The next file that a process opens gets the lowest free number."""
    run(world, "volume create first 1GiB -v", streams="<&- >&- 2>&-")
    run(world, "store dump", streams=">&-")
    assert world.database.read_bytes().startswith(b"SQLite format 3\0")
    assert "first" in world.command("volume", "list").stdout
    (volume,) = (each for each in world.command("volume", "list", "--json").json
                 if each["name"] == "first")  # fmt: skip
    content = (world.command.volumes / f"volume-{volume['id']}").read_bytes()
    assert not content.strip(b"\0")
    world.command("volume", "delete", volume["id"], "--yes")


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variable for a compiled Latin-1 locale, if this host can compile one."""
    folder = tmp_path_factory.mktemp("locales")
    localedef = shutil.which("localedef")
    if localedef is None:
        return {}
    made = subprocess.run(
        [localedef, "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")],
        capture_output=True,
        check=False,
    )
    return {"LOCPATH": str(folder)} if made.returncode in (0, 1) else {}


@pytest.mark.parametrize("name", LOCALES if FULL else ["ASCII", "Latin-1"])
def test_a_locale_without_the_characters(world: World, locales: dict[str, str], name: str) -> None:
    environment = locales | LOCALES[name]
    wrong = []
    for command in some(name, READING + WRITING):
        before = world.state()
        done = run(world, command, environment=environment)
        wrong += [f"{command}: {each}" for each in problems_of(world, before, done)]
    done = run(world, "volume list --json", environment=environment)
    names = [each["name"] for each in json.loads(done.stdout)]
    assert "n\u00e4me \U0001f4be" in names
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["no home", "no environment"] if FULL else ["no environment"])
def test_an_environment_that_lacks_variables(world: World, name: str) -> None:
    kept = {"CINDERLIB_CONFIG"} if name == "no environment" else {*os.environ, "CINDERLIB_CONFIG"}
    environment = {**os.environ, **world.command.environment}
    wrong = []
    for command in some(name, READING + WRITING):
        before = world.state()
        done = subprocess.run(
            [*COMMAND, *command.split()],
            input=b"",
            capture_output=True,
            check=False,
            env={key: environment[key] for key in kept - {"HOME"} if key in environment},
        )
        wrong += [f"{command}: {each}" for each in problems_of(world, before, done)]
    assert not wrong, "\n".join(wrong)


needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0
    or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs root and mount namespaces",
)

#: A shell script that mounts a folder (``$1``) read-only and runs the other arguments.
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; shift; exec "$@"'


@needs_namespaces
@pytest.mark.parametrize("name", ["/etc", "state", "volumes"] if FULL else ["/etc", "state"])
def test_a_folder_that_is_read_only(world: World, name: str) -> None:
    folder = pathlib.Path(name) if name == "/etc" else world.command.folder / name
    wrong = []
    for command in some(name, READING + WRITING):
        before = world.state()
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", folder, *COMMAND, *command.split()],
            input=b"",
            capture_output=True,
            check=False,
            env={**os.environ, **world.command.environment},
        )
        wrong += [f"{command}: {each}" for each in problems_of(world, before, done)]
        if name == "state" and world.state() != before:
            wrong.append(f"{command} changed something")
    assert not wrong, "\n".join(wrong)


@needs_namespaces
def test_checking_creates_no_folder_for_locks(world: World) -> None:
    """All programs of the host share it, so that it is not in the folder of the configuration."""
    listed = 'mount -t tmpfs none /var/lib; "$@"; find /var/lib -mindepth 1'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", listed, "sh", *COMMAND, "config", "check"],
        capture_output=True,
        check=False,
        env={**os.environ, **world.command.environment},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_user_without_an_account(world: World, tmp_path: pathlib.Path) -> None:
    """No entry in the passwd database and no home."""
    other = Command(tmp_path)
    for path in (tmp_path, *(parent for parent in tmp_path.parents if "pytest" in parent.name)):
        path.chmod(0o755)
    shutil.chown(tmp_path, 54321, 54321)
    shutil.chown(other.config, 54321, 54321)
    wrong = []
    for command in ("volume create data 1GiB", *some("account", READING + WRITING)):
        done = other.process(
            *command.split(), user=54321, group=54321, extra_groups=[], without={"HOME"},
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        wrong += [
            f"{command}: {each}" for each in problems(done.returncode, done.stderr, done.stdout)
        ]
    assert not wrong, "\n".join(wrong)
