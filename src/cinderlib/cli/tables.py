"""Tables that fit the terminal: IDs and long texts are shortened, the last columns are omitted, and
sentences are wrapped. Output that does not go to a terminal is complete."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from cinderlib.cli import output

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: Minimum length of a short ID; commands that destroy ask before they accept it.
_SHORT_ID = 8
#: Minimum width of a shortened column, in characters.
_NARROW = 12
#: Minimum width of a column with sentences.
_PROSE = 28
_GAP = 2


def width() -> int | None:
    """The width of the terminal in characters; ``None`` if standard output is not a terminal."""
    if not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, 20)


def short_ids(ids: Sequence[str]) -> list[str]:
    """IDs, each shortened to a beginning that no other ID of the list has."""
    distinct = sorted({id for id in ids if _UUID.fullmatch(id)})
    lengths = dict.fromkeys(distinct, _SHORT_ID)
    for one, other in itertools.pairwise(distinct):
        common = next(i for i in range(len(one)) if one[i] != other[i])
        for id in (one, other):
            lengths[id] = max(lengths[id], common + 1)
    return [id[: lengths[id]] if id in lengths else id for id in ids]


def write(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    firm: Sequence[bool],
    prose: bool,
    headers: bool,
    limit: int | None,
) -> None:
    """Write a table.

    :param firm: for each column, whether its cells must not be shortened.
    :param prose: whether the last column has sentences.
    :param headers: whether to write the titles.
    :param limit: width of the terminal; ``None`` writes everything in full.
    """
    kept = list(range(len(titles)))
    widths = [max(output.width(row[i]) for row in [titles, *rows]) for i in kept]
    if limit is not None:
        room = limit
        if prose:
            others = sum(widths[:-1]) + _GAP * len(widths[:-1])
            widths[-1] = max(min(widths[-1], limit - others), min(widths[-1], _PROSE))
        kept = _fit(widths, list(firm), room)
    lines = [] if not headers else [(list(titles), True)]
    lines += [(list(row), False) for row in rows]
    for row, is_title in lines:
        cells = [(row[i], widths[i]) for i in kept]
        last = []
        if prose and limit is not None and kept[-1] == len(titles) - 1:
            first, *last = _wrapped(row[-1], widths[-1]) or [""]
            cells[-1] = (first, 0)
        output.line([_cut(text, each) if limit else text for text, each in cells], widths, kept,
                    title=is_title)  # fmt: skip
        indent = " " * sum(widths[i] + _GAP for i in kept[:-1])
        for text in last:
            click.echo(indent + text)


def _wrapped(text: str, wide: int) -> list[str]:
    return textwrap.wrap(text, max(wide, 1), break_long_words=False, break_on_hyphens=False)


def _fit(widths: list[int], firm: list[bool], room: int) -> list[int]:
    """Reduce widths in place, and choose the columns that fit."""
    kept = list(range(len(widths)))

    def excess() -> int:
        return sum(widths[i] for i in kept) + _GAP * (len(kept) - 1) - room

    original = list(widths)
    while True:
        while excess() > 0:
            loose = [i for i in kept if not firm[i] and widths[i] > _NARROW]
            if not loose:
                break
            widest = max(loose, key=lambda i: widths[i])
            widths[widest] -= 1
        if excess() <= 0 or len(kept) <= 2:
            return kept
        loose = [i for i in kept[2:] if not firm[i]] or kept[2:]
        kept.remove(loose[-1])
        widths[:] = original


def _cut(text: str, wide: int) -> str:
    """Shorten a text in the middle: names often differ only at the end."""
    if not wide or output.width(text) <= wide:
        return text
    mark = "…" if output.can_write("…") else "..."
    end = (wide - len(mark)) // 3
    first, last = text, text[len(text) - end :]
    while first and output.width(first + mark + last) > wide:
        first = first[:-1]
    return first + mark + last
