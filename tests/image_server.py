"""A web server with one file, which breaks connections, refuses, redirects and records."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import ssl
import threading
from collections.abc import Iterator

# By name: a driver with eventlet replaces attributes of the package `http`.
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclasses.dataclass
class ImageServer:
    """
    :ivar content: of the file.
    :ivar breaks_after: bytes that each answer has at most, of those that its header announces.
    :ivar ranges: whether it sends parts of the file.
    :ivar has_length: whether it sends the size.
    :ivar login: the value of ``Authorization`` that it requires.
    :ivar failures: status codes for the next requests.
    :ivar redirect: the address for ``/moved``.
    :ivar tag: identifies the content; it changes after each answer if it contains ``%d``.
    :ivar requests: the headers of the requests.
    """

    content: bytes
    url: str = ""
    breaks_after: int | None = None
    ranges: bool = True
    has_length: bool = True
    login: str | None = None
    failures: list[int] = dataclasses.field(default_factory=list)
    redirect: str = ""
    tag: str = '"one"'
    requests: list[dict[str, str]] = dataclasses.field(default_factory=list)


@contextlib.contextmanager
def serving(content: bytes, certificate: pathlib.Path | None = None) -> Iterator[ImageServer]:
    """Run a server in a thread.

    :param certificate: with its key next to it, for HTTPS.
    """
    served = ImageServer(content)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            served.requests.append(dict(self.headers))
            if served.login is not None and self.headers.get("Authorization") != served.login:
                self.send_error(401)
            elif served.failures:
                self.send_error(served.failures.pop(0))
            elif self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", served.redirect)
                self.end_headers()
            else:
                self._send()

        def _send(self) -> None:
            tag = served.tag.replace("%d", str(len(served.requests)))
            begin = 0
            asked = self.headers.get("Range")
            if asked and served.ranges and self.headers.get("If-Range", tag) == tag:
                begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            size = len(served.content)
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
            if served.has_length:
                self.send_header("Content-Length", str(size - begin))
            self.send_header("ETag", tag)
            self.end_headers()
            part = served.content[begin:]
            with contextlib.suppress(ConnectionError):
                self.wfile.write(
                    part if served.breaks_after is None else part[: served.breaks_after]
                )

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    served.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
