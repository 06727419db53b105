"""The code in README.md and docs/ works as described; see :mod:`pages` for the rules."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pages
import pytest
import run_page

RUNNER = pathlib.Path(__file__).with_name("run_page.py")

#: Seconds. Each command on a page loads Cinder, which takes minutes on a busy machine.
LIMIT = 1740

#: Pages that every commit runs: README.md with the fast tests, the others with the core tests.
FAST, CORE = "README.md", ("docs/quick-start.md",)


def _marks(page: str) -> list[pytest.MarkDecorator]:
    if page == FAST:
        return []
    return [pytest.mark.slow, *([pytest.mark.core] if page in CORE else [])]


def _loop_devices(folder: pathlib.Path) -> list[str]:
    found = []
    for attribute in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        if attribute.read_text().startswith(f"{folder}/"):
            found.append(f"/dev/{attribute.parts[3]}")
    return found


@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("page", [pytest.param(page, marks=_marks(page)) for page in pages.pages()])
def test_the_code_of_a_page_runs_without_leaving_devices(page: str, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, RUNNER, page],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    left = _loop_devices(folder)
    for device in left:
        subprocess.run(["losetup", "--detach", device], check=True)
    assert done.returncode in (0, run_page.SKIPPED), done.stdout
    assert not left
    if done.returncode:
        pytest.skip(done.stdout.splitlines()[-1])


def test_the_pages_that_every_commit_runs_exist() -> None:
    assert {FAST, *CORE} <= set(pages.pages())


def test_python_runs_unless_a_reason_is_specified() -> None:
    page = (
        "```python\nshown = 1\n```\n<!-- not run: needs\n an array -->\n```python\narray()\n```\n"
        "<!-- run\nhidden = 2\n-->\n\n- in a list:\n\n  ```python\n  if shown:\n      pass\n  ```\n"
        "```console\n$ false\n```\n<!-- run -->\n```console\n$ true\n```\n```toml\nx = 1\n```\n"
        "<!-- not run: long ago -->\nwords between\n```python\nmore = 3\n```\n"
    )
    blocks = [(b.language, b.code, b.not_run, b.line) for b in pages.parse("x.md", page)]
    assert blocks == [
        ("python", "shown = 1\n", None, 2),
        ("python", "array()\n", "needs an array", 7),
        ("python", "hidden = 2", None, 10),
        ("python", "if shown:\n    pass\n", None, 16),
        ("console", "$ true\n", None, 24),
        ("python", "more = 3\n", None, 32),
    ]


@pytest.mark.parametrize(
    "text", ["```\nx\n```\n", "```py\nx\n```\n", "<!-- run -->\n```toml\nx = 1\n```\n"]
)
def test_a_block_that_would_be_skipped_silently_is_an_error(text: str) -> None:
    with pytest.raises(pages.PageError):
        list(pages.parse("x.md", text))


def test_a_wrong_example_fails(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "x.md").write_text(
        "```python\nsize = 1\n```\ntext\n```python\nassert size == 2\n```\n"
    )
    with pytest.raises(AssertionError) as caught:
        run_page.main("x.md")
    assert caught.traceback[-1].lineno == 5  # counted from 0: the line in the page

    (tmp_path / "y.md").write_text("<!-- run -->\n```console\n$ echo one\ntwo\n```\n")
    with pytest.raises(SystemExit, match=r"y\.md:3: \$ echo one"):
        run_page.main("y.md")

    (tmp_path / "z.md").write_text(
        "```python\nprint('one id')\n```\n<!-- prints -->\n```text\none ...\n```\n"
        "<!-- prints -->\n```text\ntwo\n```\n"
    )
    with pytest.raises(SystemExit, match=r"z\.md:10: printed was\none id"):
        run_page.main("z.md")


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (
            "Created 5e2f4c1a-9b7d-4f3e-8a60-1c2d3e4f5a6b",
            "Created 0c1d6a5e-4b43-4a9c-9d0e-7f2f1b3c5d88",
            True,
        ),
        ("5e2f4c1a  data", "00112233  data", True),
        ("5e2f4c1a  data", "5e2f4c1a  logs", False),
        ("/dev/loop0", "/dev/loop17", True),
        ("/dev/loop0", "/tmp/x/volumes/volume-93b1a1de-9f6b-4c9e-8a39-5d7e6c1f2b04", True),
        ("/dev/loop0", "/dev/null", False),
        ("at 2026-11-28 10:00:00", "at 2030-01-02 03:04:05", True),
        ("Created 5e2f4c1a-9b7d-4f3e-8a60-1c2d3e4f5a6b", "Created data", False),
        ("one ... three", "one two three", True),
    ],
)
def test_an_id_a_device_and_a_time_match_others_of_their_kind(
    shown: str, printed: str, same: bool
) -> None:
    assert run_page.as_expected(shown, printed + "\n") is same
