"""The test commands in README.md find tests."""

from __future__ import annotations

import html
import os
import re
import runpy
import shlex
import subprocess
import sys

import pages
import pytest
from click.testing import CliRunner

from cinderlib.cli.main import cli

COMMANDS = re.findall(
    r"`make test(?:-slow)? ARGS='([^']+)'`", (pages.ROOT / "README.md").read_text()
)


def test_the_readme_has_test_commands() -> None:
    assert COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_command_in_the_readme_finds_tests(arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *shlex.split(arguments)],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def _shown(picture: str) -> str:
    """The text of a picture of a terminal."""
    text = re.sub(r"</text>", "\n", (pages.ROOT / "docs" / "images" / picture).read_text())
    return html.unescape(re.sub("<[^>]+>", "", text)).replace("\xa0", " ")


def test_the_picture_of_the_command_shows_existing_commands() -> None:
    pictures = runpy.run_path(str(pages.ROOT / "scripts" / "pictures"), run_name="pictures")
    shown = re.sub(r"/dev/loop\d+", "DEVICE", _shown("command.svg"))
    for line in pictures["COMMANDS"]:
        assert f"$ {line}" in shown, "run scripts/pictures command"
        for words in re.findall(r"cinderlib ([a-z]+(?: [a-z]+)?)", line):
            done = CliRunner().invoke(cli, [*words.split(), "--help"])
            assert done.exit_code == 0, words


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="the picture is of the demo as root")
def test_the_picture_of_the_demo_shows_its_steps() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cinderlib.demo"], capture_output=True, text=True, check=True
    )
    shown = _shown("demo.svg").replace("\n", "")
    steps = re.compile(r"✓ (.+?)  ")
    assert steps.findall(shown) == steps.findall(done.stdout), "run scripts/pictures demo"
