"""The prose linter, scripts/prose: each rule finds its example, at its line in the file."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import pathlib
import textwrap
from types import ModuleType
from typing import Any

import pages
import pytest

pytest.importorskip("proselint", reason="no proselint: pip install '.[dev]'")


def _load() -> ModuleType:
    path = str(pages.ROOT / "scripts" / "prose")
    loader = importlib.machinery.SourceFileLoader("prose", path)
    spec = importlib.util.spec_from_loader("prose", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


prose = _load()
RULES = prose.configuration()["rules"]


def found(text: str) -> set[str]:
    return {finding.rule for finding in prose.findings_in_text("x.md", prose.of_markdown(text))}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["name"])
def test_a_rule_finds_its_bad_example_and_none_finds_the_good_one(rule: dict[str, Any]) -> None:
    assert rule["name"] in found(rule["bad"])
    assert found(rule["good"]) == set()


def test_a_long_sentence_is_found_and_a_long_paragraph_is_not() -> None:
    limit = prose.configuration()["sentence"]
    assert "sentence" in found("A volume can have snapshots and " * limit)
    assert found("A short sentence. " * limit) == set()
    assert found("\n".join(f"- item {number} of a list" for number in range(limit))) == set()


def test_code_in_a_page_is_not_prose() -> None:
    page = "Use `told`.\n\n```python\ntold = 'he said'\n```\n<!-- told -->\n[a](told.md)\n"
    assert found(page) == set()


def test_findings_in_a_module_have_their_position(tmp_path: pathlib.Path, monkeypatch) -> None:
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    (tmp_path / "x.py").write_text(
        textwrap.dedent('''\
            """It mends things."""

            told = 1  # It mends things.


            def check(name):
                raise ValueError(
                    f"{name} is no volume id,"
                    " so say another of those"
                )
            ''')
    )
    assert [(each.line, each.rule) for each in prose.findings("x.py")] == [
        (1, "mend"),
        (3, "mend"),
        (8, "is-no"),
        (8, "id"),
        (9, "say"),
        (3, "name"),
    ]


@pytest.mark.parametrize(
    ("text", "status", "printed"),
    [("It is fixed.", 0, ""), ("It is mended.", 1, "docs/x.md:1:7: mend: ")],
)
def test_findings_fail_the_check(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    status: int,
    printed: str,
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "x.md").write_text(text)
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    monkeypatch.setattr(prose, "files", lambda: ["docs/x.md"])
    monkeypatch.setattr("sys.argv", ["prose"])
    assert prose.main() == status
    assert printed in capsys.readouterr().out
