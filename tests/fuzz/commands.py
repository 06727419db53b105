"""Every option and argument of every command, found in the command itself, and a correct example of
each argument."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from typing import Any

import click
from cli.command import Command

from cinderlib.cli.main import cli

#: Commands that are not called with wrong values here, and why.
LEFT_OUT = {
    "driver list": "imports all drivers of Cinder, for each value",
    "driver show": "lists all drivers of Cinder, for each name that no driver has",
    "serve": "runs until it is stopped",
    "demo": "creates its own volumes for half a minute, and takes no arguments",
}
COMMON = ("config_path", "as_json", "quiet", "verbose", "debug")

#: Wrong values, as a shell can pass them. Bytes that are not UTF-8 arrive as surrogates.
WRONG: dict[str, str] = {
    "empty text": "",
    "space": " ",
    "zero": "0",
    "negative": "-1",
    "negative size": "-1GiB",
    "huge": "1" * 400,
    "huge size": "99999999999TiB",
    "float": "1e400",
    "not a number": "nan",
    "other digits": "\u0661\u0662",
    "not UTF-8": "a\udcff",
    "emoji": "\U0001f4be",
    "right to left": "\u202etxt.exe",
    "control": "\x1b[2J\r\n",
    "path": "../../etc/passwd",
    "folder": "/",
    "no folder": "/nowhere/at/all",
    "full device": "/dev/full",
    "option": "--help",
    "standard input": "-",
    "URL": "sqlite:////nowhere/x",
    "another URL": "https://user:secret@127.0.0.1:1/",
    "256 characters": "x" * 256,
    "100,000 characters": "x" * 100_000,
    "JSON": '{"class": "Volume"}',
    "pair": "=",
    "format": "%s{0}",
    "UUID": "00000000-0000-4000-8000-000000000000",
}


@dataclasses.dataclass(frozen=True)
class Verb:
    """A command of the tree.

    :ivar path: its words, such as ``("volume", "create")``.
    """

    path: tuple[str, ...]
    command: click.Command

    @property
    def name(self) -> str:
        return " ".join(self.path)

    @property
    def parameters(self) -> list[click.Parameter]:
        """Those that take a value, without the options that all commands have."""
        return [
            each
            for each in self.command.params
            if each.name not in COMMON and not getattr(each, "is_flag", False)
        ]

    def arguments(self, wrong: str, value: str, examples: dict[str, str]) -> list[str]:
        """The command line with one wrong value.

        :param wrong: the parameter that has it.
        :param examples: correct values of the arguments that the command requires.
        """
        options: list[str] = []
        positional: list[str] = []
        for each in self.command.params:
            if isinstance(each, click.Argument):
                if each.name == wrong:
                    positional.append(value)
                elif each.required or (self.name, each.name) in _NEEDED:
                    positional.append(examples[f"{self.name} {each.name}"])
            elif each.name == wrong:
                options += [f"{max(each.opts, key=len)}={value}"]
            elif each.name == "yes" and (self.name, wrong) not in _NEEDED:
                options.append("--yes")
        return [*self.path, *options, "--", *positional]


#: Verbs whose first argument is a group.
_OF_GROUP = (
    *("show", "add", "remove", "clone"),
    *("enable-replication", "disable-replication", "failover", "failback"),
)
#: Arguments that are optional, and without which the value is not used.
_NEEDED = {("volume create", "size")}


def verbs() -> dict[str, Verb]:
    """All commands, by name."""
    return {each.name: each for each in _walk(cli, ())}


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[Verb]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _walk(found, (*path, name))
    else:
        yield Verb(path, command)


class World:
    """A configuration with a volume, its snapshot and a connection.

    :ivar examples: a correct value for each required argument, by command and parameter.
    """

    def __init__(self, command: Command) -> None:
        self.command = command
        self.database = command.folder / "state" / "metadata.sqlite"
        folder = command.folder
        (folder / "connector.json").write_text(command("node", "connector").stdout)
        (folder / "cinder.conf").write_text(
            "[DEFAULT]\nenabled_backends = a\n[a]\nvolume_driver = file\n"
        )
        (folder / "image").write_bytes(bytes(4096))
        self.fill()

    def fill(self) -> None:
        folder = self.command.folder
        self.command("type", "create", "gold", "--extra-spec", "tier=gold")
        self.command("volume", "create", "data", "1GiB")
        (self.command.volumes / "existing").write_bytes(b"data")
        snapshot = self.command("snapshot", "create", "data", "monday").line
        self.command("volume", "create", "member", "1GiB")
        group = self.command("group", "create", "pair", "member").line
        group_snapshot = self.command("group", "snapshot", "create", "pair", "kept").line
        if not (folder / "stream").exists():
            self.command("snapshot", "export", "monday", str(folder / "stream"))
        document = self.command(
            "volume", "connect", "data", "--connector", str(folder / "connector.json")
        )
        (folder / "connection.json").write_text(document.stdout)
        if not (folder / "dump").exists():
            self.command("store", "dump", str(folder / "dump"))
        (connection,) = self.command("connection", "list", "--json").json
        volume = connection["volume_id"]
        self.examples = {
            **{f"volume {verb} volume": "data" for verb in _OF_VOLUME},
            **{
                f"connection {verb} connection": connection["id"] for verb in ("show", "disconnect")
            },
            "volume create name": "new",
            "volume create size": "1GiB",
            "volume clone name": "new",
            "volume extend size": "2GiB",
            "volume export file": str(folder / "exported"),
            "volume import file": str(folder / "image"),
            "volume import name": "new",
            "volume rename name": "renamed",
            "volume apply file": str(folder / "stream"),
            "snapshot export snapshot": snapshot,
            "snapshot export file": str(folder / "exported"),
            "snapshot extents snapshot": snapshot,
            "completion shell": "bash",
            "volume delete volumes": volume,
            "volume manage reference": "existing",
            "volume manage name": "new",
            "volume migrate volume": volume,
            "volume unmanage volumes": volume,
            "volume retype volume": volume,
            "volume wipe volumes": volume,
            "type create name": "new",
            **{f"type {verb}": "gold" for verb in _OF_TYPE},
            **{f"group {verb} group": group for verb in _OF_GROUP},
            **{f"group {verb} volumes": "data" for verb in ("add", "remove")},
            "group create name": "new",
            "group clone name": "new",
            "group delete groups": group,
            "group snapshot create group": group,
            "group snapshot create name": "new",
            "group snapshot show snapshot": group_snapshot,
            "group snapshot delete snapshots": group_snapshot,
            "snapshot manage volume": "data",
            "snapshot manage reference": "existing",
            "snapshot manage name": "new",
            "snapshot unmanage snapshots": snapshot,
            "snapshot attach snapshot": snapshot,
            "snapshot connect snapshot": snapshot,
            "snapshot detach snapshot": snapshot,
            "snapshot create volume": "data",
            "snapshot create name": "new",
            "snapshot delete snapshots": snapshot,
            "snapshot revert snapshot": snapshot,
            "snapshot show snapshot": snapshot,
            "snapshot set snapshot": snapshot,
            "snapshot unset snapshot": snapshot,
            "config from-cinder conf": str(folder / "cinder.conf"),
            "node attach volume": str(folder / "connection.json"),
            "node detach attachment": volume,
            "node extend attachment": volume,
            "node fstab attachment": volume,
            "node fstab mount_point": "/srv/data",
            "node persist attachment": volume,
            "node unpersist attachment": volume,
            "node register name": "node1",
            "driver show name": "file",
            "store import source": f"sqlite:///{folder}/none",
            "store load file": str(folder / "dump"),
            "store migrate target": f"sqlite:///{folder}/migrated",
        }

    def state(self) -> Any:
        """Everything that a command can change: records, files on the storage, other files."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            records = [
                sorted(map(repr, database.execute(f"select * from {table}")))
                for (table,) in database.execute(
                    "select name from sqlite_master where type = 'table' order by name"
                )
            ]
        files = sorted(
            str(path)
            for path in self.command.folder.rglob("*")
            if not path.name.endswith((".lock", "-wal", "-shm", "-journal"))
        )
        return records, files

    def clear(self) -> None:
        """Delete everything in the ways that users have."""
        run = self.command
        # First, because a temporary volume of an attached snapshot goes with its connection.
        for each in run("snapshot", "list", "--json").json:
            run("snapshot", "detach", each["id"], "--force", "--yes", ends=None)
        for each in run("volume", "list", "--json").json:
            run("volume", "detach", each["id"], "--force", "--yes", ends=None)
            run("volume", "disconnect", each["id"], "--all", "--force", "--yes")
        for each in run("group", "snapshot", "list", "--json").json:
            run("group", "snapshot", "delete", each["id"], "--yes")
        for each in run("group", "list", "--json").json:
            run("group", "delete", each["id"], "--yes")
        for each in run("snapshot", "list", "--json").json:
            run("snapshot", "delete", each["id"], "--yes")
        for each in run("volume", "list", "--json").json:
            run("volume", "delete", each["id"], "--yes")
        for each in run("type", "list", "--json").json:
            run("type", "delete", "--", each["name"])


_OF_VOLUME = (
    "apply", "attach", "clone", "connect", "detach", "disconnect", "export", "extend", "extents",
    "rename", "set", "show", "unset",
)  # fmt: skip
#: Verbs of volume types, with their argument.
_OF_TYPE = ("show type", "set type", "unset type", "delete types")
