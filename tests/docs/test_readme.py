"""The commands by which README.md proves what it says have tests to run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pages
import pytest

COMMANDS = re.findall(r"`make test ARGS='([^']+)'`", (pages.ROOT / "README.md").read_text())


def test_there_are_such_commands() -> None:
    assert COMMANDS


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_command_in_the_readme_finds_tests(arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *shlex.split(arguments)],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
