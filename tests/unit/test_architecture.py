"""The rules for imports between packages, checked in the source and in a new process."""

from __future__ import annotations

import ast
import dataclasses
import functools
import graphlib
import inspect
import itertools
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import cinderlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "cinderlib").rglob("*.py"))
}

#: External package -> the packages (rooms) of this project that may import it.
ALLOWED = {
    "cinder": ("cinderlib.drivers",),
    "os_brick": ("cinderlib.node",),
    "sqlalchemy": ("cinderlib.persistence.sql",),
    "alembic": ("cinderlib.persistence.sql",),
    "etcd3gw": ("cinderlib.persistence.etcd",),
    "requests": ("cinderlib.keys.castellan", "cinderlib.persistence.etcd"),
    "castellan": ("cinderlib.keys.castellan",),
    "cryptography": ("cinderlib.csi.sealing", "cinderlib.persistence.encryption"),
    "grpc": ("cinderlib.cli.nouns.csi", "cinderlib.csi", "cinderlib.testing.csi"),
    "google": ("cinderlib.csi",),
    "eventlet": ("cinderlib.drivers", "cinderlib.node"),
    "oslo": (
        *("cinderlib.drivers", "cinderlib.keys.castellan", "cinderlib.node"),
        "cinderlib.streams.qcow2",
    ),
}


@dataclasses.dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int
    when_loaded: bool  # an import at module level

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, when_loaded: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, when_loaded
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, when_loaded and not deferred and not _is_for_types(child))


def _imports(module: str, tree: ast.AST, *, is_package: bool) -> Iterator[Import]:
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node, when_loaded in _walk(tree, when_loaded=True):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith(("import_module", "__import__"))
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            names = [str(node.args[0].value)]
        for name in names:
            yield Import(module, name, getattr(node, "lineno", 0), when_loaded)


@functools.cache
def _all_imports() -> list[Import]:
    return [
        found
        for module, path in MODULES.items()
        for found in _imports(
            module, ast.parse(path.read_text()), is_package=path.name == "__init__.py"
        )
    ]


