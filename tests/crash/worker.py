"""A process that runs cases in sequence, each in new child processes.

It imports Cinder once, and forks children before any store, backend or thread exists. Requests and
answers are lines of JSON on stdin and stdout.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import functools
import gc
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

sys.path.insert(0, os.path.dirname(os.path.dirname(__file__)))
sys.path.insert(0, os.path.dirname(__file__))

import death
import luks_host
import points as instrumentation
import served
import together
from points import Points
from scenarios import SCENARIOS, Scenario
from world import World

from cinderlib import drivers, errors
from cinderlib.persistence.sql.statements import Dialect, Form, statements
from cinderlib.persistence.sql.statements import _together as compiled_together
from cinderlib.persistence.sql.statements import together as compile_together
from cinderlib.records import KINDS, IntentRecord

Answer = dict[str, Any]

_base = pathlib.Path(sys.argv[1])
_state = _base / "state"
#: A database without records, which cases with SQLite copy.
_empty = _base / "empty.sqlite"


def adopt_orphans() -> None:
    """Become the parent of processes that children leave running, to wait for them."""
    libc = ctypes.CDLL(None, use_errno=True)
    set_child_subreaper = 36  # from <linux/prctl.h>
    if libc.prctl(set_child_subreaper, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def warm_up() -> None:
    """Prepare data once that each child would otherwise need to prepare."""
    for folder in ("drivers", "locks"):
        (_state / folder).mkdir(parents=True, exist_ok=True)
    drivers.prepare(
        drivers.Settings(
            host="warm", state_path=str(_state / "drivers"), lock_path=str(_state / "locks")
        )
    )
    import array_driver  # noqa: F401
    import os_brick.encryptors.luks  # noqa: F401
    import psycopg2.extras  # noqa: F401
    from cinder import coordination

    import cinderlib.drivers.loading
    import cinderlib.node.local
    import cinderlib.persistence.etcd
    import cinderlib.persistence.object_store  # noqa: F401
    from cinderlib.drivers import loggers
    from cinderlib.persistence.sql import SQLStore

    loggers.quiet()
    # Children do not inherit this thread, and start it again.
    coordination.COORDINATOR.stop()
    SQLStore(f"sqlite:///{_empty}").close()
    combined = _combined_queries()
    for dialect in (Dialect("sqlite", "pysqlite"), Dialect("postgresql", "psycopg2")):
        _compile(dialect, combined)
    # A garbage collection in a child would touch, and therefore copy, all memory of this process.
    gc.collect()
    gc.freeze()


def _combined_queries() -> list[tuple[Form, ...]]:
    """The groups of queries that operations combine in one statement, from three operations."""

    def queries_of(case: Case) -> Answer:
        case.count()
        keys = [[(kind.kind, *rest) for kind, *rest in key[0]] for key in compiled_together]
        return {"combined": keys}

    combined: set[tuple[Form, ...]] = set()
    for name in ("create from snapshot", "extend attached", "connect second host"):
        case = Case(SCENARIOS[name], None)
        found = in_child(functools.partial(queries_of, case)) or {}
        case.clean()
        combined |= {
            tuple((KINDS[kind], field, limit, tuple(ways)) for kind, field, limit, ways in key)
            for key in found["combined"]
        }
    return list(combined)


def _compile(dialect: Dialect, combined: list[tuple[Form, ...]]) -> None:
    """Compile the statements that most cases need."""
    for forms in combined:
        compile_together(forms, dialect)
    for kind in KINDS.values():
        found = statements(kind, dialect)
        for name, value in vars(type(found)).items():
            if isinstance(value, functools.cached_property):
                getattr(found, name)
        for fields in ((), *((field,) for field in kind.indexed)):
            found.count(fields)
            for after, limited in ((False, False), (False, True), (True, True)):
                found.find(fields, after, limited)


class Died(Exception):
    """A child ended unexpectedly."""


def in_child(work: Callable[[], Answer]) -> Answer | None:
    """Run work in a child. Returns its result, or ``None`` if SIGKILL ended the child."""
    sys.stdout.flush()
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiver)
        _end(work, sender)
    os.close(sender)
    with open(receiver, "rb") as pipe:
        answer = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        # A program that the child started may end before or after recovery checks it. Wait for it,
        # so that recovery always runs the same steps.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        return None
    if status == instrumentation.MOVED:
        step = (_base / instrumentation.MOVED_FILE).read_text()
        raise Died(f"the steps are others than in the run that counted them: {step}")
    if not answer:
        raise Died(f"a child ended with status {status}")
    found: Answer = json.loads(answer)
    if "crash" in found:
        raise Died(found["crash"])
    return found


def _end(work: Callable[[], Answer], sender: int) -> NoReturn:
    with contextlib.suppress(BaseException):
        from cinder import coordination

        coordination.COORDINATOR.start()
        try:
            answer = work()
        except BaseException:
            answer = {"crash": traceback.format_exc()}
        os.write(sender, json.dumps(answer, default=repr).encode())
    os._exit(0)


class Case:
    """A scenario with a store, in a new folder."""

    def __init__(self, scenario: Scenario, store: str | None) -> None:
        self.scenario = scenario
        self.root = _base / "case"
        self.root.mkdir()
        self._url = store or f"sqlite:///{self.root}/store.sqlite"
        if store == "documents":
            self._url = f"documents:{self.root}/documents"

    def open(self, **options: Any) -> World:
        """Open the world as in a new process."""
        self.points = Points(_base)
        self.points.watch_host()
        kinds = {"encrypted": self.scenario.encrypted, "key_files": self.scenario.key_files}
        world = World(self.root, _state, self._url, self.points, **kinds, **options)
        world.unmanaged = self.scenario.unmanaged
        world.driver = self.scenario.driver
        world.has_other = self.scenario.has_other
        return world

    def opened_empty(self, **options: Any) -> World:
        """Open the world without any resources."""
        if self._url.startswith("sqlite"):
            shutil.copy(_empty, self.root / "store.sqlite")
        world = self.open(**options)
        world.empty_store()
        world.load_backend()
        return world

    def prepared(self) -> World:
        """Open the world in the initial state of the operation."""
        world = self.opened_empty()
        self.scenario.prepare(world)
        world.forget_history()
        return world

    def clean(self) -> None:
        """Remove the leftovers of a failed case."""
        luks_host.remove_devices(self.root / "luks")
        for attribute in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                if attribute.read_text().startswith(str(self.root)):
                    device = f"/dev/{attribute.parts[3]}"
                    subprocess.run(["losetup", "--detach", device], check=False)
        shutil.rmtree(self.root)
        shutil.rmtree(_state / "node", ignore_errors=True)

    # --- work of children ------------------------------------------------------------------------

    def count(self) -> Answer:
        """The steps of the operation, and the observations before and after it."""
        world = self.prepared()
        before = world.observe()
        call = self.scenario.start(world)
        self.points.arm()
        call()
        self.points.disarm()
        answer = {"steps": self.points.seen, "before": before, "after": world.observe()}
        problems = world.disagreements()
        if self.scenario.is_recorded:
            problems += world.wrong_in_history(answer["after"], before, answer["after"])
        return answer | {"problems": problems + world.remove_all()}

    def interrupted(self, at: tuple[int, str], action: str) -> Answer:
        """Run the operation with an action at a step."""
        world = self.prepared()
        call = self.scenario.start(world)
        self.points.arm(at, instrumentation.ACTIONS[action])
        raised = _outcome(call)
        self.points.disarm()
        return {"raised": raised}

    def counted_in_service(self) -> Answer:
        """As :meth:`count`, in a service."""
        world = self.prepared()
        before = world.observe()
        code = served.serve(world, self.scenario)
        problems = [] if code == 0 else [f"the client ended with {code}"]
        answer = {"steps": self.points.seen, "before": before, "after": world.observe()}
        return answer | {"problems": problems + world.disagreements() + world.remove_all()}

    def in_service(self, at: tuple[int, str], action: Callable[..., Any] | None) -> Answer:
        """Run the operation in a service with an action at a step, by default the client's end."""
        return {"client": served.serve(self.prepared(), self.scenario, at, action)}

    def without_host(self) -> Answer:
        """Kill the driver's process in each call, before and after the work, while the program
        continues. After the work, kill the process again during recovery."""
        world = self.opened_empty(isolated=True)
        world.never_trim_history()
        # Once without counting: the first operation of a backend asks for its capacity.
        self.scenario.prepare(world)
        self.scenario.start(world)()
        problems = world.remove_all()
        self.scenario.prepare(world)
        before = world.observe()
        call = self.scenario.start(world)
        self.points.arm()
        call()
        self.points.disarm()
        after = world.observe()
        problems += world.remove_all()
        steps = [
            (at, name)
            for at, name in instrumentation.at_all(self.points.seen, frozenset({"driver"}))
            if name.endswith(" before")
        ]
        for at in steps:
            for when in ("before", "after"):
                found = self._without_host(world, at, when, before, after)
                problems += [f"{at[1]}, {when} its work: {problem}" for problem in found]
        world.controller.close()
        return {"problems": problems, "deaths": 2 * len(steps)}

    def _without_host(
        self, world: World, at: tuple[int, str], when: str, before: Answer, after: Answer
    ) -> list[str]:
        self.scenario.prepare(world)
        call = self.scenario.start(world)
        method = at[1].removeprefix("driver.").removesuffix(" before")
        self.points.arm(at, lambda points, name: death.order(world.death, when, method))
        raised = _outcome(call)
        self.points.disarm()
        problems = []
        if world.death.exists():
            problems.append("the process of the driver was not killed")
        # A repair reports the error instead of raising it.
        expected = "CinderlibError" if self.scenario.repairs else "DriverInterrupted"
        if raised is not None and not raised.startswith((expected, "DriverInterrupted")):
            problems.append(raised)
        world.death.unlink(missing_ok=True)
        if when == "after":
            death.order(world.death, "before")
            world.controller.recover()
            world.death.unlink(missing_ok=True)
        world.controller.recover()
        state = world.observe()
        problems += self._wrong(world, state, before, after)
        problems += self._repeat(world, after)
        return problems + world.remove_all()

    def recovering(self, at: tuple[int, str]) -> Answer:
        """Run recovery in a new process that is killed at a step."""
        world = self.open()
        self.points.arm(at, instrumentation.kill)
        world.load_backend()
        return {}

    def recovered(self, before: Answer, after: Answer, *, failed: bool = False) -> Answer:
        """Check in a new process the result of recovery, and that the operation can be repeated.

        :param failed: whether the first process failed instead of being killed. Its resource is
            then in an error state, to be repeated or removed, and the operation is not interrupted.
        """
        world = self.open()
        interrupted = world.intents()
        self.points.arm()
        world.load_backend()
        self.points.disarm()
        steps = list(self.points.seen)
        left = world.controller.store.find(IntentRecord)
        problems = [f"recovery left work to recover(): {intent}" for intent in left]
        world.controller.recover()
        state = world.observe()
        problems += world.missing_in_history(interrupted)
        if not failed:
            problems += self._wrong(world, state, before, after)
            if self.scenario.is_recorded:
                problems += world.wrong_in_history(state, before, after)
        problems += self._repeat(world, after)
        problems += world.remove_all()
        return {"problems": problems, "steps": steps, "done": state == after}

    def _wrong(self, world: World, state: Answer, before: Answer, after: Answer) -> list[str]:
        """Describe how the state after recovery is wrong."""
        is_repaired = not self.scenario.repairs or state == after
        problems = world.disagreements() if is_repaired else []
        if state not in (before, after) and not self._is_between(world, state, before, after):
            problems.append(f"neither before nor after: {_difference(before, state)}")
        return problems

    def _is_between(self, world: World, state: Answer, before: Answer, after: Answer) -> bool:
        """Whether only some of several volumes are loaded, or of several discrepancies removed,
        and that is correct."""
        if self.scenario.repairs:
            return all(_is_part(state[key], before[key], after[key]) for key in state)
        if not self.scenario.loads or world.controller.store.bulk > 1:
            return False
        others = {**state, "volumes": before["volumes"]}
        return others == before and state["volumes"].items() <= after["volumes"].items()

    def _repeat(self, world: World, after: Answer) -> list[str]:
        """Repeat the call like another program that does not know about the first."""
        try:
            self.scenario.start(world)()
        except errors.NotFound as exc:
            again = f"repeated: {exc}; "
        else:
            again = "repeated: "
        state = world.observe()
        problems = [again + problem for problem in world.disagreements()]
        if state != after:
            problems.append(again + f"not as it should be: {_difference(after, state)}")
        return problems

    def failed(self, at: tuple[int, str], action: str, ending: str, after: Answer) -> Answer:
        """Let the operation fail at a step, and then repeat it on the same object or remove all."""
        world = self.prepared()
        call = self.scenario.start(world)
        self.points.arm(at, instrumentation.ACTIONS[action])
        raised = _outcome(call)
        self.points.disarm()
        problems = []
        if raised is not None and raised.startswith("not ours"):
            problems.append(raised)
        if ending == "retry":
            # A migration succeeds with a warning if its old data cannot be deleted; repeating it
            # deletes the data.
            if raised is not None or world.has_old_data():
                again = _outcome(call)
                if again is not None and world.observe() != after:
                    problems.append(f"the retry failed: {again}")
            problems += world.disagreements()
            state = world.observe()
            if state != after:
                problems.append(f"not as it should be: {_difference(after, state)}")
        if self.scenario.repairs and ending != "retry":
            call()
        # A file that could not be removed may remain if it has no effect, such as a free lock.
        problems += world.remove_all(litter=not at[1].startswith("file.remove"))
        return {"problems": problems, "raised": raised}


