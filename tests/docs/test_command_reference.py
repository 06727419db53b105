"""The command reference and the manual page are up to date."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pages
import pytest


def test_the_reference_and_the_manual_page_are_current() -> None:
    script = pages.ROOT / "scripts" / "command-reference"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr


@pytest.mark.skipif(not shutil.which("groff"), reason="no groff: apt-get install groff-base")
def test_the_manual_page_is_shown_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou", pages.ROOT / "man" / "cinderlib.1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    assert "cinderlib volume create NAME [SIZE]" in done.stdout
