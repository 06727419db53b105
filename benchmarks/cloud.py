"""A cloud without volumes: answers what ``openstack volume list`` asks."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator


class _Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        root = f"http://{self.headers['Host']}/v3/"
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": "3.70",
            "min_version": "3.0",
            "links": [{"rel": "self", "href": root}],
        }
        is_list = self.path.partition("?")[0].endswith("/volumes/detail")
        answer = {"volumes": []} if is_list else {"versions": [version]}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Does nothing."""


@contextlib.contextmanager
def run() -> Iterator[list[str]]:
    """Start it; yields the arguments with which ``openstack`` uses it, without an identity
    service."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/v3"
        yield ["--os-auth-type", "none", "--os-endpoint", url]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
