"""Images from HTTP servers."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Iterator

import pytest
from certificates import Authority
from image_server import ImageServer, serving

from cinderlib import errors
from cinderlib.streams.download import Download, is_url

CONTENT = random.Random(1).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[ImageServer]:
    with serving(CONTENT) as server:
        yield server


def _read(url: str, attempts: int = 2) -> bytes:
    with Download(url, pauses=[0] * attempts) as download:
        return b"".join(iter(lambda: download.read(1 << 20), b""))


def test_a_whole_image(server: ImageServer) -> None:
    with Download(f"{server.url}/disk.img") as download:
        assert download.size == len(CONTENT)
        assert download.read(100) == CONTENT[:100]
    assert server.requests[0]["Accept-Encoding"] == "identity"
    assert _read(f"{server.url}/disk.img") == CONTENT


def test_broken_connections_are_resumed(server: ImageServer) -> None:
    """More often than the number of attempts, because each brings data."""
    server.breaks_after = 400_000
    assert _read(server.url) == CONTENT
    assert [each.get("Range") for each in server.requests] == [
        None if not start else f"bytes={start}-" for start in range(0, len(CONTENT), 400_000)
    ]
    assert server.requests[1]["If-Range"] == '"one"'


def test_errors_of_the_server_during_a_resume_are_temporary(server: ImageServer) -> None:
    server.breaks_after = 2_000_000
    with Download(server.url, pauses=[0] * 3) as download:
        server.failures = [503, 429]
        assert b"".join(iter(download.read, b"")) == CONTENT


def test_a_size_that_the_server_does_not_report(server: ImageServer) -> None:
    server.has_length = False
    with Download(server.url) as download:
        assert download.size is None
        assert b"".join(iter(download.read, b"")) == CONTENT


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ranges": False}, "cannot send a part"),
        ({"tag": '"%d"'}, "changed meanwhile"),
        ({"breaks_after": 0}, "after 0 of 3000000 bytes"),
    ],
)
def test_downloads_that_cannot_be_resumed(
    server: ImageServer, changes: dict[str, object], why: str
) -> None:
    server.breaks_after = 2_000_000
    for name, value in changes.items():
        setattr(server, name, value)
    with pytest.raises(errors.NodeError, match=why):
        _read(server.url)


def test_passwords_are_sent_and_not_shown(server: ImageServer) -> None:
    server.login = "Basic YW5uOnNlL2NyZXQ="
    with_login = server.url.replace("://", "://ann:se%2Fcret@")
    server.breaks_after = 2_000_000
    assert _read(with_login) == CONTENT
    server.failures = [404]
    with pytest.raises(errors.InvalidInput, match="404") as refused:
        _read(f"{with_login}/x?token=hidden")
    assert "cret" not in str(refused.value)
    assert "hidden" not in str(refused.value)
    with pytest.raises(errors.InvalidInput, match="401"):
        _read(server.url)


def test_redirects(server: ImageServer) -> None:
    server.login = "Basic YW5uOng="
    login = server.url.replace("://", "://ann:x@")
    server.redirect = "/disk"
    assert _read(f"{login}/moved") == CONTENT
    with serving(b"other") as other:
        server.redirect = other.url
        assert _read(f"{login}/moved") == b"other"
        assert "Authorization" not in other.requests[0]
    server.redirect = "file:///etc/passwd"
    with pytest.raises(errors.InvalidInput, match=r"(?i)redirect"):
        _read(f"{login}/moved")


def test_certificates_are_verified(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, server: ImageServer
) -> None:
    authority = Authority(tmp_path, "authority")
    certificate = authority.issue("server", common_name="server")
    with serving(CONTENT, certificate) as secure:
        with pytest.raises(errors.NodeError, match="certificate"):
            _read(secure.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        assert _read(secure.url) == CONTENT
        secure.redirect = server.url
        with pytest.raises(errors.InvalidInput, match=r"(?i)redirect"):
            _read(f"{secure.url}/moved")


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://host:x/", "http://host:99999/", "http://a b/"]
)
def test_invalid_urls(url: str) -> None:
    with pytest.raises(errors.InvalidInput, match="not a valid URL"):
        Download(url)


def test_servers_that_cannot_be_reached() -> None:
    with serving(b"") as gone:
        url = gone.url
    with pytest.raises(errors.NodeError, match="refused"):
        Download(url)


def test_paths_are_not_urls() -> None:
    assert is_url("HTTPS://host/file")
    assert not any(map(is_url, ("file", "./http://host", "http:/x", "ftp://host/x", "http:///x")))
