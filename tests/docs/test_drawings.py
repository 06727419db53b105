"""The drawing of the packages in docs/architecture.md shows the imports of the source."""

from __future__ import annotations

import subprocess
import sys

import pages


def test_the_drawing_of_the_packages_is_current() -> None:
    script = pages.ROOT / "scripts" / "packages-drawing"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
