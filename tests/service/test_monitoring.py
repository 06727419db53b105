"""The dashboard and the alerts query metrics that a real service exports to a real Prometheus."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import servers
from servers import prometheus
from servers.prometheus import Prometheus
from service.site import Site

ROOT = pathlib.Path(__file__).parents[2]
DASHBOARD = ROOT / "contrib" / "grafana" / "cinderlib.json"
ALERTS = ROOT / "contrib" / "prometheus" / "cinderlib-alerts.yml"
PAGE = ROOT / "docs" / "service.md"

pytestmark = pytest.mark.slow

#: The driver of this backend crashes and hangs on request.
ARRAY = """
[backends.array]
volume_driver = "api.misbehaving_driver.MisbehavingDriver"
file_root = "{folder}/array"
isolation = "process"
call_timeout = 2.0
"""
CONNECTOR = {"host": "node1", "initiator": "iqn.2026-11.org.example:node1", "ip": "192.0.2.1"}


class Watched(Site):
    """A service that a Prometheus scrapes, with a backend that fails on request."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.authority.issue("prometheus", common_name="reader")
        with self.service.config.open("a") as config:
            config.write(ARRAY.format(folder=folder))
        (folder / "array").mkdir()

    def work(self) -> None:
        """Use both backends, with failures of each kind."""
        ask = self.service.ask
        for backend in ("files", "array"):
            status, volume = ask("POST", "/v1/volumes", {"backend": backend, "size": 1})
            assert status == 200, volume
            assert ask("POST", "/v1/snapshots", {"volume_id": volume["id"]})[0] == 200
            path = f"/v1/volumes/{volume['id']}"
            status, answer = ask("POST", f"{path}/connect", {"connector": CONNECTOR})
            assert status == 200, answer
        assert ask("GET", "/v1/volumes/00000000-0000-0000-0000-000000000000")[0] == 404
        for action in ("segfault", "sleep"):
            request = self.folder / "array" / ".request create_volume before"
            request.write_text(action)
            status, answer = ask("POST", "/v1/volumes", {"backend": "array", "size": 1})
            assert status >= 500, answer
        assert ask("POST", "/v1/recover", {})[0] == 200


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The service, after work between two scrapes: rates need two values."""
    with servers.folder(None) as folder:
        site = Watched(folder)
        with site.service.start():
            site.work()
            yield site


@pytest.fixture(scope="module")
def server(watched: Watched) -> Iterator[Prometheus]:
    """Prometheus, when it has values from before and after more work."""
    with prometheus.run(watched.folder, f"127.0.0.1:{watched.port}") as running:
        _until(lambda: running.query("cinderlib_recovered_operations_total"))
        watched.work()
        increase = "increase(cinderlib_recovered_operations_total[1m]) > 0"
        _until(lambda: running.query(increase))
        yield running


def _until(condition: Any) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "Prometheus did not get the values in two minutes"
        time.sleep(0.2)


def _panels() -> list[tuple[str, str]]:
    """Title and expression of each query of the dashboard."""
    return [
        (panel["title"], target["expr"])
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel.get("targets", ())
    ]


def _names(text: str) -> set[str]:
    """The names of metrics in queries, without what a histogram or counter adds."""
    return {
        re.sub(r"_(bucket|sum|count|total)$", "", name)
        for name in re.findall(r"\b(?:cinderlib|process)_[a-z_]+\b", text)
    }


def _resolved(expression: str) -> str:
    """An expression with the values that Grafana inserts for its variables."""
    for name, value in (
        ("$__rate_interval", "1m"),
        ("$__range", "5m"),
        ("$backend", "files|array"),
    ):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.mark.parametrize(("title", "expression"), _panels())
def test_each_panel_has_data(server: Prometheus, title: str, expression: str) -> None:
    found = server.query(_resolved(expression))
    assert found, f"{title}: no data for {expression}"
    values = [float(series["value"][1]) for series in found]
    assert any(value == value for value in values), f"{title}: not a number"


def test_the_service_counts_the_failures_of_a_driver(server: Prometheus, watched: Watched) -> None:
    def total(expression: str) -> float:
        return sum(float(series["value"][1]) for series in server.query(expression))

    calls = 'cinderlib_driver_calls_total{backend="array",method="create_volume",outcome="%s"}'
    assert total(calls % "DEADLINE_EXCEEDED") == 2
    assert total(calls % "UNAVAILABLE") == 2
    assert total('cinderlib_driver_host_starts_total{backend="array",kind="restart"}') == 4
    assert total("cinderlib_recovered_operations_total") == 4
    assert total("cinderlib_intents_open") == 0
    assert total('cinderlib_connections{state="mapped"}') == 4
    share = total('cinderlib_driver_call_seconds_sum{backend="array",method="create_volume"}')
    assert share >= 4.0  # two calls were given up after two seconds each


def test_the_page_the_dashboard_and_the_alerts_name_metrics_that_exist(watched: Watched) -> None:
    exported = _names(watched.service.ask("GET", "/metrics")[1].decode())
    dashboard = "\n".join(expression for _, expression in _panels())
    for text in (dashboard, ALERTS.read_text()):
        assert _names(text) <= exported
    table = PAGE.read_text().partition("### Metrics")[2].partition("\n## ")[0]
    documented = _names("\n".join(re.findall(r"`(cinderlib_[a-z_]+)`", table)))
    ours = {name for name in exported if name.startswith("cinderlib_")}
    created = {name for name in ours if name.endswith("_created")}
    assert documented == ours - created


def test_no_secret_is_in_the_metrics(watched: Watched) -> None:
    assert b"password" not in watched.service.ask("GET", "/metrics")[1]


def test_prometheus_evaluates_each_alert(server: Prometheus) -> None:
    _until(lambda: set(server.alerts().values()) == {"ok"})
    assert len(server.alerts()) == 9


def test_each_alert_fires_when_it_should(tmp_path: pathlib.Path) -> None:
    promtool = servers.find("promtool", "prometheus")
    shutil.copy(ALERTS, tmp_path)
    tests = shutil.copy(pathlib.Path(__file__).parent / "data" / "alerts_test.yml", tmp_path)
    for arguments in (("check", "rules", ALERTS.name), ("test", "rules", tests)):
        done = subprocess.run(
            [promtool, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r"alertname: (\w+)", pathlib.Path(tests).read_text()))
    assert tested == set(re.findall(r"alert: (\w+)", ALERTS.read_text()))


def test_the_dashboard_can_be_imported_into_grafana() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not own & cells, f"{panel['title']} overlaps another panel"
        cells |= own
        if panel["type"] != "row":
            assert panel["description"]
            assert panel["datasource"]["uid"] == "${datasource}"
