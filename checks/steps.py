"""The steps of a run, in their order, and how much of each a commit runs."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess

from checks.parts import Part

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Step:
    """A target of the Makefile.

    :ivar target: its name.
    :ivar minutes: a step that takes longer hangs, and is ended.
    :ivar core_minutes: how long its core takes on a slow day; that time is kept for it.
    :ivar parts: of how many parts a commit runs one, in addition to the core; 1 where it runs all.
    :ivar pytest: whether the target passes ``ARGS`` to pytest.
    """

    target: str
    minutes: float
    core_minutes: float
    parts: int = 1
    pytest: bool = True

    def part(self, commit: str) -> Part:
        """The part that a commit runs."""
        return Part.of_commit(commit, self.parts)


#: What grows gets more parts here, so that a run takes no longer.
STEPS = (
    Step("ready", minutes=20, core_minutes=2, pytest=False),
    Step("check", minutes=10, core_minutes=1, pytest=False),
    Step("docs", minutes=10, core_minutes=2, pytest=False),
    Step("test", minutes=25, core_minutes=7),
    Step("test-slow", minutes=25, core_minutes=2, parts=12),
    Step("fuzz", minutes=15, core_minutes=1, parts=6),
    Step("drivers", minutes=20, core_minutes=2, parts=8),
    Step("crash", minutes=40, core_minutes=1, parts=16),
    Step("lab", minutes=45, core_minutes=7, parts=12),
)


def commit(name: str = "HEAD") -> str | None:
    """The hash of a commit, by default of the current one.

    :returns: None if git does not know it, or there is no git or no work tree of it.
    """
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
