"""Type checks of programs that use the library."""

from __future__ import annotations

import inspect
import json
import pathlib
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator, Mapping

import pytest

import cinderlib as cl
from cinderlib.objects import keywords

HERE = pathlib.Path(__file__).parent
PROGRAMS = pathlib.Path(sys.executable).parent
RIGHT, MISTAKES = "right_program.py", "mistakes.py"

#: The lines of a file with errors, and the messages.
Errors = Mapping[int, str]


def _mypy(folder: pathlib.Path) -> Iterator[tuple[str, int, str]]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-pretty", "--config-file=", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    for file, line, message in re.findall(
        r"^([^:\n]+):(\d+): error: (.*)$", done.stdout, re.MULTILINE
    ):
        yield file, int(line), message


def _pyright(folder: pathlib.Path) -> Iterator[tuple[str, int, str]]:
    settings = {"typeCheckingMode": "strict", "reportMissingTypeStubs": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [PROGRAMS / "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        if each["severity"] == "error":
            yield (
                pathlib.Path(each["file"]).name,
                each["range"]["start"]["line"] + 1,
                each["message"],
            )


@pytest.fixture(scope="module", params=[_mypy, _pyright])
def errors(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Errors]:
    """The errors that a type checker finds in each of the two programs."""
    folder = tmp_path_factory.mktemp("programs")
    for name in (RIGHT, MISTAKES):
        shutil.copy(HERE / name, folder)
    found: dict[str, dict[int, str]] = {}
    for name, line, message in request.param(folder):
        found.setdefault(name, {})[line] = message
    return lambda name: found.get(name, {})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_right_program_has_no_errors(errors: Callable[[str], Errors]) -> None:
    assert errors(RIGHT) == {}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mistake_is_found(errors: Callable[[str], Errors]) -> None:
    lines = (HERE / MISTAKES).read_text().splitlines()
    wrong = {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}
    assert len(wrong) >= 20
    found = errors(MISTAKES)
    assert found.keys() == wrong, found


#: Used by other modules of the library, but not part of the reference.
INTERNAL = {
    "Controller": {
        "document_options", "journal", "loaded", "local_connector", "local_host", "name_in_storage",
        "peek_volume", "type_specs", "wrap",
    },
    "RemoteController": {"type_specs", "wrap"},
    "VolumeType": {"of"},
}  # fmt: skip


def test_the_right_program_uses_the_whole_public_api() -> None:
    program = (HERE / RIGHT).read_text()
    unused = [name for name in cl.__all__ if not re.search(rf"\b{name}\b", program)]
    for name in cl.__all__:
        public = getattr(cl, name)
        if inspect.isclass(public):
            for member in dir(public):
                if member.startswith("_") or member in INTERNAL.get(name, ()):
                    continue
                if not re.search(rf"\.{member}\b", program):
                    unused.append(f"{name}.{member}")
    for kind in vars(keywords).values():
        if typing.is_typeddict(kind):
            unused += [key for key in kind.__annotations__ if f"{key}=" not in program]
    assert not unused, "\n".join(unused)


def test_no_public_type_is_any() -> None:
    unknown = []
    for name in cl.__all__:
        public = getattr(cl, name)
        for member in [public, *vars(public).values()] if inspect.isclass(public) else [public]:
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if not inspect.isfunction(function) or function.__name__.startswith("_"):
                continue
            unknown += [
                f"{function.__qualname__}: {argument}"
                for argument, hint in function.__annotations__.items()
                if hint == "Any"
            ]
    assert not unknown
