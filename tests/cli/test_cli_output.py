"""Output formats: tables that fit, columns, sorting, filters, and JSON that follows its schema."""

from __future__ import annotations

import csv
import io
import json
import pathlib
import shlex
import subprocess
import sys
from typing import Any

import click
import jsonschema
import pytest
import yaml
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

from cinderlib.cli.main import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs" / "output-schema.json").read_text())


def check(item: Any, kind: str) -> None:
    """Check an item of the JSON output by the schema for the kind."""
    jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{kind}"}).validate(item)


@pytest.fixture
def filled(cinderlib: Command) -> Command:
    cinderlib("volume", "create", "data-1", "1GiB", "--metadata", "owner=ops")
    cinderlib("volume", "create", "data-2", "3GiB")
    cinderlib("volume", "create", "logs", "2GiB")
    return cinderlib


def test_formats_columns_and_filters(filled: Command) -> None:
    listed = ("volume", "list")
    assert filled(*listed, "-o", "name").stdout.split() == ["data-1", "data-2", "logs"]
    assert filled(*listed, "-o", "name", "--sort", "-size").stdout.split() == [
        "data-2", "logs", "data-1",
    ]  # fmt: skip
    assert filled(*listed, "-o", "name", "--sort", "size", "--limit", "1").line == "data-1"
    assert filled(*listed, "--columns", "name,size", "--no-headers").stdout.splitlines() == [
        "data-1  1 GiB", "data-2  3 GiB", "logs    2 GiB",
    ]  # fmt: skip
    assert filled(*listed, "--columns", "size", "--bytes").rows[0] == [str(2**30)]
    found = csv.DictReader(io.StringIO(filled(*listed, "-o", "csv").stdout))
    assert [(row["name"], row["size_bytes"]) for row in found][2] == ("logs", str(2**31))
    as_json = filled(*listed, "-o", "json").json
    assert yaml.safe_load(filled(*listed, "-o", "yaml").stdout) == as_json
    assert filled(*listed, "-o", "json", "--columns", "name,size", "--limit", "1").json == [
        {"name": "data-1", "size": 1, "size_bytes": 2**30}
    ]
    assert filled("volume", "show", "logs", "-o", "value", "--columns", "name,size").stdout == (
        f"logs\n{2**31}\n"
    )

    def names(*options: str) -> str:
        return " ".join(filled(*listed, "-o", "name", *options).stdout.split())

    assert names("--name", "data-*") == "data-1 data-2"
    assert names("--name", "logs") == "logs"
    assert names("--metadata", "owner=ops") == "data-1"
    assert names("--metadata", "owner") == "data-1"
    assert names("--metadata", "owner=dev") == ""
    assert names("--min-size", "2GiB") == "data-2 logs"
    assert names("--max-size", "2GiB", "--pool", "files") == "data-1 logs"
    assert names("--newer-than", "1h", "--status", "available") == "data-1 data-2 logs"
    assert names("--older-than", "1h") == ""
    assert names("--host", "nowhere") == ""


def test_a_wrong_column_changes_nothing(cinderlib: Command) -> None:
    refused = cinderlib("volume", "create", "data", "1GiB", "--columns", "naem", ends=2)
    assert "did you mean name?" in refused.stderr
    refused = cinderlib("volume", "create", "data", "1GiB", "-o", "json", "--columns", "x", ends=2)
    check(json.loads(refused.stderr), "error")
    both = cinderlib("volume", "list", "--json", "-o", "csv", ends=2)
    assert "Choose one output format" in both.stderr
    assert cinderlib.files == []


def test_the_schema_is_current() -> None:
    script = ROOT / "scripts" / "output-schema"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr


@pytest.mark.slow
def test_the_output_of_all_verbs_follows_the_schema(filled: Command) -> None:
    def items(kind: str, *arguments: str, ends: int | None = 0) -> list[Any]:
        found = filled(*arguments, "--json", ends=ends).json
        for item in found if isinstance(found, list) else [found]:
            check(item, kind)
        assert not _has_null(found)
        if arguments[1:2] in (("list",), ("show",)):
            with_nulls = filled(*arguments, "--json", "--nulls", ends=ends).json
            for item in with_nulls if isinstance(with_nulls, list) else [with_nulls]:
                check(item, kind)
        return found if isinstance(found, list) else [found]

    (volume,) = items("volume", "volume", "create", "new", "1", "--id", _ID)
    assert (volume["size_bytes"], volume["changed"]) == (2**30, True)
    items("snapshot", "snapshot", "create", "new", "monday")
    (attached,) = items("connection", "volume", "attach", "new")
    assert attached["path"].startswith("/dev/")
    listed = items("volume", "volume", "list")
    assert [volume["path"] for volume in listed if "path" in volume] == [attached["path"]]
    assert [volume["protocol"] for volume in listed if "protocol" in volume] == ["local"]
    (shown,) = items("volume", "volume", "show", "new")
    assert [each["path"] for each in shown["connections"]] == [attached["path"]]
    assert [each["name"] for each in shown["snapshots"]] == ["monday"]
    assert items("snapshot", "snapshot", "list")[0]["volume"] == "new"
    items("snapshot", "snapshot", "show", "monday")
    assert items("connection", "connection", "list")[0]["host"]
    items("connection", "connection", "show", attached["id"])
    items("attachment", "node", "list")
    items("leftover", "node", "leftovers")
    items("volume", "volume", "detach", "new")
    items("backend", "backend", "list")
    (pool,) = items("pool", "backend", "stats")
    assert pool["total_bytes"] > pool["free_bytes"] > 0
    items("check", "backend", "check")
    items("capability", "backend", "capabilities")
    assert len(items("manageable", "volume", "manageable", "--all")) > 1
    items("manageable", "snapshot", "manageable", "--all")
    items("extent", "volume", "extents", "new")
    items("extent", "snapshot", "extents", "monday")
    assert len(items("driver", "driver", "list")) > 50
    items("recovered", "recover")
    items("volume", "snapshot", "revert", "monday", "--yes")
    (filled.volumes / "volume-aaaaaaaa-0000-4000-8000-000000000001").touch()
    assert items("discrepancy", "reconcile", ends=1)


_ID = "12345678-0000-4000-8000-000000000001"


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


@needs_tmux
@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 200])
def test_tables_fit_the_terminal(cinderlib: Command, columns: int) -> None:
    ids = ["abcdef01-0000-4000-8000-000000000001", "abcdef01-2000-4000-8000-000000000002"]
    names = [f"a-long-name-of-a-volume-of-the-customer-in-the-north-{n}" for n in (1, 2)]
    for id, name in zip(ids, names, strict=True):
        cinderlib("volume", "create", name, "1GiB", "--id", id)
        cinderlib("snapshot", "create", name, f"before-the-upgrade-of-{name}")
    command = shlex.join(COMMAND)
    with open_terminal(cinderlib.folder, cinderlib.environment, columns) as terminal:
        for noun in ("volume", "snapshot"):
            # A wrapped line would not end where a line of the table ends.
            terminal.type(f"clear; {command} {noun} list; echo listed {noun}")
            screen = terminal.until(lambda s, noun=noun: f"\nlisted {noun}" in s)
            lines = screen[: screen.index(f"\nlisted {noun}")].splitlines()
            table = [line for line in lines if line][-3:]
            assert "STATUS" in table[0]
            assert all("available" in line for line in table[1:])
            for id in ids if noun == "volume" else ():
                # As short as possible, but different.
                assert f"{id[:10]} " in screen
            if noun == "volume":
                assert (names[0] in screen) == (columns == 200)
        terminal.type(f"clear; {command} volume list -o wide | tr -s ' ' '\\n'; echo all")
        screen = terminal.until(lambda s: "\nall" in s)
        assert all(f"\n{text}\n" in screen for text in (*ids, *names))


def test_help_fits_80_columns() -> None:
    def check(command: click.Command, name: str, parent: click.Context | None) -> None:
        with click.Context(command, info_name=name, parent=parent, terminal_width=80) as ctx:
            text = command.get_help(ctx)
            assert all(len(line) <= 80 for line in text.splitlines()), ctx.command_path
            if isinstance(command, click.Group):
                assert "..." not in text.partition("Commands:")[2], ctx.command_path
                for each in command.list_commands(ctx):
                    found = command.get_command(ctx, each)
                    assert found is not None
                    check(found, each, ctx)

    check(cli, "cinderlib", None)


@pytest.mark.slow
def test_output_in_a_locale_without_the_characters(cinderlib: Command) -> None:
    cinderlib("volume", "create", "Größe-日本", "1GiB")
    for format in ("table", "json", "yaml", "csv", "name", "value"):
        shown = cinderlib.process(
            "volume", "list", "-o", format, "--columns", "name", without=("LC_ALL", "LANG")
        )
        assert shown.returncode == 0, shown.stderr
    listed = subprocess.run(
        f"{shlex.join(COMMAND)} volume list -o csv | head -1",
        shell=True, capture_output=True, text=True, check=True,
        env={**cinderlib.environment, "PYTHONIOENCODING": "latin-1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert listed.stdout == "id,name,size_bytes,status,backend,hosts\n"
    assert listed.stderr == ""
