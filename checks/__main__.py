"""Runs the checks, and prints at the end which checks ran, which did not, and why some failed."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence

from checks import results
from checks.parts import Part
from checks.steps import ROOT, STEPS, Step, commit

#: Minutes. After the first only core tests start; the minutes of the core of later steps are part
#: of it. A step that still runs after the second is ended.
BUDGET, HARD_LIMIT = 24, 85
#: Most lines about failures at the end of the log.
LINES = 60


@dataclasses.dataclass
class Ran:
    """
    :ivar part_summary: the line of pytest's output that counts the tests of the part.
    """

    step: Step
    seconds: float
    problem: str
    part_summary: str
    counts: results.Counts
    failures: list[results.Failure]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=".ci/run", description=__doc__)
    parser.add_argument("--everything", action="store_true", help="all parts, without a time limit")
    parser.add_argument(
        "--list",
        nargs="?",
        const="",
        metavar="COMMIT",
        help="print what would be run, for the commit that is checked out or for this one",
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help="only these, for example crash")
    options = parser.parse_args(arguments)
    steps = [step for step in STEPS if not options.steps or step.target in options.steps]
    if unknown := set(options.steps) - {step.target for step in STEPS}:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    name = commit(options.list or "HEAD")
    if options.list and name is None:
        parser.error(f"no such commit: {options.list}")
    if name is None and not options.everything:
        print("There is no git work tree here: part 1 of every step.")
    parts = {step.target: _part(step, name, options.everything) for step in steps}
    if options.list is not None:
        print(*(listed(step, parts[step.target]) for step in steps), sep="\n")
        return 0
    # Each step runs in a new session, so a signal to this process does not reach it.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    return run(steps, parts, limited=not options.everything)


def _part(step: Step, name: str | None, everything: bool) -> Part:
    if everything:
        return Part(1, 1)
    return step.part(name) if name else Part(1, step.parts)


def listed(step: Step, part: Part) -> str:
    """A line that describes how much of a step runs."""
    what = "everything" if part.of == 1 else f"the core, and part {part.number} of {part.of}"
    return f"make {step.target:<10} {what}"


def run(steps: Sequence[Step], parts: dict[str, Part], *, limited: bool) -> int:
    """Run the steps, all of them even if some fail, and print the results.

    :returns: the exit status.
    """
    began = time.time()
    done: list[Ran] = []
    with tempfile.TemporaryDirectory(prefix="checks-") as folder:
        for at, step in enumerate(steps):
            if limited:
                limit = min(step.minutes * 60, began + HARD_LIMIT * 60 - time.time())
                kept = sum(later.core_minutes for later in steps[at + 1 :])
                core_only_after = began + (BUDGET - kept) * 60
            else:
                limit, core_only_after = step.minutes * 60 * step.parts, None
            done.append(
                run_step(step, parts[step.target], limit, core_only_after, pathlib.Path(folder))
            )
    return summary(done, parts, time.time() - began)


def command(
    step: Step, part: Part, core_only_after: float | None, junit: pathlib.Path
) -> list[str]:
    """The command of a step."""
    if not step.pytest:
        return ["make", step.target]
    arguments = [f"--junitxml={junit}", "-o", "junit_family=xunit1"]
    if step.parts > 1 and part.of == 1:
        arguments.append("--record-seconds")
    if part.of > 1:
        arguments.append(f"--part={part}")
        if core_only_after is not None:
            arguments.append(f"--core-only-after={core_only_after:.0f}")
    return ["make", step.target, f"ARGS={' '.join(arguments)}"]


def run_step(
    step: Step, part: Part, limit: float, core_only_after: float | None, folder: pathlib.Path
) -> Ran:
    junit = folder / f"{step.target}.xml"
    print(f"=== {listed(step, part)}", flush=True)
    began = time.monotonic()
    status, log = stream(command(step, part, core_only_after, junit), limit)
    seconds = time.monotonic() - began
    counts, failures = results.read(junit)
    problem = ""
    if status is None:
        problem = f"ended after {seconds:.0f} s, which is too long"
        failures.append(results.end_of_log(step.target, log))
        counts.failed += 1
    elif status:
        problem = f"FAILED (status {status})"
        if not failures:
            of_log = results.end_of_log if step.pytest else results.first_errors
            failures.append(of_log(step.target, log))
            counts.failed += 1
    print(f"=== make {step.target}: {problem or 'done'} in {seconds:.0f} s", flush=True)
    part_summaries = [line for line in log.splitlines() if line.startswith(f"part {part}: ")]
    return Ran(
        step, seconds, problem, part_summaries[-1] if part_summaries else "", counts, failures
    )


def stream(command: Sequence[str], limit: float) -> tuple[int | None, str]:
    """Run a command and pass its output on.

    :param limit: seconds.
    :returns: its exit status, None if it was ended after that time; and its output.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        bufsize=0,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    log = bytearray()

    def read() -> None:
        assert process.stdout
        while piece := process.stdout.read(1 << 16):
            log.extend(piece)
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()

    reader = threading.Thread(target=read, daemon=True)
    status: int | None = None
    try:
        reader.start()
        status = process.wait(max(limit, 1))
    except subprocess.TimeoutExpired:
        _end(process)
    except BaseException:
        _end(process)
        raise
    # A server that outlived its test may still hold the pipe.
    reader.join(10)
    return status, log.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    # pytest stops its servers when it is interrupted.
    os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def summary(done: Sequence[Ran], parts: dict[str, Part], seconds: float) -> int:
    """Print how much ran, the causes of failures, and the counts as the last line."""
    print(f"=== Run in {seconds:.0f} s:")
    total = results.Counts()
    for ran in done:
        total += ran.counts
        print(f"{ran.seconds:6.0f} s  {listed(ran.step, parts[ran.step.target])} {ran.problem}")
        if ran.part_summary:
            print(f"{'':10}{ran.part_summary}")
        if ran.counts.late:
            print(f"{'':10}NOT RUN for lack of time: {ran.counts.late} tests, of those not core")
    failures = [failure for ran in done for failure in ran.failures]
    print(*results.report(failures, LINES), sep="\n", end="\n" if failures else "")
    print(total)
    return int(any(ran.problem for ran in done))


if __name__ == "__main__":
    sys.exit(main())
