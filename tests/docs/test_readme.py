"""The test commands in README.md find tests."""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys

import pages
import pytest

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


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="the picture is of the demo as root")
def test_the_picture_of_the_demo_shows_its_steps() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cinderlib.demo"], capture_output=True, text=True, check=True
    )
    picture = (pages.ROOT / "docs" / "images" / "demo.svg").read_text()
    shown = html.unescape(re.sub("<[^>]+>", "", picture)).replace("\xa0", " ")
    steps = re.compile(r"✓ (.+?)  ")
    assert steps.findall(shown) == steps.findall(done.stdout), "run scripts/demo-picture"
