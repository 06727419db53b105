"""Images from HTTP servers, as files that can be read once. A broken connection is resumed."""

from __future__ import annotations

import base64
import http.client
import logging
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from cinderlib import errors, urls

LOG = logging.getLogger(__name__)

#: Seconds without any data after which a connection is broken.
_TIMEOUT = 60.0
#: Seconds before each attempt to resume a download, without any data between them.
_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
_URL = re.compile(r"https?://[^/]", re.IGNORECASE)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_BROKEN = (OSError, http.client.HTTPException)


def is_url(text: str) -> bool:
    """Whether a text is the URL of an image, and not a path."""
    return _URL.match(text) is not None


class Download:
    """An image at a URL. Certificates of HTTPS servers are verified.

    :param url: can contain a user and password, which are sent to that server only.
    :param pauses: in seconds, before each attempt to resume a download.
    :ivar size: in bytes; ``None`` if the server does not report it.
    :raises InvalidInput: the URL is not valid, or the server refuses to send the image.
    :raises NodeError: the server cannot be reached.
    """

    def __init__(self, url: str, *, pauses: Sequence[float] | None = None) -> None:
        self._shown = urls.hide(url)
        self._url, self._login = _without_login(url, self._shown)
        self._opener = _opener(self._url, self._login)
        self._pauses = _PAUSES if pauses is None else pauses
        self._offset = 0
        self._validator = ""
        self.size: int | None = None
        self._response = self._first()

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes, perhaps fewer; none at the end.

        :raises NodeError: the connection broke and could not be resumed.
        """
        attempts = iter(self._pauses)
        while self.size is None or self._offset < self.size:
            try:
                part: bytes = self._response.read(1 << 20 if size < 0 else min(size, 1 << 20))
                if part or self.size is None:
                    self._offset += len(part)
                    return part
                why: object = "the server closed the connection"
            except _BROKEN as exc:
                why = _reason(exc)
            self._resume(attempts, why)
        return b""

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _first(self) -> Any:
        try:
            response = self._opener.open(self._request(), timeout=_TIMEOUT)
        except urllib.error.HTTPError as exc:
            with exc:
                raise errors.InvalidInput(
                    f"{self._shown} cannot be read: the server answers {exc.code} {exc.reason}"
                ) from None
        except (ValueError, http.client.InvalidURL) as exc:
            raise errors.InvalidInput(f"{self._shown} is not a valid URL: {exc}") from None
        except _BROKEN as exc:
            raise errors.NodeError(f"{self._shown} cannot be read: {_reason(exc)}") from None
        length = response.headers.get("Content-Length", "")
        self.size = int(length) if length.isdecimal() else None
        etag = response.headers.get("ETag", "")
        # A weak tag does not promise equal bytes.
        strong = "" if etag.startswith("W/") else etag
        self._validator = strong or response.headers.get("Last-Modified", "")
        return response

    def _resume(self, attempts: Any, why: object) -> None:
        """Open the rest of the image.

        :param attempts: the pauses that are left.
        :param why: why the connection ended.
        """
        self._response.close()
        for pause in attempts:
            LOG.info("%s: %s at byte %s; resuming", self._shown, why, self._offset)
            time.sleep(pause)
            try:
                response = self._opener.open(self._request(self._offset), timeout=_TIMEOUT)
            except urllib.error.HTTPError as exc:
                with exc:
                    why = f"{exc.code} {exc.reason}"
                if exc.code < 500 and exc.code != 429:
                    break
                continue
            except _BROKEN as exc:
                why = _reason(exc)
                continue
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            same = found is not None and found[2] in ("*", str(self.size))
            if (
                response.status == 206
                and found
                and int(found[1]) == self._offset
                and (same or self.size is None)
            ):
                self._response = response
                return
            response.close()
            why = "it changed meanwhile, or the server cannot send a part of it"
            break
        of = "" if self.size is None else f" of {self.size}"
        raise errors.NodeError(
            f"{self._shown} could not be read completely: {why} (after {self._offset}{of} bytes)"
        )

    def _request(self, offset: int = 0) -> urllib.request.Request:
        request = urllib.request.Request(self._url)  # noqa: S310 (only http and https)
        request.add_header("User-Agent", "cinderlib")
        # The bytes of the file, not a compression of them.
        request.add_header("Accept-Encoding", "identity")
        if offset:
            request.add_header("Range", f"bytes={offset}-")
            if self._validator:
                request.add_header("If-Range", self._validator)
        if self._login:
            request.add_unredirected_header("Authorization", self._login)
        return request


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP servers, not from HTTPS to HTTP. A password is only sent to the
    same server."""

    def __init__(self, url: str, login: str) -> None:
        self._server = urllib.parse.urlsplit(url)[:2]
        self._login = login

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not is_url(newurl) or (req.type == "https" and not newurl.startswith("https:")):
            raise urllib.error.HTTPError(
                self._server[1],
                code,
                "with a redirect to an insecure or other address",
                headers,
                fp,
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request and self._login and urllib.parse.urlsplit(newurl)[:2] == self._server:
            request.add_unredirected_header("Authorization", self._login)
        return request


def _opener(url: str, login: str) -> urllib.request.OpenerDirector:
    """An opener without the handlers for files and other protocols."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(url, login),
    ):
        opener.add_handler(handler)
    return opener


def _without_login(url: str, shown: str) -> tuple[str, str]:
    """The URL without user and password, and the header that sends them."""
    try:
        parts = urllib.parse.urlsplit(url)
        login, at, server = parts.netloc.rpartition("@")
        if not parts.hostname or parts.port == 0:
            raise ValueError("it has no server")
    except ValueError as exc:
        raise errors.InvalidInput(f"{shown} is not a valid URL: {exc}") from None
    quoted = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~")
    plain = urllib.parse.urlunsplit((parts.scheme.lower(), server, quoted, parts.query, ""))
    if not at:
        return plain, ""
    user, _, password = login.partition(":")
    words = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}".encode()
    return plain, f"Basic {base64.b64encode(words).decode()}"


def _reason(error: BaseException) -> str:
    """The text of a network error."""
    inner = getattr(error, "reason", None) or error
    if isinstance(inner, TimeoutError):
        return f"no data for {_TIMEOUT:g} seconds"
    text = getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or str(inner)
    return text or type(inner).__name__
