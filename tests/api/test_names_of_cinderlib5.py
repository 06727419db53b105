"""Compares the public names of cinderlib 5.2.0 (from ``data/cinderlib5/names.py``) with this
version.

``docs/moving-from-cinderlib5.md`` must explain all differences.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api.conftest import SHARED

import cinderlib as cl
from cinderlib import exception
from cinderlib.objects.resource import Resource

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "cinderlib5"
NAMES = json.loads((DATA / "names.json").read_text())
KINDS = ("Volume", "Snapshot", "Connection")

#: Attributes whose value differs from cinderlib 5.2.0.
OTHER_VALUES = {
    # cinderlib 5 did not set it.
    ("Volume", "attach_status"): "attached",
    ("Connection", "attach_status"): "attached",
}
#: Attributes that drivers set.
A_DRIVERS = {"connection_info", "provider_auth", "progress"}
#: Times, which cinderlib 5 did not record.
TIMES = {"attach_time", "updated_at", "launched_at"}


@pytest.fixture(scope="module")
def page() -> set[str]:
    """The names that the page explains, which it shows as code."""
    text = (ROOT / "docs" / "moving-from-cinderlib5.md").read_text()
    return {name for code in re.findall(r"`([^`\n]+)`", text) for name in re.findall(r"\w+", code)}


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The same resources as names.py creates."""
    root = tmp_path_factory.mktemp("array")
    with cl.Controller(host="controller", state_path=root / "state") as controller:
        backend = controller.backend(
            "array", volume_driver=SHARED, file_root=str(root / "volumes"), array_pools=["array"]
        )
        volume = backend.create_volume(
            2,
            "data",
            "of the test",
            id="00000000-0000-4000-8000-000000000001",
            extra_specs={"a": "b"},
        )
        snapshot = volume.create_snapshot("kept", id="00000000-0000-4000-8000-000000000002")
        connection = volume.connect(
            {"host": "one", "initiator": "iqn.2026-11.org.example:one", "multipath": True},
            id="00000000-0000-4000-8000-000000000003",
            attached_host="one",
            mountpoint="/dev/vdb",
        )
        yield {
            "Volume": volume,
            "Snapshot": snapshot,
            "Connection": connection,
            "Backend": backend,
            "KeyValue": cl.KeyValue("key", "value"),
            "PersistenceDriverBase": cl.persistence.base.PersistenceDriverBase(),
        }


def missing(names: list[str], thing: Any, page: set[str]) -> list[str]:
    """The names that an object lacks and the page does not explain."""
    return [name for name in names if not has(thing, name) and name not in page]


def has(thing: Any, name: str) -> bool:
    # hasattr() on the object would also find attributes of the driver.
    return hasattr(type(thing), name) or name in vars(thing)


def unlike(before: list[list[Any]], function: Any) -> list[str]:
    """The differences that a call for cinderlib 5 would encounter."""
    parameters = list(inspect.signature(function).parameters.values())
    now = {p.name: p for p in parameters}
    anything = {p.kind for p in parameters}
    if inspect.Parameter.VAR_POSITIONAL in anything:
        return []  # accepts any arguments
    wrong = []
    for at, (name, kind, has_default) in enumerate(before):
        if kind == "VAR_KEYWORD":
            # The call itself checks these names.
            if inspect.Parameter.VAR_KEYWORD not in anything:
                wrong.append(f"takes no **{name}")
        elif kind == "VAR_POSITIONAL":
            continue
        elif name not in now:
            wrong.append(f"has no {name}")
        elif parameters.index(now[name]) != at:
            wrong.append(f"{name} has another place")
        elif has_default and now[name].default is inspect.Parameter.empty:
            wrong.append(f"{name} has no default")
    named = {name for name, *_ in before}
    for parameter in parameters:
        required = parameter.default is parameter.empty and parameter.kind.name[:3] != "VAR"
        if parameter.name not in named and required:
            wrong.append(f"needs {parameter.name}")
    return wrong


