"""The history of operations on the command line."""

from __future__ import annotations

import json
import pathlib
import subprocess

import jsonschema
import pytest
from cli.command import COMMAND, Command

SCHEMA = json.loads(
    (pathlib.Path(__file__).resolve().parents[2] / "docs" / "output-schema.json").read_text()
)


def test_the_log_shows_operations_also_of_deleted_volumes(cinderlib: Command) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    cinderlib("snapshot", "create", "data", "monday")
    cinderlib("volume", "create", "other", "1GiB")
    cinderlib("volume", "delete", "data", "--cascade", "--yes", ends=0)
    columns = ("--columns", "operation,name,outcome")
    expected = [
        ["volume.create", "data", "done"],
        ["snapshot.create", "monday", "done"],
        ["snapshot.delete", "monday", "done"],
        ["volume.delete", "data", "done"],
    ]
    assert cinderlib("log", id, *columns).rows == expected
    assert cinderlib("log", id[:8], *columns).rows == expected
    assert ["volume.create", "other", "done"] in cinderlib("log", *columns).rows
    assert cinderlib("log", "--limit", "1", *columns).rows == expected[-1:]
    assert cinderlib("log", "--since", "1h", *columns).rows[-1:] == expected[-1:]
    assert "There are no operations." in cinderlib("log", "--since", "2999-01-01T00:00").stderr
    for each in cinderlib("log", "--json").json:
        jsonschema.Draft202012Validator({**SCHEMA, "$ref": "#/$defs/operation"}).validate(each)
    assert "nothing" in cinderlib("log", "nothing", ends=3).stderr
    assert "2026-01-31" in cinderlib("log", "--since", "yesterday", ends=2).stderr


@pytest.mark.slow
def test_the_log_follows(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    process = subprocess.Popen(
        [*COMMAND, "--config", str(cinderlib.config), "log", "--follow", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["operation"] == "volume.create"
        cinderlib("volume", "delete", "data", "--yes")
        line = json.loads(process.stdout.readline())
        assert (line["operation"], line["outcome"]) == ("volume.delete", "done")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
def test_the_limit_of_the_history_is_configured(cinderlib: Command) -> None:
    cinderlib.write(
        f"""
        [controller]
        state_path = "{cinderlib.folder}/state"
        history_limit = 0

        [backends.files]
        volume_driver = "file"
        file_root = "{cinderlib.volumes}"
        """
    )
    cinderlib("volume", "create", "data", "1GiB")
    if type(cinderlib) is Command:  # a running service has its own configuration
        assert "There are no operations." in cinderlib("log").stderr
