"""``cinderlib doctor``."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from cli.command import Command

pytestmark = pytest.mark.alone(reason="doctor always checks this host itself")


def test_doctor_checks_the_protocols_of_the_backends(cinderlib: Command) -> None:
    done = cinderlib("doctor")
    assert re.search(r"Checked: .*local \(backend files\)", done.stderr)
    assert "error: " not in done.stdout


def test_doctor_checks_requested_protocols(cinderlib: Command) -> None:
    found = cinderlib("doctor", "--protocol", "local", "--protocol", "local", "--json").json
    assert found["protocols"] == {"local": "requested"}
    refused = cinderlib("doctor", "--protocol", "floppy", ends=2)
    assert "multipath" in refused.stderr


def test_hosts_that_share_a_name_are_an_error(cinderlib: Command) -> None:
    for host in ("node-1", "node-2"):
        text = json.dumps({"host": host, "initiator": "iqn.2026-11.org.example:cloned"})
        line = json.dumps({"class": "KeyValue", "format": 1, "key": host, "value": text})
        cinderlib("store", "load", "-", input=line)
    done = cinderlib("doctor", ends=1)
    assert "error: node-1 and node-2 have the same iSCSI initiator name" in done.stdout
    assert "[store.duplicates]" in done.stdout
    assert "1 error" in done.stderr
    findings = cinderlib("doctor", "--json", ends=1).json["findings"]
    (shared,) = [finding for finding in findings if finding["severity"] == "error"]
    fields = {"check", "severity", "problem", "meaning", "commands", "advice"}
    assert set(shared) == fields


def test_repairs_are_available_as_a_script(cinderlib: Command) -> None:
    state = cinderlib.folder / "state"
    state.mkdir()
    state.chmod(0o777)
    shown = cinderlib("doctor").stdout
    assert f"    # chmod 700 {state}" in shown.splitlines()
    script = cinderlib("doctor", "--script").stdout
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    (command,) = [line for line in script.splitlines() if line.startswith("chmod 700 ")]
    subprocess.run(["sh", "-c", command], check=True)
    assert "chmod 700" not in cinderlib("doctor").stdout


def test_a_backend_without_its_secret_is_reported_and_others_are_checked(
    cinderlib: Command,
) -> None:
    cinderlib.write(
        f"""
        [controller]
        state_path = "{cinderlib.folder}/state"
        [backends.files]
        volume_driver = "file"
        file_root = {{ env = "NO_SUCH_VARIABLE" }}
        [backends.others]
        volume_driver = "file"
        file_rot = "/volumes"
        """
    )
    found = cinderlib("doctor", "--json", ends=1).json["findings"]
    problems = [item["problem"] for item in found if item["check"] == "backend.options"]
    assert len(problems) == 2
    assert any("NO_SUCH_VARIABLE" in problem for problem in problems)
    assert any("file_rot" in problem for problem in problems)


def test_a_store_that_cannot_be_opened_is_reported(cinderlib: Command) -> None:
    text = cinderlib.config.read_text()
    url = f"sqlite:///{cinderlib.config}/metadata.sqlite"  # below a file
    cinderlib.write(f'{text}\n[store]\nconnection = "{url}"')
    found = cinderlib("doctor", "--json", ends=1).json["findings"]
    assert "store.reach" in [item["check"] for item in found if item["severity"] == "error"]


def test_a_host_that_only_attaches_needs_no_configuration(cinderlib: Command) -> None:
    cinderlib.config.write_text(f'[controller]\nstate_path = "{cinderlib.folder}/state"\n')
    cinderlib("doctor", "--protocol", "local")
    assert not list(cinderlib.folder.rglob("*.sqlite"))
