"""The settings of the documentation: ``python -m sphinx -W -b html docs build/docs``, and ``-b doctest``."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
# Plain modules have the signatures and the types that compiled ones lose.
os.environ["WSDRIVER_PURE"] = "1"
# Channels of the snippets are of this process.
os.environ.pop("CHANNEL_URL", None)

import wsdriver  # noqa: E402

project = "wsdriver"
author = "the authors of wsdriver"
version = release = wsdriver.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]

autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autodoc_member_order = "groupwise"
autodoc_inherit_docstrings = False  # gevent's and gunicorn's are theirs
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

nitpicky = True
# What is neither ours nor a builtin: nothing of other projects' documentation is fetched.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections\.abc|ssl|socket|gevent|gunicorn|typing|os)\..*"),
    # Ours, which say nothing beyond their names.
    (r"py:class", r"(.*\.)?(L|Params|ReadParams|Headers|WsgiResponse|StreamDriver|Socket|Wire|Tee)"),
    (r"py:class", r"(wsdriver\.green\.connection\.)?Connection|wsdriver\.green\.accepting\.PatientServer"),
]

doctest_test_doctest_blocks = ""
doctest_global_setup = "import gevent, wsdriver"

html_title = f"wsdriver {release}"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wsdriver.css"]
html_copy_source = False
html_show_sphinx = False

# autodoc shows a class under another name as an alias only, without a word on what it does.
for name in ("worker", "monitor"):
    public = getattr(wsdriver, name)
    public.__name__ = public.__qualname__ = name
    public.__module__ = "wsdriver"

#: Pages that are files of the repository's root.
ROOT_PAGES = {"security": "SECURITY.md", "changes": "CHANGELOG.md"}

#: Links between files of the repository, as pages have them.
LINKS = {
    "](docs/": "](",
    "](SECURITY.md": "](security.md",
    "](../SECURITY.md": "](security.md",
    "](../../SECURITY.md": "](../security.md",
    "](../../README.md#the-client": "](../reference/client.md",
    "](../../README.md#the-server": "](../reference/server.md",
}


def read_source(app: Any, name: str, source: list[str]) -> None:
    """Take pages from the repository's root, and let links lead to pages."""
    if name in ROOT_PAGES:
        path = ROOT / ROOT_PAGES[name]
        app.env.note_dependency(str(path))
        source[0] = path.read_text(encoding="utf-8")
    if name == "index" and not any((ROOT / "docs" / "moving").glob("*.md")):
        source[0] = source[0].replace("moving/*\n", "")
    for link, page in LINKS.items():
        source[0] = source[0].replace(link, page)


def add_defaults(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Say of each option what type it has, and what it is unless it is given."""
    if not name.endswith(("Options", "Backoff")) or not dataclasses.is_dataclass(value):
        return
    fields = {field.name: field for field in dataclasses.fields(value)}
    starts = [index for index, line in enumerate(lines) if re.match(r" {4}\w+: ", line)]
    for index, end in reversed([*zip(starts, [*starts[1:], len(lines)], strict=True)]):
        while not lines[end - 1].strip():
            end -= 1
        option, text = lines[index].strip().split(": ", 1)
        field = fields[option]
        lines[end - 1] = (text if end - 1 == index else lines[end - 1]) + f" *Unless given:* ``{default_of(field)}``."
        kind = "" if field.type == "Any" else f" ({field.type})"
        lines[index] = f"    {option}{kind}: {lines[index] if end - 1 == index else text}"


def mark_sentences(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Keep napoleon from taking the beginning of a sentence, up to a colon in it, for the name of a type."""
    if what in ("attribute", "property", "data") and lines:
        lines[0] = f": {lines[0]}"
    for index, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:"):
            text = lines[index + 1]
            lines[index + 1] = text[: len(text) - len(text.lstrip())] + ": " + text.lstrip()


def default_of(field: Any) -> str:
    if field.default is dataclasses.MISSING:
        return repr(field.default_factory())
    return getattr(field.default, "__name__", None) or repr(field.default)


def setup(app: Any) -> None:
    app.connect("source-read", read_source)
    # Before napoleon takes it apart:
    app.connect("autodoc-process-docstring", add_defaults, priority=400)
    app.connect("autodoc-process-docstring", mark_sentences, priority=400)
