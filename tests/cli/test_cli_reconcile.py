"""``cinderlib reconcile``."""

from __future__ import annotations

import sqlite3

import pytest
from cli.command import Command

ORPHAN = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"


@pytest.fixture
def differing(cinderlib: Command) -> Command:
    """Two orphans, a volume that is missing on the storage, and a partial file."""
    cinderlib("volume", "create", "data", "1GiB")
    (volume,) = cinderlib.volumes.iterdir()
    volume.unlink()
    for name in (f"volume-{ORPHAN}", f"volume-{OTHER}"):
        (cinderlib.volumes / name).touch()
    return cinderlib


def test_no_differences(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    done = cinderlib("reconcile")
    assert (done.stdout, done.stderr) == (
        "",
        "There are no differences between store and storage.\n",
    )
    assert cinderlib("reconcile", "files", "--json").json == []


def test_differences_are_shown_without_changes(differing: Command) -> None:
    done = differing("reconcile", ends=1)
    assert sorted(row[0] for row in done.rows) == ["missing", "orphan", "orphan"]
    assert "OUTCOME" not in done.stdout
    found = differing("reconcile", "--repair", "--json", ends=1).json
    assert {each["outcome"] for each in found} == {"found"}
    assert {each["remedy"] for each in found} == {"remove"}
    assert len(differing.files) == 2


def test_an_orphan_is_removed_by_its_id(differing: Command) -> None:
    refused = differing("reconcile", "--remove", ORPHAN, ends=2)
    assert f"remove volume-{ORPHAN} with all data. Add --yes" in refused.stderr
    run = differing("reconcile", "--remove", ORPHAN, "--dry-run", ends=1)
    assert f"Would remove volume-{ORPHAN} with all data." in run.stderr
    assert len(differing.files) == 2
    assert "complete ID" in differing("reconcile", "--remove", "aaaaaaaa", "--yes", ends=3).stderr
    ambiguous = differing("reconcile", "--remove", "aaaaaaaa", ends=2)
    assert OTHER in ambiguous.stderr
    assert "missing" in differing("reconcile", "--remove", "bbbb", "--yes", ends=3).stderr
    done = differing("reconcile", "--remove", ORPHAN, "--yes", "--json", ends=1)
    assert [e["outcome"] for e in done.json if e["resource_id"] == ORPHAN] == ["removed"]
    assert differing.files == [f"volume-{OTHER}"]


def test_all_differences_are_repaired(differing: Command) -> None:
    missing = differing("volume", "list", "--json").json[0]["id"]
    ids = [part for id in (ORPHAN, OTHER, missing) for part in ("--remove", id)]
    done = differing("reconcile", "files", "--yes", *ids)
    assert {row[5] for row in done.rows} == {"removed"}
    assert differing.files == []
    assert differing("volume", "list", "--json").json == []
    differing("reconcile")


def test_repair_needs_no_confirmation(cinderlib: Command) -> None:
    id = cinderlib("volume", "create", "data", "1GiB").line
    (path,) = cinderlib.folder.glob("state/*.sqlite")
    with sqlite3.connect(path) as store:
        store.execute(
            "UPDATE cinderlib_volume SET document = json_set(document, '$.status', 'in-use')"
        )
    store.close()
    run = cinderlib("reconcile", "--repair", "--dry-run", ends=1)
    assert run.stderr == "Would repair 1 of the following differences.\n"
    done = cinderlib("reconcile", "--repair")
    assert [row[:6] for row in done.rows] == [
        ["inconsistent", "volume", id, "files", "repair", "repaired"]
    ]
    cinderlib("reconcile")


def test_a_backend_that_cannot_be_loaded_does_not_hide_others(differing: Command) -> None:
    differing.write(
        differing.config.read_text()
        + """
        [backends.broken]
        volume_driver = "file"
        """
    )
    done = differing("reconcile", ends=1)
    assert "Cannot compare backend broken" in done.stderr
    assert len(done.rows) == 3
    assert differing("volume", "list", "--json").json[0]["name"] == "data"
    differing("volume", "create", "more", "1GiB", "--backend", "files")
    assert len(differing("volume", "list").rows) == 2
