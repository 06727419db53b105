"""The checks of a change: the part for a commit, causes of failures, time limits."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import time

import pytest

from checks import __main__ as checks
from checks import results, steps
from checks.parts import Part
from cinderlib.node import block

ROOT = pathlib.Path(__file__).resolve().parents[2]


# --- parts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/2/3"])
def test_invalid_parts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a part"):
        Part.parse(text)


def test_the_parts_have_every_check_once_and_are_balanced() -> None:
    seconds = {f"check {n}": float(n % 7 + (100 if n == 3 else 0)) for n in range(50)}
    parts = [Part(k, 4).choose(list(seconds), seconds.__getitem__) for k in range(1, 5)]
    assert sorted(check for part in parts for check in part) == sorted(seconds)
    assert all(part == sorted(part, key=list(seconds).index) for part in parts)
    longest, *others = sorted((sum(map(seconds.get, part)) for part in parts), reverse=True)
    assert longest < 110
    assert max(others) - min(others) <= 6


def test_a_commit_has_one_part_and_a_few_commits_have_all() -> None:
    commits = [f"{n:040x}" for n in range(60)]
    assert {Part.of_commit(commit, 5).number for commit in commits} == {1, 2, 3, 4, 5}
    assert all(Part.of_commit(c, 5) == Part.of_commit(c, 5) for c in commits)


# --- the plugin ----------------------------------------------------------------------------------

TESTS = """
import time
import pytest

@pytest.mark.core
def test_core(): pass

