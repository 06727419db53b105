"""The library does not change the process of the program that uses it."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import host_program
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

#: Changes that the import of packages for Cinder or the start of Cinder cause; docs/limitations.md
#: lists them. Aspect -> pattern of a change.
KNOWN = {
    "environment": r"EVENTLET_NO_GREENDNS: None -> yes",
    "import system": r"<six\._SixMetaPathImporter .*: None -> there",
    "loggers": r"(requests|urllib3): \[0, False, True, '\[\]'\] -> .*NullHandler.*",
    "threads": r".*_beat_forever_until_stopped\): None -> there",
    "warnings filters": r".*<class '(requests|urllib3)\.exceptions\..*: None -> there",
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The program's output. It runs once for all tests below."""
    folder = tmp_path_factory.mktemp("host")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EVENTLET_")}
    done = subprocess.run(
        [sys.executable, host_program.__file__, str(folder)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _changes(before: Any, after: Any) -> list[str]:
    """The entries that differ, one on each line."""
    if isinstance(before, list):
        kept = [each for each in after if each in before]
        assert kept == [each for each in before if each in after], "the order is another"
        before, after = (dict.fromkeys(each, "there") for each in (before, after))
    if not isinstance(before, dict):
        before, after = {"value": before}, {"value": after}
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


@pytest.mark.parametrize("aspect", [*host_program.LOOKS, "modules"])
def test_the_host_process_is_unchanged(seen: dict[str, Any], aspect: str) -> None:
    found = seen["different"].get(aspect, {"before": {}, "after": {}})
    known = re.compile(KNOWN.get(aspect, "(?!)"))
    assert [c for c in _changes(found["before"], found["after"]) if not known.fullmatch(c)] == []


@pytest.mark.parametrize("word", ["EVENTLET_NO_GREENDNS", "eventlet", "urllib3", "six", "thread"])
def test_the_known_differences_are_documented(word: str) -> None:
    assert word in (ROOT / "docs" / "limitations.md").read_text()
