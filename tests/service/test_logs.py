"""Each call is one line of the log, with fields."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import shlex
import socket
import sys
from collections.abc import Iterator

import pytest
from logging_journald import JournaldTransport
from service.running import Service

from cinderlib import errors
from cinderlib.service import logs

CALL = logs.Call("root (process 1)", "volume.create", "a\nb", "files", "OK", 0.01234, "op")


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The logger of the service, without the handlers of other tests."""
    own = logging.Logger("cinderlib.service")
    monkeypatch.setattr(logs, "LOG", own)
    return own


def test_the_journal_gets_fields(logger: logging.Logger, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        logger.addHandler(logs.Journal(JournaldTransport(path, connected=False)))
        logs.log(CALL, None)
        entry = journal.recv(65536)
        failed = logs.Call("root", "volume.show", "x", "", "NOT_FOUND", 0.1)
        logs.log(failed, errors.VolumeNotFound("There is no volume x"))
        second = journal.recv(65536)
    assert b"CINDERLIB_VERB=volume.create\n" in entry
    assert b"CINDERLIB_OUTCOME=OK\n" in entry
    assert b"CINDERLIB_SECONDS=0.0123\n" in entry
    assert b"PRIORITY=6\n" in entry
    # A line break in a value must not begin another field: its length is before the value.
    assert b"CINDERLIB_RESOURCE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n" in entry
    assert b"CINDERLIB_ERROR=There is no volume x\n" in second
    assert b"CINDERLIB_BACKEND" not in second


def test_text_is_one_line_of_keys_and_values(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs._KeysAndValues())
    logger.addHandler(handler)
    logs.log(CALL, None)
    (line,) = capsys.readouterr().err.splitlines()
    found = dict(word.partition("=")[::2] for word in shlex.split(line))
    assert found["verb"] == "volume.create"
    assert found["client"] == "root (process 1)"
    assert found["resource"] == "a\\nb"


def test_an_unexpected_error_has_a_traceback_and_a_wrong_request_has_not(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs._JSONLines())
    logger.addHandler(handler)
    for error in (errors.InvalidInput("wrong"), errors.DriverError("array"), ZeroDivisionError()):
        logs.log(CALL, error)
    wrong, array, unexpected = map(json.loads, capsys.readouterr().err.splitlines())
    assert (wrong["level"], array["level"], unexpected["level"]) == ("info", "warning", "error")
    assert "traceback" not in array
    assert "ZeroDivisionError" in unexpected["traceback"]


@pytest.mark.slow
def test_the_service_logs_each_call(folder: pathlib.Path) -> None:
    with Service(folder, service='log = "json"').start() as service:
        service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1, "name": "logged"})
        service.ask("GET", "/v1/volumes/none")
        service.stop()
    entries = [json.loads(line) for line in service.log.read_text().splitlines()]
    calls = [entry for entry in entries if "verb" in entry]
    created, shown = calls
    # The operation of a call is not logged a second time.
    assert [created["resource"][:8] in entry["message"] for entry in entries].count(True) == 1
    assert created["verb"] == "volume.create"
    assert created["backend"] == "files"
    assert created["outcome"] == "OK"
    assert created["seconds"] > created["driver_seconds"] > 0
    assert len(created["resource"]) == len(created["operation"]) == 36
    assert str(os.getpid()) in created["client"]
    assert (shown["verb"], shown["outcome"]) == ("volume.show", "NOT_FOUND")


@pytest.mark.slow
def test_the_service_logs_to_the_journal_if_standard_error_is_the_journal(
    folder: pathlib.Path,
) -> None:
    """``JOURNAL_STREAM`` names the file of standard error, as systemd sets it."""
    with Service(folder).start() as service:
        service.ask("GET", "/v1/volumes")
        assert service.stop() == 0
    assert "verb=volume.list" in service.log.read_text()
    place = service.log.stat()
    service.environment["JOURNAL_STREAM"] = f"{place.st_dev}:{place.st_ino}"
    before = service.log.read_text()
    with service.start():
        service.ask("GET", "/v1/volumes")
        assert service.stop() == 0
    added = service.log.read_text().removeprefix(before)
    assert "verb=" not in added