@pytest.mark.parametrize("kind", [*KINDS, "Backend", "KeyValue", "PersistenceDriverBase"])
def test_attributes_and_methods(kind: str, resources: dict[str, Any], page: set[str]) -> None:
    of_class, thing = NAMES[kind], resources[kind]
    instance = {"Backend": "backend", "KeyValue": "key_value"}.get(kind, "")
    names = [*of_class["attributes"], *of_class.get("instance", ()), *NAMES.get(instance, ())]
    assert missing([*names, *of_class["functions"]], thing, page) == []
    wrong = {}
    for name, parameters in of_class["functions"].items():
        if not hasattr(type(thing), name) or kind == "KeyValue":
            continue
        # Methods of the object are bound, so they have no first parameter.
        given = parameters[1:] if parameters and parameters[0][0] == "self" else parameters
        function = type(thing) if name == "__init__" else getattr(thing, name)
        found = [each for each in unlike(given, function) if each.split()[-1] not in page]
        if found:
            wrong[name] = found
    assert wrong == {}


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_from_cinder(kind: str, resources: dict[str, Any], page: set[str]) -> None:
    versioned, resource = NAMES[kind]["versioned"], resources[kind]
    fields = versioned["fields"]
    assert missing(list(fields), resource, page) == []
    unknown = [name for name in versioned["others"] if not hasattr(resource, name)]
    assert [name for name in unknown if name not in page] == []
    for name, before in fields.items():
        if not has(resource, name):
            continue
        found = getattr(resource, name)
        before = OTHER_VALUES.get((kind, name), before)
        if isinstance(before, dict) and set(before) == {"a"}:
            assert found is not None, name
        elif name in A_DRIVERS | TIMES:
            continue
        else:
            assert found == before, name


def test_connection_info_has_the_keys_of_cinderlib5(resources: dict[str, Any]) -> None:
    before = NAMES["Connection"]["versioned"]["fields"]["connection_info"]
    found = resources["Connection"].connection_info
    assert found.keys() >= before.keys()
    assert found["conn"].keys() == before["conn"].keys()
    assert found["connector"].items() >= before["connector"].items()


def test_values_of_other_names_are_explained(page: set[str]) -> None:
    assert {name for _, name in OTHER_VALUES} <= page


def test_a_volume_type(resources: dict[str, Any]) -> None:
    for name, before in NAMES["VolumeType"].items():
        if isinstance(before, dict) and "raises" in before:
            continue
        assert getattr(resources["Volume"].volume_type, name) == before, name


def test_the_module(page: set[str]) -> None:
    module = NAMES["module"]
    names = [*module["attributes"], *module["functions"]]
    assert [name for name in names if not hasattr(cl, name) and name not in page] == []
    for name, parameters in module["functions"].items():
        assert unlike(parameters, getattr(cl, name)) == [], name
    assert [n for n in NAMES["exception"] if not hasattr(exception, n) and n not in page] == []


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.slow
def test_the_list_of_drivers(version: Any) -> None:
    before = NAMES["list_supported_drivers"][str(version)]
    driver = cl.list_supported_drivers(version)["RBDDriver"]
    options = {option["name"]: option for option in driver["driver_options"]}
    pool = options["rbd_pool"]
    assert sorted(driver) == before["driver"]
    assert sorted(pool) == before["option"]
    assert (pool["default"], pool["required"]) == (before["default"], before["required"])
    assert "rbd_keyring_conf" in options
    if version == 1:
        assert pool["type"] == before["type"]
    else:
        assert pool["type"]["type_class"] == "String"


def test_the_driver_has_its_own_name(resources: dict[str, Any]) -> None:
    assert NAMES["type of the driver"] == "Driver"
    assert type(resources["Backend"].driver).__name__ == "SharedArray"


@pytest.mark.parametrize("kind", KINDS)
def test_other_names_are_set_and_read(kind: str, resources: dict[str, Any]) -> None:
    resource: Resource = resources[kind]
    assert (resource.deleted, resource.deleted_at) == (False, None)
    if kind != "Connection":
        resource.display_name = "other"  # type: ignore[attr-defined]
        assert resource.name == "other"  # type: ignore[attr-defined]
        resource.refresh()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_names_are_those_of_cinderlib5(tmp_path: Path) -> None:
    """``names.json`` is the current output of names.py with 5.2.0."""

    def output(*command: str | Path, cwd: Path) -> str:
        return subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, cwd=cwd
        ).stdout.strip()

    which = "from benchmarks import environment; print(environment.python() or '')"
    python = output(sys.executable, "-c", which, cwd=ROOT)
    if not python:
        pytest.skip("cinderlib 5.2.0 cannot be installed here")
    assert json.loads(output(python, DATA / "names.py", cwd=tmp_path)) == NAMES