def _outcome(call: Callable[[], Any]) -> str | None:
    try:
        call()
    except (errors.CinderlibError, KeyboardInterrupt) as exc:
        return f"{type(exc).__name__}: {exc}"
    except BaseException as exc:
        where = [f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(exc.__traceback__)]
        return f"not ours: {type(exc).__name__}: {exc} ({' '.join(where)})"
    return None


def _is_part(found: Any, before: Any, after: Any) -> bool:
    """Whether only some of the changes were made: of lists of elements, or of mappings."""
    if isinstance(found, dict):
        found, before, after = (list(each.items()) for each in (found, before, after))
    kept = [each for each in before if each in after]
    return all(each in found for each in kept) and all(
        each in before or each in after for each in found
    )


def _difference(wanted: Answer, found: Answer) -> str:
    return "; ".join(
        f"{key} {found[key]}, not {wanted[key]}" for key in wanted if wanted[key] != found[key]
    )


# --- concurrent processes ------------------------------------------------------------------------


def at_once(works: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Run works in concurrent children. Returns their results."""
    with concurrent.futures.ThreadPoolExecutor(len(works)) as threads:
        return [answer or {} for answer in threads.map(in_child, works)]


def work_together(case: Case, what: str, processes: int, threads: int) -> Answer:
    """Run processes with threads that use one volume or many."""

    def prepare() -> Answer:
        world = case.opened_empty()
        if what == "one":
            world.make_volume(together.ONE, multiattach=True)
        return {}

    def work(process: int) -> Callable[[], Answer]:
        def run() -> Answer:
            world = case.open(lock_timeout=together.PATIENCE)
            world.load_backend()
            return together.work(world, what, process, threads)

        return run

    def judge() -> Answer:
        world = case.open()
        world.load_backend()
        return {"problems": together.judge(world, what, left)}

    in_child(prepare)
    answers = at_once([work(process) for process in range(processes)])
    left: together.Left = {}
    for answer in answers:
        for kind, values in answer["left"].items():
            left.setdefault(kind, []).extend(values)
    bad = [text for answer in answers for text in answer["bad"]]
    problems = bad + (in_child(judge) or {})["problems"]
    return {"problems": problems, "refused": sum(len(a["refused"]) for a in answers)}


def start_together(case: Case, processes: int) -> Answer:
    """Start processes with a database without tables and storage without a folder."""

    def start() -> Answer:
        world = case.open()
        world.load_backend()
        world.backend.create_volume(1)
        return {"problems": []}

    def judge() -> Answer:
        world = case.open()
        world.load_backend()
        made = len(list(world.controller.volumes()))
        wrong = [] if made == processes else [f"{made} volumes and not {processes}"]
        return {"problems": wrong + world.disagreements() + world.remove_all()}

    answers = at_once([start] * processes)
    problems = [problem for answer in answers for problem in answer["problems"]]
    return {"problems": problems + (in_child(judge) or {})["problems"]}


# --- requests ------------------------------------------------------------------------------------


def play(request: dict[str, Any]) -> Answer:
    if request["what"] in ("together", "start"):
        case = Case(SCENARIOS["create"], request["store"])
        try:
            if request["what"] == "start":
                return start_together(case, request["processes"])
            return work_together(case, request["on"], request["processes"], request["threads"])
        except Died as exc:
            return {"problems": [str(exc)]}
        finally:
            case.clean()
    case = Case(SCENARIOS[request["scenario"]], request["store"])
    at = (request["at"], request["step"]) if "at" in request else (0, "")
    before, after = request.get("before", {}), request.get("after", {})
    try:
        if request["what"] == "count":
            return in_child(case.count) or {}
        if request["what"] == "count served":
            return in_child(case.counted_in_service) or {}
        if request["what"] == "kill client":
            ended = (in_child(lambda: case.in_service(at, None)) or {}).get("client")
            answer = in_child(lambda: case.recovered(before, after)) or {}
            if ended != -signal.SIGKILL:
                answer["problems"].append(f"the client was not killed but ended with {ended}")
            if not answer["done"]:
                answer["problems"].append("the call was not finished")
            return answer
        if request["what"] == "kill service":
            if in_child(lambda: case.in_service(at, instrumentation.kill)) is not None:
                return {"problems": ["it was not killed"]}
            return in_child(lambda: case.recovered(before, after)) or {}
        if request["what"] == "kill hosts":
            return in_child(case.without_host) or {"problems": ["it was killed"]}
        if request["what"] == "fail":
            action, ending = request["action"], request["ending"]
            if ending != "end":
                return in_child(lambda: case.failed(at, action, ending, after)) or {}
            # The process ends regularly, with operations that it could not settle.
            in_child(lambda: case.interrupted(at, action))
            return in_child(lambda: case.recovered(before, after, failed=True)) or {}
        if in_child(lambda: case.interrupted(at, "kill")) is not None:
            return {"problems": ["it was not killed"]}
        if request["what"] == "kill twice":
            again = (request["again at"], request["again step"])
            if in_child(lambda: case.recovering(again)) is not None:
                return {"problems": ["recovery was not killed"]}
        return in_child(lambda: case.recovered(before, after)) or {}
    except Died as exc:
        return {"problems": [str(exc)]}
    finally:
        case.clean()


def main() -> None:
    adopt_orphans()
    warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(play(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
