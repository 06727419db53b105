"""Correct options are accepted without Cinder; every other case is left to the complete check."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli.command import COMMAND

from cinderlib import drivers, errors
from cinderlib.drivers import names, quick_check

VALUES: list[Any] = [
    *(
        "",
        "text",
        "a,b",
        "a, b,",
        "$my_ip",
        "${x}",
        "$",
        "'quoted'",
        "one two",
        "true",
        "True",
        "on",
    ),
    *("false", "no", "yes", "0", "1", "007", "-1", "+1", " 1 ", "1.5", "nan", "inf", "²", "1_0"),
    *(True, False, 0, 1, 5, -1, 80, 65535, 65536, 2**31, 2**62, 10**400, 0.5, 1.0, 1e300),
    *(float("nan"), float("inf"), "default", "thin", "iscsi", "iSCSI", "fc", "192.0.2.1", "::1"),
    *(["a", "b"], [], [1], [True], ["$x"], [["a"]], {"a": "b"}, {}, "k:v", "/", "/tmp", "\n", "ü"),
    *("9" * 20, "9" * 5000),
]
#: Drivers with options of all types.
DRIVERS = (
    "lvm",
    "rbd",
    "file",
    "netapp_iscsi",
    "pure_iscsi",
    "powermax_fc",
    "hpe_3par_iscsi",
    "nfs",
)


@pytest.fixture
def is_accepted(settings: drivers.Settings) -> Callable[[Any, Any], bool]:
    """Whether the complete check accepts a value for an option."""
    drivers.prepare(settings)
    from cinderlib.drivers import options

    def accepts(opt: Any, value: Any) -> bool:
        group = options.new_group()
        try:
            options.take(group, "b", {opt.dest: value}, {opt.dest: opt}, strict=True)
        except errors.ConfigurationError:
            return False
        finally:
            options.clear(group)
        return True

    return accepts


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_value_is_accepted_that_the_complete_check_refuses(
    driver: str, is_accepted: Callable[[Any, Any], bool]
) -> None:
    from cinderlib.drivers import loading, options, quick_rules

    accepted: set[str] = set()
    kinds: set[str] = set()
    found = options.declared(loading.import_class(names.resolve(driver)))
    for dest, opt in found.items():
        rule = quick_rules.rule(opt) if dest == opt.dest else None
        if rule is None:
            continue
        kinds.add(rule.kind)
        for value in [*VALUES, *(rule.choices or ())]:
            if quick_check.is_correct(value, rule):
                assert is_accepted(opt, value), (dest, value)
                accepted.add(dest)
    # The other way round: each of these options has a value that is accepted.
    simple = {dest for dest, opt in found.items() if dest == opt.dest and quick_rules.rule(opt)}
    assert accepted == simple
    assert {"text", "integer", "boolean"} <= kinds
    assert len(simple) > 0.7 * len(found)


RIGHT: list[dict[str, Any]] = [
    {"volume_driver": "file", "file_root": "/srv/volumes"},
    {"volume_driver": "FileDriver", "file_root": "/srv", "isolation": "process"},
    {"volume_driver": "file", "file_root": "/srv", "reserved_percentage": 10},
    {"volume_driver": "lvm", "volume_group": "vg", "lvm_type": "thin", "target_port": "3261"},
    {"volume_driver": "rbd", "rbd_pool": "volumes", "rbd_user": "cinder"},
    {"volume_driver": "pure_iscsi", "san_ip": "192.0.2.1", "san_password": "pa$word"},
    {"volume_driver": "cinder.volume.drivers.lvm.LVMVolumeDriver", "volume_group": "vg"},
]
#: Options that replace some of the right ones.
WRONG: list[dict[str, Any]] = [
    {"file_root": "relative"},
    {"file_root": ""},
    {"file_root": 5},
    {"file_root": "/" + "x" * 5000},
    {"volume_driver": "fil"},
    {"volume_driver": "cinder.volume.drivers.lvm.Nothing"},
    {"volume_driver": "nowhere.Driver"},
    {"volume_driver": 5},
    {"reserved_percentage": 101},
    {"reserved_percentage": "many"},
    {"lvm_type": "thick"},
    {"target_port": 70000},
    {"use_multipath_for_image_xfer": "perhaps"},
    {"isolation": "yes"},
    {"memory_limit": 512},
    {"unknown_option": 1},
    {"san_ipp": "192.0.2.1"},
    {"san_password": ["a"]},
    {"call_timeout": 5.0},
]


def _verdict(options: dict[str, Any], settings: drivers.Settings) -> Any:
    try:
        return drivers.check("b", options, settings=settings)
    except errors.CinderlibError as error:
        return type(error), str(error), error.resource


def test_the_verdict_is_that_of_the_complete_check(
    settings: drivers.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cases = [*RIGHT, *({**right, **wrong} for right in RIGHT for wrong in WRONG)]
    monkeypatch.setattr(quick_check, "is_useful", lambda settings: False)
    complete = [_verdict(case, settings) for case in cases]
    assert not (tmp_path / "cache").exists()

    monkeypatch.setattr(quick_check, "is_useful", lambda settings: True)
    assert [quick_check.accepted(case) for case in cases] == [None] * len(cases)
    assert [_verdict(case, settings) for case in cases] == complete  # keeps the rules
    assert [_verdict(case, settings) for case in cases] == complete
    assert [quick_check.accepted(case) for case in RIGHT] == complete[: len(RIGHT)]


def test_rules_of_another_driver_are_not_kept(
    settings: drivers.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can change without a change of the installed packages."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(quick_check, "is_useful", lambda settings: True)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "richer.py").write_text(
        "from cinderlib.drivers.file.driver import FileDriver\nclass Richer(FileDriver): ...\n"
    )
    given = {"volume_driver": "richer.Richer", "file_root": "/srv"}
    drivers.check("b", given, settings=settings)
    assert quick_check.accepted(given) is None


def test_it_is_used_only_if_it_saves_the_import_of_cinder(settings: drivers.Settings) -> None:
    drivers.prepare(settings)
    assert not quick_check.is_useful(settings)


@pytest.mark.slow
def test_the_second_check_of_a_configuration_does_not_import_cinder(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def check(text: str) -> tuple[str, bool]:
        config.write_text(text)
        config.chmod(0o600)
        program = [*COMMAND[:1], "-X", "importtime", *COMMAND[1:], "--config", str(config)]
        done = subprocess.run(
            [*program, "config", "check"], env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        lines = done.stderr.splitlines()
        messages = [line for line in lines if not line.startswith("import time:")]
        imported = any(line.split("|")[-1].strip() == "cinder.objects" for line in lines)
        return "\n".join([str(done.returncode), done.stdout, *messages]), imported

    right = (
        f'[controller]\nstate_path = "{tmp_path}/state"\n[backends.b]\nvolume_driver = "lvm"\n'
        'volume_group = "vg"\n'
    )
    first, second = check(right), check(right)
    assert first[0] == second[0]
    assert (first[1], second[1]) == (True, False)
    wrong = f"{right}lvm_type = 'thick'\n"
    text, imported = check(wrong)
    assert imported
    assert f"{config}:6: " in text
