"""``cinderlib top``."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time

import jsonschema
import pytest
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

from cinderlib.cli.sizes import of_seconds

GIB = 1024**3
ORPHAN = "aaaaaaaa-0000-4000-8000-000000000001"
TESTS = pathlib.Path(__file__).parents[1]


@pytest.fixture
def volumes(cinderlib: Command) -> Command:
    for name in ("data", "mail"):
        cinderlib("volume", "create", name, "2GiB")
    return cinderlib


def problems(cinderlib: Command) -> list[tuple[str, str, str]]:
    found = cinderlib("top", "-o", "json").json["attention"]
    return [(each["problem"], each["kind"], each["name"]) for each in found]


def test_pools_have_their_capacity_and_provisioned_size(volumes: Command) -> None:
    found = volumes("top", "--once", "-o", "json").json
    assert (found["operations"], found["attention"]) == ([], [])
    (pool,) = found["pools"]
    assert (pool["backend"], pool["pool"], pool["volumes"]) == ("files", "files", 2)
    assert pool["provisioned_bytes"] == 4 * GIB
    assert 0 < pool["free_bytes"] < pool["total_bytes"]
    lines = volumes("top").stdout.splitlines()
    assert lines[0] == "Pools: 1"
    assert " ".join(lines[1].split()) == "BACKEND POOL TOTAL FREE USED PROVISIONED VOLUMES"
    assert lines[2].split()[:2] == ["files", "files"]
    assert lines[3:] == ["", "Operations: 0", "", "Attention: 0"]


def test_before_the_first_volume_nothing_is_made(cinderlib: Command) -> None:
    (pool,) = cinderlib("top", "-o", "json").json["pools"]
    assert (pool["volumes"], pool["provisioned_bytes"]) == (0, 0)


def test_orphans_and_errors_need_attention(volumes: Command) -> None:
    (volumes.volumes / f"volume-{ORPHAN}").touch()
    assert problems(volumes) == [("orphan", "volume", f"volume-{ORPHAN}")]
    (volumes.volumes / f"volume-{ORPHAN}").unlink()
    # A folder in the place of a volume: the driver cannot create it.
    (volumes.volumes / f"volume-{ORPHAN}").mkdir()
    volumes("volume", "create", "bad", "1GiB", "--id", ORPHAN, ends=None)
    assert ("failed", "volume", "bad") in problems(volumes)
    assert ("error", "volume", "bad") in problems(volumes)
    (volumes.volumes / f"volume-{ORPHAN}").rmdir()
    volumes("volume", "create", "bad", "1GiB", "--id", ORPHAN)
    assert problems(volumes) == []


def test_a_backend_that_fails_does_not_hide_others(volumes: Command) -> None:
    (volumes.folder / "file").touch()
    volumes.config.write_text(
        volumes.config.read_text()
        + f'\n[backends.broken]\nvolume_driver = "file"\nfile_root = "{volumes.folder}/file/x"\n'
    )
    found = volumes("top", "-o", "json").json
    assert [(each["problem"], each["name"]) for each in found["attention"]] == [
        ("unavailable", "broken")
    ]
    assert [each["backend"] for each in found["pools"]] == ["files", "broken"]
    assert [each["backend"] for each in volumes("top", "files", "-o", "json").json["pools"]] == [
        "files"
    ]


def test_wrong_arguments_are_refused(volumes: Command) -> None:
    assert "is not configured" in volumes("top", "other", ends=5).stderr
    assert "0.1<=x<=3600" in volumes("top", "--interval", "0", ends=2).stderr
    assert "'csv' is not" in volumes("top", "-o", "csv", ends=2).stderr


@pytest.mark.alone(reason="the driver waits for files that this process makes")
def test_running_and_interrupted_operations(
    cinderlib: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = cinderlib.config.read_text()
    cinderlib.config.write_text(text.replace('"file"', '"cli.slow_driver.SlowDriver"'))
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    gate = cinderlib.folder / "gate"
    process = subprocess.Popen(
        [*COMMAND, "volume", "create", "slow", "1GiB"],
        env={**os.environ, **cinderlib.environment, "GATE": str(gate)},
    )
    while not gate.with_suffix(".reached").exists():
        assert process.poll() is None
        time.sleep(0.02)
    (operation,) = cinderlib("top", "-o", "json").json["operations"]
    assert (operation["operation"], operation["name"]) == ("volume.create", "slow")
    assert (operation["outcome"], operation["pid"]) == ("running", process.pid)
    assert operation["seconds"] > 0
    table = cinderlib("top").stdout
    assert "Operations: 1" in table
    assert "volume.create" in table
    process.send_signal(signal.SIGKILL)
    process.wait()
    # It only shows it: it does not recover.
    for _ in range(2):
        assert ("interrupted", "volume", "slow") in problems(cinderlib)
    cinderlib("recover")
    assert problems(cinderlib) == []


@needs_tmux
@pytest.mark.parametrize(
    ("columns", "locale"),
    [
        (80, "C.UTF-8"),
        pytest.param(200, "C.UTF-8", marks=pytest.mark.slow),
        pytest.param(80, "en_US.ISO-8859-1", marks=pytest.mark.slow),
    ],
)
def test_the_display_updates_itself_on_a_terminal(
    volumes: Command, columns: int, locale: str
) -> None:
    command = shlex.join(COMMAND)
    environment = {**volumes.environment, "LC_ALL": locale}
    with open_terminal(volumes.folder, environment, columns=columns) as terminal:
        terminal.type(f"clear; {command} top --interval 0.2; echo ended with $?")
        screen = terminal.until(lambda screen: "GiB" in screen and "Attention: 0" in screen)
        assert "q: quit" in screen
        (volumes.volumes / f"volume-{ORPHAN}").touch()
        volumes("volume", "create", "late", "3GiB")
        # The number of volumes is read from the store at each update, and their sum once a minute.
        terminal.until(lambda screen: re.search(r"^files .* 3 *$", screen, re.MULTILINE))
        terminal.press("q")
        screen = terminal.until(lambda screen: "ended with 0" in screen)
        assert "Pools" not in screen
        terminal.type(f"clear; {command} top; echo ended with $?")
        terminal.until(lambda screen: "Attention: 1" in screen and "orphan" in screen)
        terminal.press("C-c")
        terminal.until(lambda screen: "ended with 0" in screen)


@pytest.mark.parametrize(
    "closed",
    ["| head -1", *(pytest.param(each, marks=pytest.mark.slow) for each in (">&-", "<&-"))],
)
def test_closed_output_is_no_error(volumes: Command, closed: str) -> None:
    done = subprocess.run(
        f"{shlex.join(COMMAND)} top {closed}", shell=True,
        env={**os.environ, **volumes.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr


def test_json_is_in_the_schema(volumes: Command) -> None:
    schema = json.loads((TESTS.parent / "docs/output-schema.json").read_text())
    (volumes.volumes / f"volume-{ORPHAN}").touch()
    found = volumes("top", "-o", "json").json
    jsonschema.Draft202012Validator({**schema, "$ref": "#/$defs/top"}).validate(found)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3900, "1 h 5 min"), (90061, "1 d 1 h")],
)
def test_durations_are_shown(seconds: float, text: str) -> None:
    assert of_seconds(seconds) == text
