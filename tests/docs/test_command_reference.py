"""The command reference is what the command says of itself."""

from __future__ import annotations

import subprocess
import sys

import pages


def test_the_command_reference_is_current() -> None:
    script = pages.ROOT / "scripts" / "command-reference"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
