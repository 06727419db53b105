"""The site of `make docs` is complete, free of warnings, and readable without a network."""

from __future__ import annotations

import html
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser

import pages
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.core]


class Page(HTMLParser):
    """The references of a page of the site.

    :ivar loads: addresses that a browser loads to show it.
    :ivar links: the targets of the links.
    :ivar ids: its anchors.
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


def test_links_have_targets_and_pages_load_no_external_files(site: pathlib.Path) -> None:
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


def test_options_keep_their_two_hyphens(site: pathlib.Path) -> None:
    found = {
        path.name: options
        for path in site.rglob("*.html")
        if (options := re.findall(r"(?<!\w)[\u2013\u2014][a-z][\w-]+", path.read_text()))
    }
    assert found == {}


def test_the_reference_has_every_public_name(site: pathlib.Path) -> None:
    import cinderlib

    ids = {id for path in (site / "reference").glob("*.html") for id in Page(path).ids}
    modules = {"errors", "exception", "objects", "persistence", "serialization"}
    assert {f"cinderlib.{name}" for name in {*cinderlib.__all__} - modules} - ids == set()
    assert {f"cinderlib.errors.{name}" for name in ("CinderlibError", "Busy")} <= ids


#: Pixels: a phone, and a window on half of a wide screen or on all of a small one.
WIDTHS = (390, 1300)

# Loads each page in a frame of each width, and lists those that are wider than their frame.
_MEASURE = """<!doctype html><body><script>
(async () => {
  const wide = [];
  for (const page of %s) for (const width of %s) {
    const frame = document.createElement('iframe');
    frame.style.cssText = `width:${width}px;height:800px;border:0`;
    const loaded = new Promise(done => { frame.onload = done; });
    frame.src = page;
    document.body.append(frame);
    await loaded;
    const shown = frame.contentDocument.documentElement.scrollWidth;
    if (shown > width) wide.push(`${page} has ${shown} pixels in a window of ${width}`);
    frame.remove();
  }
  const result = document.createElement('pre');
  result.id = 'result';
  result.textContent = JSON.stringify(wide);
  document.body.append(result);
})();
</script>"""

_QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-file-access-from-files", "--virtual-time-budget=600000",
]  # fmt: skip


@pytest.mark.skipif(not shutil.which("chromium"), reason="no browser: apt-get install chromium")
def test_no_page_is_wider_than_its_window(site: pathlib.Path, tmp_path: pathlib.Path) -> None:
    found = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html"))]
    measure = site / "measure.html"
    try:
        for pages_of_site in (found, ["too-wide.html"]):
            (site / "too-wide.html").write_text("<div style='width:2000px'>wide</div>")
            measure.write_text(_MEASURE % (json.dumps(pages_of_site), json.dumps(WIDTHS)))
            shown = subprocess.run(
                [
                    "chromium",
                    *_QUIET,
                    f"--user-data-dir={tmp_path}",
                    "--dump-dom",
                    measure.as_uri(),
                ],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            result = re.search(r'<pre id="result">(.*?)</pre>', shown, re.DOTALL)
            assert result, shown
            wide = json.loads(html.unescape(result[1]))
            # This wide page checks the measurement itself.
            assert len(wide) == (len(WIDTHS) if pages_of_site == ["too-wide.html"] else 0), wide
    finally:
        measure.unlink()
        (site / "too-wide.html").unlink()
