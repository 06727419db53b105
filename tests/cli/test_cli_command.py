"""The command in general: imports, exit codes, output and errors."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

import cinderlib as cl
from cinderlib.cli import exits
from cinderlib.cli.main import cli
from cinderlib.cli.schema import ControllerTable, NodeTable
from cinderlib.cli.sizes import Size, of_gib

HEAVY = re.compile(r"(cinder|os_brick|eventlet|oslo_\w+)(\.|$)")
PACKAGE = pathlib.Path(inspect.getfile(cl)).parent


@pytest.mark.parametrize(
    "arguments",
    [
        *("volume list", "node list", "config show"),
        *(
            pytest.param(arguments, marks=pytest.mark.slow)
            for arguments in (
                *("volume show data", "snapshot list", "connection list", "backend list"),
                *("store dump", "node leftovers"),
            )
        ),
    ],
)
def test_commands_without_a_driver_do_not_load_cinder(cinderlib: Command, arguments: str) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    program = (
        "import sys; from cinderlib.cli.main import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "sys.stderr.write('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *shlex.split(arguments)],
        env={**os.environ, **cinderlib.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stderr.split("\n")
    assert "cinderlib.cli.main" in loaded
    assert not [name for name in loaded if HEAVY.match(name)]


def test_help_does_not_load_the_library() -> None:
    program = (
        "import sys, atexit; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
        "from cinderlib.cli.main import main; sys.argv[1:] = ['--help']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = done.stderr.split()
    assert "cinderlib.cli.nouns.volume" in loaded
    assert not {"cinderlib.objects.controller", "cinderlib.node", "sqlalchemy"} & set(loaded)


@pytest.mark.parametrize(
    ("room", "users"),
    [
        ("cli", {"launcher.py"}),  # runs it
        ("ovirt", {"launcher.py"}),  # runs its programs
        ("service", {"cli", "csi"}),  # start it; keep the backends loaded in the same way
        ("client", {"__init__.py", "cli", "launcher.py", "service"}),
    ],
)
def test_the_core_does_not_import_the_entry_points(room: str, users: set[str]) -> None:
    strays = []
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in {room, *users}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_import = isinstance(node, ast.Import | ast.ImportFrom)
            if is_import and re.search(rf"cinderlib\.{room}\b", ast.unparse(node)):
                strays.append(str(path))
    assert not strays


def test_errors_are_one_line_with_a_traceback_only_for_debug(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    done = cinderlib.process("volume", "show", "nothing")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "Error: No volume has the name or ID 'nothing'\n"
    assert "Traceback" in cinderlib.process("volume", "show", "nothing", "--debug").stderr


@pytest.mark.alone(reason="replaces a method in this process")
def test_unexpected_errors_are_one_line_too(
    cinderlib: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("of a\nkind that the library has not")

    cinderlib("volume", "create", "data", "1GiB")
    monkeypatch.setattr(cl.Controller, "volumes", fail)
    failed = cinderlib("volume", "list", ends=1)
    assert failed.stderr.startswith("Error: RuntimeError: of a kind that the library has not\n")
    assert "--debug" in failed.stderr


def test_a_closed_output_pipe_is_not_an_error(cinderlib: Command) -> None:
    for number in range(3):
        cinderlib("volume", "create", f"v{number}", "1GiB")
    command = f"{shlex.join([*COMMAND, 'volume', 'list'])} | head -1"
    done = subprocess.run(
        command,
        shell=True,
        env={**os.environ, **cinderlib.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.split()[0], done.stderr) == ("ID", "")


def test_the_demonstration(cinderlib: Command) -> None:
    assert "The machine is unchanged" in cinderlib("demo").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("volume lst", "No such command 'lst'; did you mean 'list'?"),
        ("volume renme", "did you mean 'rename'?"),
        ("volum list", "did you mean 'volume'?"),
        ("--bogus volume list", "No such option '--bogus'"),
        ("volume create data ten", "write it like 10GiB"),
        ("volume create data", "Specify SIZE"),
        ("volume connect data", "--connector"),
        ("store load nothing.jsonl", "No such file"),
        ("volume create x 1GiB --metadata a", "'a' is not in the form KEY=VALUE"),
    ],
)
def test_messages_for_mistakes_have_at_most_two_lines(
    cinderlib: Command, arguments: str, said: str
) -> None:
    done = cinderlib(*shlex.split(arguments), ends=2)
    assert done.stdout == ""
    first, *more = done.stderr.splitlines()
    assert said in first
    assert len(more) <= 1


def test_errors_for_programs(cinderlib: Command) -> None:
    failed = cinderlib("--json", "volume", "show", "nothing", ends=3)
    assert json.loads(failed.stderr)["error"]["code"] == "NOT_FOUND"
    misused = cinderlib("volume", "create", "data", "ten", "--json", ends=2)
    assert json.loads(misused.stderr)["error"]["code"] == "INVALID_ARGUMENT"
    assert failed.stdout == ""


def test_every_kind_of_error_has_an_exit_code_that_is_documented() -> None:
    kinds = [e for e in vars(cl.errors).values() if inspect.isclass(e)]
    codes = {e.code for e in kinds if issubclass(e, cl.errors.CinderlibError)}
    assert codes <= exits.EXIT_CODES.keys()
    assert set(exits.EXIT_CODES.values()) <= exits.MEANINGS.keys()


def test_global_options_before_and_after_the_verb(cinderlib: Command) -> None:
    for arguments in (["--json", "volume", "list"], ["volume", "list", "--json"]):
        assert cinderlib(*arguments).json == []


def test_quiet_leaves_only_results(cinderlib: Command) -> None:
    done = cinderlib("volume", "create", "data", "1GiB", "-q")
    assert (len(done.stdout.split()), done.stderr) == (1, "")


def test_the_options_in_a_help_are_options(cinderlib: Command) -> None:
    shown = cinderlib("volume", "create", "--help").stdout
    options = shown.partition("Options:\n")[2]
    rows = [line for line in options.splitlines() if re.match(r"  \S", line)]
    assert rows
    assert [row for row in rows if not row.strip().startswith("-")] == []


def test_every_verb_and_option_has_help() -> None:
    silent = []

    def look(command: click.Command, path: str) -> None:
        if not command.help:
            silent.append(path)
        for option in command.params:
            if isinstance(option, click.Option) and not option.help:
                silent.append(f"{path} {option.opts[0]}")
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            for name in command.list_commands(ctx):
                found = command.get_command(ctx, name)
                assert found is not None
                look(found, f"{path} {name}")

    look(cli, "cinderlib")
    assert not silent


@pytest.mark.parametrize(
    ("table", "used"), [(ControllerTable, cl.Controller), (NodeTable, cl.Node)]
)
def test_the_configuration_has_every_setting_and_no_other(table: type, used: type) -> None:
    # The command sets these, or they have their own tables.
    others = {
        "persistence_config", "fail_on_missing_backend", "disable_logs", "progress",
        "cinder_options", "observer", "volume_keys",
    }  # fmt: skip
    parameters = set(inspect.signature(used.__init__).parameters) - others - {"self"}
    if used is cl.Node:
        parameters.remove("state_path")  # the controller's
        client = set(inspect.signature(cl.NodeClient.__init__).parameters)
        parameters |= client - {"self", "node", "url"} | {"service"}
    assert set(table.__struct_fields__) == parameters  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("written", "gib"),
    [
        ("10", 10),
        ("10GiB", 10),
        ("10G", 10),
        ("10g", 10),
        ("1.5 TiB", 1536),
        ("512MiB", 0.5),
        ("1073741824B", 1),
        ("10GB", 10 * 1000**3 / 1024**3),
        ("0.1GiB", 0.1),
    ],
)
def test_sizes_are_read(written: str, gib: float) -> None:
    assert Size().convert(written, None, None) == pytest.approx(gib)


@pytest.mark.parametrize("written", ["", "ten", "-1", "10 apples", "10XiB", "1e3", "٣", "1_0"])
def test_invalid_sizes_are_refused(written: str) -> None:
    with pytest.raises(click.BadParameter, match="10GiB"):
        Size().convert(written, None, None)


def test_sizes_are_shown() -> None:
    assert [of_gib(s) for s in (1, 1.5, 1024, 1536, "unknown")] == [
        "1 GiB", "1.5 GiB", "1 TiB", "1.5 TiB", "unknown",
    ]  # fmt: skip


def test_shells_can_complete_nouns_and_verbs(cinderlib: Command) -> None:
    cinderlib.environment |= {
        "_CINDERLIB_COMPLETE": "bash_complete",
        "COMP_WORDS": "cinderlib volume ",
        "COMP_CWORD": "2",
    }
    assert "plain,create" in cinderlib.process().stdout.split()


def test_the_programs_are_installed_under_their_names() -> None:
    names = {entry.name: entry for entry in entry_points(group="console_scripts")}
    for name in ("cinderlib", "cinderlib-adapter", "managedvolume-helper-cinderlib"):
        assert callable(names[name].load())


@needs_tmux
@pytest.mark.slow
@pytest.mark.core
@pytest.mark.timeout(900)  # each line is a process, which takes long on a busy machine
def test_all_nouns_on_a_terminal(cinderlib: Command) -> None:
    """Tables with colours, confirmation of irreversible commands, and logs and tracebacks on
    request."""
    command, numbers = shlex.join(COMMAND), itertools.count(1)
    with open_terminal(cinderlib.folder, cinderlib.environment) as terminal:

        def run(arguments: str, *answers: str, ends: int = 0) -> str:
            # A new number, because the screen may still show earlier output.
            end = f"command {next(numbers)} ended with"
            terminal.type(f"clear; env -u NO_COLOR {command} {arguments}; echo {end} $?")
            for answer in answers:
                terminal.until(lambda s: "[y/N]" in s and "ended with" not in s)
                terminal.type(answer)
            return terminal.until(lambda s: f"{end} {ends}" in s)

        assert "\x1b[32mok" in run("backend check")
        assert "Created volume data" in run("volume create data 1GiB")
        assert "Created snapshot monday" in run("snapshot create data monday")
        assert "\x1b[32mavailable" in run("snapshot list")
        run("volume attach data")
        assert "\x1b[36min-use" in run("volume list")
        assert "nothing changed" in run("volume detach data --force", "n", ends=6)
        run("volume detach data --force", "y")
        assert "Deleted snapshot monday." in run("snapshot delete monday", "y")
        assert "There are no snapshots." in run("snapshot list")
        assert "There are no interrupted operations." in run("recover")
        shown = run("volume show nothing", ends=3)
        assert re.search("(\x1b\\[(1|31|1;31)m)+Error:", shown)
        assert "Traceback" in run("volume show nothing --debug", ends=3)


@needs_tmux
def test_on_a_terminal_it_asks_and_has_colours(cinderlib: Command) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    command = shlex.join(COMMAND)
    with open_terminal(cinderlib.folder, cinderlib.environment) as terminal:
        terminal.type(f"env -u NO_COLOR {command} volume list; echo listed")
        screen = terminal.until(lambda s: "\nlisted" in s)
        assert re.search("\x1b\\[32mavailable", screen)
        terminal.type(f"clear; NO_COLOR=1 {command} volume list; echo plain")
        assert "\x1b[32m" not in terminal.until(lambda s: "\nplain" in s)

        terminal.type(f"clear; {command} volume delete data; echo ended with $?")
        terminal.until(lambda s: f"Delete volume data ({id}, 1 GiB) and all data? [y/N]" in s)
        terminal.type("n")
        terminal.until(lambda s: "ended with 6" in s)
        assert len(cinderlib.files) == 1
        terminal.type(f"clear; {command} volume delete {id[:7]}; echo ended with $?")
        terminal.until(lambda s: "ended with 3" in s)
        terminal.type(f"clear; {command} volume delete {id[:8]}; echo ended with $?")
        terminal.until(lambda s: f"Delete volume data ({id}, 1 GiB)" in s)
        terminal.type("y")
        terminal.until(lambda s: "ended with 0" in s)
    assert cinderlib.files == []


@pytest.mark.parametrize(
    "kind",
    [
        "postgresql+psycopg2",
        "mysql+pymysql",
        pytest.param("netapp_iscsi", marks=pytest.mark.slow),  # it tries again for 30 s
    ],
)
def test_a_server_that_refuses_the_connection_is_reported_with_its_address(
    cinderlib: Command, kind: str
) -> None:
    """It is not reported as a time-out. Each driver has its own option for the address."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    array = f"""
        [backends.files]
        volume_driver = "netapp_iscsi"
        netapp_server_hostname = "127.0.0.1"
        netapp_server_port = {port}
        netapp_login = "admin"
        netapp_password = "S3cretPw99"
        netapp_vserver = "vs1"
        """
    store = f"""
        [store]
        connection = "{kind}://user:S3cretPw99@127.0.0.1:{port}/metadata"
        """
    written = cinderlib.config.read_text()
    if kind == "netapp_iscsi":
        cinderlib.write(written.partition("[backends")[0] + array)
    else:
        cinderlib.write(written + store)
    ends = 1 if kind == "netapp_iscsi" else 8
    refused = cinderlib("volume", "create", "data", "1GiB", ends=ends)
    assert "127.0.0.1" in refused.stderr
    assert "Connection refused" in refused.stderr
    assert "timed out" not in refused.stderr
    assert "S3cretPw99" not in refused.stderr
