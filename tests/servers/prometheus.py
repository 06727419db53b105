"""A Prometheus server that scrapes a service with the configuration of ``contrib/prometheus``."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import signal
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import servers
from servers.etcd import free_ports

CONTRIB = pathlib.Path(__file__).parents[2] / "contrib" / "prometheus"


class Prometheus:
    """A running server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        return self._get("query", query=expression)["result"]

    def query_range(
        self, expression: str, start: float, end: float, step: float
    ) -> list[dict[str, Any]]:
        """The series that an expression had in a time range."""
        answer = self._get("query_range", query=expression, start=start, end=end, step=step)
        return answer["result"]

    def alerts(self) -> dict[str, str]:
        """The state of each rule by its name."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def _get(self, what: str, **parameters: Any) -> Any:
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{what}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{parameters}: {exc.read().decode()}") from None


@contextlib.contextmanager
def run(certificates: pathlib.Path, target: str) -> Iterator[Prometheus]:
    """
    :param certificates: folder with ``ca.pem``, ``prometheus.pem`` and ``prometheus.key``.
    :param target: address of the service.
    """
    program = servers.find("prometheus", "prometheus")
    (port,) = free_ports(1)
    with servers.folder(None) as folder:
        for source in (*certificates.glob("*.pem"), *certificates.glob("*.key")):
            shutil.copy(source, folder)
        shutil.copy(CONTRIB / "cinderlib-alerts.yml", folder)
        text = (CONTRIB / "prometheus.yml").read_text()
        assert "192.0.2.10:8775" in text
        text = text.replace("192.0.2.10:8775", target).replace(": 15s", ": 1s")
        (folder / "prometheus.yml").write_text(text)
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            try:
                with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                    return True
            except OSError:
                return False

        command = [program, f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        process = servers.Process(command, None, folder / "log", ready, signal.SIGKILL)
        process.start()
        try:
            yield Prometheus(url)
        finally:
            process.stop()
