"""The site that `make docs` makes: complete, without a warning, and readable without a network."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser

import pages
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.core]


class Page(HTMLParser):
    """What a page of the site refers to.

    :ivar loads: what a browser fetches to show it.
    :ivar links: where its links lead.
    :ivar ids: what can be linked to in it.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = {""}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.add(value or "")
            elif name == "src" or (name == "href" and tag == "link"):
                self.loads.append(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    if not importlib.util.find_spec("sphinx"):
        pytest.skip("no Sphinx: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", folder],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return folder


def elsewhere(address: str) -> bool:
    return bool(re.match(r"([a-z]+:)?//", address))


def broken(path: pathlib.Path, parsed: dict[pathlib.Path, Page]) -> Iterator[str]:
    for link in parsed[path].links:
        if elsewhere(link):
            continue
        name, _, anchor = urllib.parse.unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (target in parsed and anchor not in parsed[target].ids):
            yield link


def test_every_page_is_in_the_contents() -> None:
    text = (pages.ROOT / "docs" / "index.md").read_text()
    listed = {f"docs/{name}" for name in re.findall(r"^- \[[^\]]+\]\((.+?)\)", text, re.MULTILINE)}
    assert {*pages.pages()} - listed == {"README.md", "docs/index.md"}


def test_links_lead_somewhere_and_nothing_comes_from_the_network(site: pathlib.Path) -> None:
    parsed = {path: Page(path) for path in site.resolve().rglob("*.html")}
    assert len(parsed) > len(pages.pages())
    assert {path.name: found for path in parsed if (found := list(broken(path, parsed)))} == {}
    fetched = [address for page in parsed.values() for address in page.loads if elsewhere(address)]
    assert fetched == []
    styles = [
        path
        for path in site.rglob("*.css")
        if re.search(r"url\(['\"]?(https?:)?//|@import", path.read_text())
    ]
    assert styles == []


def test_the_reference_has_every_public_name(site: pathlib.Path) -> None:
    import cinderlib

    ids = {id for path in (site / "reference").glob("*.html") for id in Page(path).ids}
    modules = {"errors", "exception", "objects"}
    assert {f"cinderlib.{name}" for name in {*cinderlib.__all__} - modules} - ids == set()
    assert {f"cinderlib.errors.{name}" for name in ("CinderlibError", "Busy")} <= ids
