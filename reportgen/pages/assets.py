"""Style sheets, scripts and the policy that a page is allowed to run under.

The files under ``templates/css`` and ``templates/js`` are read raw, never through Jinja, which would take ``{#`` and
``{%`` in a script for its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import bokeh
from bokeh.resources import Resources
from markupsafe import Markup

from reportgen.evidence.kinds import KINDS
from reportgen.pages.encoding import encode_bytes
from reportgen.pages.templates import strip_margin
from reportgen.paths import find_templates

BOKEH_FILE = f"assets/bokeh-{bokeh.__version__}.min.js"
"""Where a site with shared assets keeps BokehJS, relative to its pages."""

_STYLES = ("theme.css", "layout.css", "content.css", "take.css")
BOOT_SCRIPTS = ("payload.js", "boot.js")
"""Those that bring in the others, which pages carry deflated."""
_SHARED_SCRIPTS = (
    "triangles.js", "ramps.js", "pattern.js", "scale.js", "scores.js", "sets.js", "state.js", "store.js", "shows.js",
    "kinds.js", "words.js", "forms.js", "evidence.js", "ledger.js", "text.js", "figures.js", "heatmaps.js",
    "overview.js", "strongest.js", "address.js", "keys.js", "pointer.js", "theme.js", "blocks.js",
)  # fmt: skip
"""In the order in which they must run: the pure ones, then those that draw."""
PAGE_SCRIPTS = (
    *_SHARED_SCRIPTS, "lines.js", "tiles.js", "steps.js", *(script for kind in KINDS for script in kind.scripts),
    "head_rows.js", "together.js", "views.js", "scoreboard.js", "captions.js", "controls.js", "player.js",
    "picture.js", "strip.js", "save.js", "embed.js", "cite.js", "dialogs.js", "page.js",
)  # fmt: skip
"""Those of a page; the last one touches the document."""
COMPARE_SCRIPTS = (*_SHARED_SCRIPTS, "difference.js", "beside.js", "compare.js")
INDEX_SCRIPTS = ("payload.js", "keys.js", "address.js", "listing.js", "index.js")
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)\n", re.DOTALL | re.MULTILINE)
"""Comments are a sixth of the scripts, and are carried by every page."""
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STYLE_SPACE = re.compile(r'("[^"]*")|[;\s]*(\})\s*|\s*([{;,])\s+|(?<=[a-z]:)\s+|\s+(?=\{)')
"""White space and last semicolons, which mean nothing in a style sheet; what is quoted is matched first, and stays."""


@cache
def read_bokeh() -> str:
    """Return the text of BokehJS, its core bundle alone."""
    return Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]


@cache
def read_styles(*own: str) -> Markup:
    """Return the style sheets that everything shares, then those of one kind of page, as one, without comments."""
    sheets = ((find_templates() / "css" / name).read_text("utf-8") for name in (*_STYLES, *own))
    return Markup(_STYLE_SPACE.sub(r"\1\2\3", _STYLE_COMMENT.sub("", "\n".join(sheets))).strip())


@cache
def read_scripts(names: tuple[str, ...]) -> Markup:
    """Return scripts as one, in the order given, without the comments that fill lines of their own.

    They must not hold ``</script``: nothing escapes it inside a script element.
    """
    scripts = ((find_templates() / "js" / name).read_text("utf-8") for name in names)
    return Markup("\n".join(strip_margin(_COMMENT.sub("", script)).rstrip() for script in scripts))


@dataclass(frozen=True)
class Program:
    """What a page runs.

    Attributes:
        boot: the script that brings in the others.
        blocks: those that the page carries deflated, by name.
        bokeh_file: where BokehJS is instead, relative to the page; empty where the page carries it.
        policy: lets these run, and nothing else.
    """

    boot: Markup
    blocks: Mapping[str, Markup]
    bokeh_file: str
    policy: str


@cache
def make_program(names: tuple[str, ...], *, shared_assets: bool) -> Program:
    """Return what a page of these scripts runs, with BokehJS in it or beside it."""
    carried = {"script": str(read_scripts(names))} | ({} if shared_assets else {"bokeh": read_bokeh()})
    boot = read_scripts(BOOT_SCRIPTS)
    return Program(
        boot=boot,
        blocks={name: encode_bytes(script.encode("utf-8"), patient=True) for name, script in carried.items()},
        bokeh_file=BOKEH_FILE if shared_assets else "",
        policy=make_policy((boot, *carried.values()), own_files=shared_assets),
    )


def make_policy(scripts: Iterable[str], *, own_files: bool = False) -> str:
    """Return the content security policy of a page.

    Args:
        scripts: text of every inline script that may run, those that the page adds later included.
        own_files: whether script files beside the page may run too.

    Returns:
        A policy under which nothing else runs and nothing is requested. Styles are left open, since Bokeh sets them on
        elements; no address but ``data:`` and ``blob:`` can be reached from a style.
    """
    hashes = [_hash(script) for script in scripts]
    sources = " ".join(["'self'", *hashes] if own_files else hashes)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def embed_json(value: Any) -> Markup:
    """Return JSON for a script element of a data type, in which no text can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
