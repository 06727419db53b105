"""References in the pages are valid: links lead to a file of the project and a heading in it;
source files and names exist."""

from __future__ import annotations

import pkgutil
import re

import pages
import pytest

_CODE = re.compile(r"^[ ]*```.*?^[ ]*```[ ]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+[ ]+(.+?)[ ]*$", re.MULTILINE)


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, by the rules of GitHub and GitLab."""
    fenced = re.compile(r"^[ ]*```.*?^[ ]*```[ ]*$", re.MULTILINE | re.DOTALL)
    text = fenced.sub("", (pages.ROOT / page).read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


def broken(page: str) -> list[str]:
    """The broken links of a page."""
    path = pages.ROOT / page
    text = _COMMENT.sub("", _CODE.sub("", path.read_text()))
    found = []
    for link in _LINK.findall(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        there = target.exists() and target.is_relative_to(pages.ROOT)
        if not there or (anchor and anchor not in anchors(str(target.relative_to(pages.ROOT)))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", pages.pages())
def test_links_have_targets(page: str) -> None:
    assert broken(page) == []


@pytest.mark.parametrize("page", pages.pages())
def test_names_of_the_library_exist(page: str) -> None:
    text = _COMMENT.sub("", (pages.ROOT / page).read_text())
    for name in re.findall(r"`(cinderlib(?:\.[A-Za-z_]\w*)+)(?:\(.*?\))?`", text):
        # The name of the entry point, and that of the configuration file.
        if name not in ("cinderlib.persistence.storage", "cinderlib.toml"):
            pkgutil.resolve_name(name)
    for path in re.findall(r"`([\w/]+/(?:\w+\.py)?)[:`]", text):
        places = (pages.ROOT, pages.ROOT / "src" / "cinderlib")
        assert any((place / path).exists() for place in places), path


def test_a_broken_link_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "x.md").write_text(
        "# The `one` & only\n[a](#the-one--only) [b](#other) [c](y.md) [d](x.md#the-one--only)\n"
        "[e](https://example.org/) `[f](z.md)`\n```text\n# no heading\n[g](w.md)\n```\n"
        "[h](#no-heading)\n"
    )
    assert broken("x.md") == ["#other", "y.md", "#no-heading"]
