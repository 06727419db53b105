"""How Sphinx makes a site of the pages in this folder: ``make docs``.

The pages are plain Markdown that a forge shows unchanged. They only lack a table of contents, which
is built from the lists in ``index.md``.
"""

from __future__ import annotations

import inspect
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from cinderlib import __version__

project = "cinderlib"
copyright = "the authors of cinderlib, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
root_doc = "index"
# A word in a docstring that leads nowhere is a warning, and warnings are errors.
nitpicky = True

# Headings can be linked to as on a forge: page.md#the-heading.
myst_heading_anchors = 4

# A long signature has a line for each parameter, and a class is not named again by each method.
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "no-value": True}
# These have no page: types of Python and of other projects, type variables, private names, and the
# base class, because its members are shown with each object.
nitpick_ignore_regex = [
    ("py:.*", r"(?!cinderlib\b).*"),
    ("py:.*", r"cinderlib\..*\.(R|Self|_\w+|Resource)"),
    # Types of keywords and of internal values, which signatures show, and constants.
    ("py:.*", r"cinderlib\.(objects\.(keywords|cinder_fields)|locking\.shared)\.\w+"),
    ("py:.*", r"cinderlib\.streams\.format\.\w+"),
    ("py:data", r"cinderlib\.DEFAULT_\w+"),
]

# The two hyphens of an option stay two, so that it can be copied.
smartquotes = False

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_title = f"cinderlib {release}"
html_copy_source = False
html_show_sphinx = False


# The button copies commands without their prompts and outputs, and outputs have none.
copybutton_prompt_text = "$ "
copybutton_selector = "div:not(.output) > div.highlight > pre"


def _contents(page: str) -> str:
    """The tables of contents for the lists of links that a page has below its headings."""
    trees = []
    for section in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        heading = section.splitlines()[0]
        names = re.findall(r"^- \[[^\]]+\]\(([\w/-]+)\.md\)", section, flags=re.MULTILINE)
        if names:
            trees.append(
                f"```{{toctree}}\n:hidden:\n:caption: {heading}\n\n" + "\n".join(names) + "\n```\n"
            )
    return "\n".join(trees)


def _read_page(app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += "\n" + _contents(source[0])
    # Outputs are marked for the tests, and so they can look different from inputs.
    source[0] = re.sub(
        r"^<!-- prints -->\n```text\n",
        "```{code-block} text\n:class: output\n\n",
        source[0],
        flags=re.MULTILINE,
    )


def _show_type_of_field(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """A field of a record that is an attribute of an object has the type of the value."""
    for annotation in content.parent.findall(addnodes.desc_annotation):
        field = re.fullmatch(r": ClassVar\[Field\[(.+)\]\]", annotation.astext())
        if field:
            annotation.clear()
            annotation += nodes.Text(f": {field[1]}")


def _skip_alias(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """The class's docstring describes the fields of a named tuple; their own text is "Alias for
    field number 0"."""
    return True if (inspect.getdoc(member) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _read_page)
    app.connect("autodoc-skip-member", _skip_alias)
    app.connect("object-description-transform", _show_type_of_field)
    return {"parallel_read_safe": True}
