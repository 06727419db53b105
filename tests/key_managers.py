"""Key managers for tests: a replacement of Vault, written after the documentation of the API for
secrets, and Barbican's own server with a replacement of Keystone."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator

# By name: a driver with eventlet replaces attributes of the package `http`.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN, PASSWORD = "a-token-of-the-tests", "a-password-of-the-tests"
HAS_BARBICAN = importlib.util.find_spec("barbican") is not None


@dataclasses.dataclass
class KeyManagerServer:
    """
    :ivar config: the path of castellan's configuration file.
    :ivar keys: returns a text for each key.
    :ivar sealed: whether the server refuses all requests, as a sealed Vault.
    :ivar forbids: whether it refuses the credentials.
    :ivar loses: whether it stores no secrets, and reports no error.
    """

    config: str = ""
    keys: Callable[[], list[str]] = list
    sealed: bool = False
    forbids: bool = False
    loses: bool = False


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def body(self) -> Any:
        """The JSON of the request."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def answer(self, status: int, data: Any = None, **headers: str) -> None:
        """Answer with JSON."""
        text = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text)


@contextlib.contextmanager
def _served(handler: type[_Handler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def vault(folder: pathlib.Path, version: int = 2) -> Iterator[KeyManagerServer]:
    """Run the replacement of Vault with a key-value engine at ``secret/``.

    :param version: of the engine.
    """
    found = KeyManagerServer()
    #: The latest value of each secret; ``None`` if it is deleted, and version 2 knows its name.
    secrets: dict[str, dict[str, Any] | None] = {}

    class Vault(_Handler):
        def _do(self, method: str) -> None:
            body = self.body()
            path, _, query = self.path.removeprefix("/v1/secret/").partition("?")
            if found.sealed:
                return self.answer(503, {"errors": ["Vault is sealed"]})
            if self.headers.get("X-Vault-Token") != TOKEN or found.forbids:
                return self.answer(403, {"errors": ["permission denied"]})
            area, _, name = path.partition("/") if version == 2 else ("data", "", path)
            if not self.path.startswith("/v1/secret/") or area not in ("data", "metadata"):
                return self.answer(404, {"errors": ["no handler for route"]})
            name = name.rstrip("/")
            if method == "GET" and query == "list=true":
                keys = sorted(secrets)
                return self.answer(200 if keys else 404, {"data": {"keys": keys}})
            if method == "POST":
                if not found.loses:
                    secrets[name] = body["data"] if version == 2 else body
                return self.answer(200, {"data": {"version": 1}})
            if method == "DELETE":
                if version == 2 and name in secrets:
                    secrets[name] = None
                secrets.pop(name, None) if version == 1 else None
                return self.answer(204)
            value = secrets.get(name)
            if value is None:
                return self.answer(404, {"errors": []})
            return self.answer(200, {"data": {"data": value} if version == 2 else value})

        def do_GET(self) -> None:
            self._do("GET")

        def do_POST(self) -> None:
            self._do("POST")

        def do_DELETE(self) -> None:
            self._do("DELETE")

    with _served(Vault) as url:
        config = folder / "vault.conf"
        config.write_text(
            f"[key_manager]\nbackend = vault\n"
            f"[vault]\nvault_url = {url}\nroot_token_id = {TOKEN}\nkv_version = {version}\n"
        )
        found.config = str(config)
        found.keys = lambda: [each["value"] for each in secrets.values() if each is not None]
        yield found


@contextlib.contextmanager
def barbican(folder: pathlib.Path) -> Iterator[KeyManagerServer]:
    """Run Barbican's server, and a replacement of Keystone that gives every project a token."""
    found = KeyManagerServer()

    class Keystone(_Handler):
        def do_GET(self) -> None:
            links = [{"rel": "self", "href": f"http://{self.headers['Host']}/v3/"}]
            version = {"id": "v3.14", "status": "stable", "links": links}
            self.answer(200, {"version": version}, Content_Type="application/json")

        def do_POST(self) -> None:
            given = self.body()["auth"]["identity"]["password"]["user"]["password"]
            if given != PASSWORD or found.forbids:
                self.answer(401, {"error": {"code": 401, "message": "unauthorized"}})
                return
            token = {
                "methods": ["password"],
                "expires_at": "2199-01-01T00:00:00.000000Z",
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "user": {"id": "u", "name": "cinderlib", "domain": {"id": "d", "name": "d"}},
                "project": {"id": "p", "name": "p", "domain": {"id": "d", "name": "d"}},
                "catalog": [],
                "roles": [],
            }
            headers = {"X_Subject_Token": uuid.uuid4().hex, "Content_Type": "application/json"}
            self.answer(201, {"token": token}, **headers)

    folder = folder / "barbican"
    folder.mkdir()
    script = pathlib.Path(__file__).parent / "servers" / "barbican_server.py"
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, script, folder], stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
        _served(Keystone) as keystone,
    ):
        try:
            assert server.stdout is not None
            # It also prints its log.
            port = next((line.strip() for line in server.stdout if line.strip().isdigit()), None)
            assert port, (folder / "log").read_text()[-2000:]
            threading.Thread(target=server.stdout.read, daemon=True).start()
            config = folder / "castellan.conf"
            config.write_text(
                f"[key_manager]\nbackend = barbican\nauth_type = keystone_password\n"
                f"auth_url = {keystone}/v3\nusername = cinderlib\npassword = {PASSWORD}\n"
                f"project_name = p\nproject_domain_name = d\nuser_domain_name = d\n"
                f"[barbican]\nbarbican_endpoint = http://127.0.0.1:{port}\n"
                f"barbican_api_version = v1\nauth_endpoint = {keystone}/v3\n"
            )
            found.config = str(config)

            def keys() -> list[str]:
                url = f"http://127.0.0.1:{port}/v1/secrets?limit=100"
                with urllib.request.urlopen(url) as answer:
                    return [each["name"] for each in json.load(answer)["secrets"]]

            found.keys = keys
            yield found
        finally:
            server.terminate()
