"""The code in the documentation: README.md and docs/.

Every page runs from top to bottom, like a reader would run it: in one process and in a new, empty
folder, so that relative paths work. Blocks are treated according to their language and an optional
HTML comment before them:

- ``python`` blocks run. All blocks of a page share their names.
- ``console`` blocks run only after ``<!-- run -->``: lines that begin with ``$ `` are commands, and
  the lines after a command are its output. IDs, devices and times in it match any of their kind
  (:data:`run_page.KINDS`), and ``...`` matches anything.
- ``<!-- not run: reason -->`` explains why the next block cannot run in the tests.
- ``text`` after ``<!-- prints -->`` is the output of the ``python`` before it, matched in the same
way.
- A comment that begins with ``<!-- run`` and continues on the next line is hidden Python, for
example
  the preparation of an example.
- All other blocks (``text``, ``toml``, ``json``, ...) are not run, but must specify their language.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]

_PART = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>[^\n`]*)\n(?P<code>.*?)^[ ]*```[ ]*$"
    r"|^[ ]*<!--(?P<comment>.*?)-->[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block in a page.

    :ivar line: the number of the first line of code.
    :ivar not_run: the reason not to run it, if there is one.
    """

    page: str
    line: int
    language: str
    code: str
    not_run: str | None = None

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


class PageError(Exception):
    """A page violates the rules above."""


def pages() -> list[str]:
    """All pages, as paths relative to the project."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found if path.exists()]


def read(page: str) -> list[Block]:
    """The blocks of a page that run, or that have a reason not to."""
    return list(parse(page, (ROOT / page).read_text()))


def parse(page: str, text: str) -> Iterator[Block]:
    mark: str | None = None
    marked_until = 0
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 2
        # A comment applies only to the block right after it.
        if text[marked_until : part.start()].strip():
            mark = None
        marked_until = part.end()
        if part["comment"] is not None:
            comment = part["comment"].strip()
            if comment.startswith("run\n"):
                yield Block(page, line, "python", comment.removeprefix("run\n"))
            mark = comment
            continue
        language = part["language"].strip()
        reason = re.fullmatch(r"not run:\s*(.+)", mark or "", re.DOTALL)
        run, prints, mark = mark == "run", mark == "prints", None
        if not language:
            raise PageError(f"{page}:{line - 1}: the block names no language; `text` is one")
        if language in ("py", "python3", "pycon", "sh", "shell", "bash"):
            raise PageError(f"{page}:{line - 1}: say `python` or `console`, not `{language}`")
        code = re.sub(f"^{part['indent']}", "", part["code"], flags=re.MULTILINE)
        if reason:
            yield Block(page, line, language, code, not_run=" ".join(reason[1].split()))
        elif language == "python" or (language == "console" and run):
            yield Block(page, line, language, code)
        elif prints and language == "text":
            yield Block(page, line, "prints", code)
        elif run or prints:
            raise PageError(f"{page}:{line - 1}: `{language}` can neither be run nor is it output")