def _room(module: str) -> str:
    """The package or module directly below ``cinderlib`` that contains a module."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and f"cinderlib.{parts[1]}" in MODULES else "cinderlib"


def _module(imported: str) -> str:
    """The module of a dotted name."""
    while imported not in MODULES:
        imported = imported.rpartition(".")[0]
    return imported


def test_the_scan_finds_every_kind_of_import() -> None:
    tree = ast.parse(
        "import cinder.objects as o\n"
        "from . import base\n"
        "from ..records import Record\n"
        "def late():\n    from cinder import db\n    importlib.import_module('os_brick.x')\n"
        "if TYPE_CHECKING:\n    import sqlalchemy\n"
    )
    seen = {
        (i.imported, i.when_loaded)
        for i in _imports("cinderlib.drivers.host", tree, is_package=False)
    }
    assert seen == {
        ("cinder.objects", True),
        ("cinderlib.drivers.base", True),
        ("cinderlib.records.Record", True),
        ("cinder.db", False),
        ("os_brick.x", False),
        ("sqlalchemy", False),
    }


@pytest.mark.parametrize("package", ALLOWED)
def test_a_heavy_package_is_imported_only_by_its_package(package: str) -> None:
    rooms = ALLOWED[package]
    strays = [
        str(i)
        for i in _all_imports()
        if re.match(
            rf"{package}(\.|_\w|$)" if package == "oslo" else rf"{package}(\.|$)", i.imported
        )
        and not any(i.importer == room or i.importer.startswith(f"{room}.") for room in rooms)
    ]
    assert not strays, f"only {' and '.join(rooms)} may import {package}"


def _edges(name: Callable[[str], str]) -> dict[tuple[str, str], Import]:
    """The imports between modules, grouped by ``name``, including those for types and in
    functions."""
    edges: dict[tuple[str, str], Import] = {}
    for found in _all_imports():
        if found.imported.split(".")[0] == "cinderlib":
            edge = (name(found.importer), name(found.imported))
            if edge[0] != edge[1]:
                edges.setdefault(edge, found)
    return edges


def _refuse_circles(edges: dict[tuple[str, str], Import]) -> None:
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        graph.setdefault(importer, set()).add(imported)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        steps = [str(edges[edge]) for edge in itertools.pairwise(circle)]
        pytest.fail("these need each other:\n  " + "\n  ".join(steps))


def test_no_import_cycles_between_packages() -> None:
    _refuse_circles(_edges(_room))


@pytest.mark.parametrize(
    "room", sorted({_room(module) for module in MODULES} - {"cinderlib", "objects"})
)
def test_no_import_cycles_inside_a_package(room: str) -> None:
    """Only in objects/ may classes refer to each other: volumes have connections, and vice
    versa."""
    inside = {
        edge: found
        for edge, found in _edges(_module).items()
        if all(_room(module) == room for module in edge)
    }
    _refuse_circles(inside)


#: The packages through which people and programs use the library.
WAYS_IN = {"cli", "service", "csi", "ovirt", "client"}


def test_ways_in_import_each_other_only_for_a_documented_reason() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    documented = set(re.findall(r"^ *\| `(\w+)/` → `(\w+)/` \| \S", page, re.MULTILINE))
    found = {edge: first for edge, first in _edges(_room).items() if WAYS_IN.issuperset(edge)}
    assert not [str(found[edge]) for edge in found.keys() - documented], "no reason is documented"
    assert not documented - found.keys(), "documented, but not imported"


def test_a_package_uses_no_private_names_of_another() -> None:
    private: dict[str, set[str]] = {}
    trees = {module: ast.parse(path.read_text()) for module, path in MODULES.items()}
    for module, tree in trees.items():
        for name in _private_definitions(tree):
            private.setdefault(name, set()).add(_room(module))
    strays = [
        f"{module}:{line} uses {name} of {' and '.join(sorted(private[name]))}"
        for module, tree in trees.items()
        for name, line in _private_uses(tree)
        if name in private and _room(module) not in private[name]
    ]
    assert not strays


#: Private names of other projects that this project uses too.
FOREIGN = {"_type"}  # a field of oslo.versionedobjects


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in FOREIGN


def _private_definitions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                pass
            case _:
                continue
        if _is_private(name):
            yield name


def _private_uses(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if _is_private(alias.name):
                    yield alias.name, node.lineno


def test_importing_the_library_loads_no_heavy_package() -> None:
    program = "import cinderlib, sys; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = re.compile(
        r"(cinder|os_brick|sqlalchemy|alembic|cryptography|eventlet|oslo_\w+|tooz|grpc|google)(\.|$)"
    )
    assert not [name for name in loaded if heavy.match(name)]


def test_every_public_name_exists_and_has_a_docstring() -> None:
    silent = []
    for name in cinderlib.__all__:
        public = getattr(cinderlib, name)
        if not callable(public):
            continue
        if not inspect.getdoc(public):
            silent.append(name)
        if not inspect.isclass(public):
            continue
        for attribute, value in inspect.getmembers_static(public):
            if attribute.startswith("_"):
                continue
            method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            if not inspect.isroutine(method) and not isinstance(method, property):
                continue
            if not inspect.getdoc(getattr(public, attribute, method) or method):
                silent.append(f"{name}.{attribute}")
    assert not silent, "without a docstring"


def _project_files() -> list[pathlib.Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git work tree, so what belongs to the project is not known")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_no_file_contains_a_path_of_a_particular_machine() -> None:
    root = re.escape(str(ROOT)) + r"(?![\w-])"
    places = [root, "/" + r"root/\.", "/" + r"home/\w", "index" + "-url", "find" + "-links"]
    pattern = re.compile("|".join([*places, r"://[^\s\"'`]*/simple\b"]))
    found = []
    for path in _project_files():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found
