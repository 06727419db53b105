"""Programs with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cinderlib.node import program


def test_the_output_and_the_exit_status() -> None:
    script = "read line; echo out $line $HOME; echo err >&2; exit 3"
    done = program.run(
        ["sh", "-c", script], timeout=60, environment={"HOME": "/h"}, text_input="in\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "out in /h\n", "err\n")


def test_the_standard_input_is_empty_and_bytes_are_replaced() -> None:
    assert program.run(["cat"], timeout=60).stdout == ""
    assert program.run(["printf", r"\377"], timeout=60).stdout == "\ufffd"


def test_the_kernel_reports_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends later than its output does."""

    def refuse(seconds: float) -> None:
        raise AssertionError(f"slept {seconds} s")

    monkeypatch.setattr(time, "sleep", refuse)
    script = "import os; os.close(1); os.close(2); os.read(0, 1); x = list(range(10**6))"
    done = program.run([sys.executable, "-c", script], timeout=60)
    assert done.returncode == 0


def test_a_kernel_that_does_not_report_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    assert program.run(["sh", "-c", "exec >&- 2>&-; exit 4"], timeout=60).returncode == 4


@pytest.mark.parametrize("output", ["", "exec >&- 2>&-; "])
def test_a_program_that_does_not_end_is_killed(output: str, tmp_path: Path) -> None:
    script = f"echo $$ >{tmp_path}/process; {output}exec sleep 600"
    with pytest.raises(subprocess.TimeoutExpired):
        program.run(["sh", "-c", script], timeout=0.3)
    process = (tmp_path / "process").read_text().strip()
    assert not os.path.exists(f"/proc/{process}")


def test_a_missing_program() -> None:
    with pytest.raises(FileNotFoundError):
        program.run(["/no/such/program"], timeout=60)
