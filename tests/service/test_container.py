"""The Containerfile names files and extras that exist, and the page describes its arguments."""

from __future__ import annotations

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "contrib" / "container" / "Containerfile").read_text()
ARGUMENTS = dict(re.findall(r'^ARG (\w+)="?([^"\n]*)"?$', TEXT, re.MULTILINE))


def test_the_extras_exist() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"].keys()
    assert set(ARGUMENTS["EXTRAS"].split(",")) <= known


def test_the_files_that_it_uses_are_in_the_source_and_not_ignored() -> None:
    ignored = set((ROOT / ".containerignore").read_text().split())
    for path in re.findall(r'"?/source/?([\w./]*)', TEXT):
        assert (ROOT / path).exists(), path
        assert path.split("/")[0] not in ignored, path


def test_the_page_describes_each_argument() -> None:
    page = (ROOT / "docs" / "service.md").read_text()
    table = page.partition("| Build argument |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == ARGUMENTS.keys()


def test_the_image_runs_the_service_as_its_process() -> None:
    assert 'ENTRYPOINT ["cinderlib"]' in TEXT
    assert 'CMD ["serve"]' in TEXT