@pytest.mark.parametrize("n", range(6))
def test_other(n): pass
"""


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['checks.selection']\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def run_pytest(project: pathlib.Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *arguments],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_part_has_the_core_and_lists_the_omitted_tests(project: pathlib.Path) -> None:
    passed: list[str] = []
    for number, processes in ((1, "0"), (2, "2")):
        printed = run_pytest(project, f"--part={number}/2", "-n", processes)
        assert "4 passed" in printed
        assert f"part {number}/2: 1 core tests, 3 of 6 others" in printed
        assert "not in this part: test_it.py::test_other [" in printed
        passed += re.findall(r"PASSED \S+test_other\[(\d)\]|test_other\[(\d)\] PASSED", printed)
    assert sorted(a or b for a, b in passed) == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.slow
def test_durations_are_recorded_and_balance_the_parts(project: pathlib.Path) -> None:
    (project / "checks").mkdir()
    (project / "test_it.py").write_text(
        "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_other(n): pass\n"
    )
    recorded = project / "checks" / "seconds.json"
    long, gone = "test_it.py::test_other[1]", "test_gone.py::test_other"
    recorded.write_text(json.dumps({long: 60.0, gone: 60.0}))
    assert "1 passed, 3 deselected" in run_pytest(project, "--part=1/2")
    assert "3 passed, 1 deselected" in run_pytest(project, "--part=2/2")
    # Short tests and deleted tests need no record.
    assert "4 passed" in run_pytest(project, "--record-seconds")
    assert json.loads(recorded.read_text()) == {}


def test_all_tests_run_without_a_part(project: pathlib.Path) -> None:
    printed = run_pytest(project)
    assert "7 passed" in printed
    assert "not in this part" not in printed


def test_if_time_is_short_only_the_core_runs_and_the_rest_is_skipped(
    project: pathlib.Path,
) -> None:
    junit = project / "junit.xml"
    printed = run_pytest(
        project, "--part=1/2", f"--core-only-after={time.time() - 1}", f"--junitxml={junit}", "-rs"
    )
    assert "no time left for more than the core tests" in printed
    counts, failures = results.read(junit)
    assert counts == results.Counts(passed=1, skipped=3, late=3)
    assert failures == []


# --- steps ---------------------------------------------------------------------------------------


def test_the_checks_of_a_commit_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.main(["--list", "HEAD"]) == 0
    head = steps.commit()
    assert head is not None
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(steps.STEPS)
    for step, line in zip(steps.STEPS, lines, strict=True):
        assert line.startswith(f"make {step.target} ")
        part = step.part(head)
        said = "everything" if step.parts == 1 else f"part {part.number} of {part.of}"
        assert line.endswith(said)
    with pytest.raises(SystemExit):
        checks.main(["--list", "no such commit"])
    assert "no such commit" in capsys.readouterr().err


def test_every_step_is_a_target_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for step in steps.STEPS:
        assert f"\n{step.target}: " in makefile


def test_without_git_part_1_runs_with_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(steps, "ROOT", tmp_path)
    assert steps.commit() is None
    assert checks.main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert "no git work tree" in printed
    assert "part 1 of " in printed


@pytest.fixture
def makefile(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    path = tmp_path / "Makefile"
    path.write_text(
        "good:\n\t@echo fine\n"
        "lint:\n\t@echo x.py:1: wrong >&2; echo and more; exit 3\n"
        "hangs:\n\t@echo $$$$; echo last words; sleep 1000\n"
        f"fails:\n\t@{sys.executable} -m pytest -p no:cacheprovider $(ARGS) {tmp_path}\n"
    )
    return path


def run_steps(*targets: str, minutes: float = 1) -> int:
    chosen = [steps.Step(t, minutes, 0, pytest=t == "fails") for t in targets]
    return checks.run(chosen, {t: Part(1, 1) for t in targets}, limited=True)


@pytest.mark.slow
def test_causes_of_failures_and_counts_are_at_the_end(
    makefile: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    many = "\n".join(f"def test_{n}(): assert {n} == 'text'" for n in range(200))
    (makefile.parent / "test_many.py").write_text(many + "\ndef test_good(): pass\n")
    assert run_steps("lint", "fails", "good") == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "1 passed, 201 failed, 0 skipped"
    end = lines[lines.index("201 failed:") :]
    assert len(end) <= 61
    assert "FAILED make lint" in end
    assert "    x.py:1: wrong" in end
    assert any(line.startswith("FAILED ") and "test_many.py::test_0" in line for line in end)
    assert any("assert 0 == 'text'" in line for line in end)
    assert end[-2] == "and 186 more: see the log above"


def test_a_failed_assertion_is_reported_with_the_end_of_the_output_of_a_program(
    makefile: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (makefile.parent / "test_one.py").write_text(
        "def test_program():\n"
        "    printed = '\\n'.join(f'line {n}' for n in range(300)) + '\\nthe reason'\n"
        "    assert not printed, printed\n"
    )
    assert run_steps("fails") == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "0 passed, 1 failed, 0 skipped"
    end = lines[lines.index("1 failed:") :]
    assert len(end) <= 61
    assert any("the reason" in line for line in end)
    assert any("test_one.py:3: AssertionError" in line for line in end)


@pytest.mark.parametrize(
    "error",
    [
        "E501 Line too long (101 > 100)",
        " --> src/a.py:1:101",
        "src/a.py:12: error: Incompatible types",
        "docs/a.md:3: WARNING: undefined label",
        "Would reformat: src/a.py",
        "docs/a.md:3:19: which-there-are: 'which checks there are': the available, the possible",
    ],
)
def test_the_errors_of_linters_are_found_in_their_output(error: str) -> None:
    log = f".venv/bin/tool\nreading ...\n{error}\n" + "and more\n" * 50
    assert results.first_errors("check", log).cause == [error]


def test_a_step_that_hangs_is_ended_and_its_last_lines_are_reported(
    makefile: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_steps("hangs", "good", minutes=0.02) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == "0 passed, 1 failed, 0 skipped"
    assert "    last words" in lines[-10:]
    assert "fine" in lines


def test_a_run_that_is_stopped_stops_its_steps(makefile: pathlib.Path) -> None:
    program = (
        "import pathlib, sys\nfrom checks import __main__ as checks, steps\n"
        f"checks.ROOT = pathlib.Path({str(makefile.parent)!r})\n"
        "checks.STEPS = (steps.Step('hangs', 5, 0, pytest=False),)\nsys.exit(checks.main([]))\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pid = next(int(line) for line in run.stdout if line.strip().isdigit())
    run.terminate()
    assert run.wait(60) == 143
    run.stdout.close()
    assert block.wait(lambda: has_ended(pid), timeout=60)


def has_ended(pid: int) -> bool:
    """Whether a process does not exist, or is an orphan that init has not reaped yet."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def test_passing_steps_are_counted_and_exit_with_0(
    makefile: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (makefile.parent / "test_good.py").write_text("def test_good(): pass\n")
    assert run_steps("fails", "good") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"
