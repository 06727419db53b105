"""The code in the documents: README.md and docs/.

Every page is run from top to bottom, as a reader would: in one process, in an empty folder of its
own, so that relative paths work. What is done with a block follows from its language and from an
HTML comment that may stand before it:

- ``python`` is run. All blocks of a page share their names.
- ``console`` is run only after ``<!-- run -->``: lines that begin with ``$ `` are commands, and
  the lines after one are its output. IDs, devices and times in it match all of their kind
  (:data:`run_page.KINDS`), and ``...`` matches anything.
- ``<!-- not run: reason -->`` says why the next block cannot be run where the tests are.
- ``text`` after ``<!-- prints -->`` is the output of the ``python`` before it, matched likewise.
- A comment that begins with ``<!-- run`` and goes on in the next line is Python that a reader need
  not see, such as what an example takes for granted.
- Everything else (``text``, ``toml``, ``json``, ...) is shown only, but must name its language.
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
    """A piece of code in a page.

    :ivar line: of its first line of code.
    :ivar not_run: why it is not run, if it is not.
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
    """A page does not follow the rules above."""


def pages() -> list[str]:
    """All pages, as paths relative to the project."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found if path.exists()]


def read(page: str) -> list[Block]:
    """The blocks of a page that are code to run, or that say why not."""
    return list(parse(page, (ROOT / page).read_text()))


def parse(page: str, text: str) -> Iterator[Block]:
    mark: str | None = None
    marked_until = 0
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 2
        # A comment marks only what comes right after it.
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
