"""Style sheets, scripts and the content security policy of a page.

The files in ``templates/css`` and ``templates/js`` are read without Jinja, which would interpret ``{#`` and ``{%`` in a
script.
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
"""Path of BokehJS in a site with shared assets, relative to its pages."""

PAGE_STYLES = ("page.css", "figure.css", "print.css")
COMPARE_STYLES = (*PAGE_STYLES, "compare.css")
INDEX_STYLES = ("index.css", "print.css")
HEADS_STYLES = ("heads.css", "print.css")
SERIES_STYLES = ("figure.css", "heads.css", "print.css", "series.css")
FIRST_SCRIPT = "page/first.js"
"""Script in the head of a page, which runs before anything is shown."""
BOOT_SCRIPTS = ("data/payload.js", "page/boot.js")
"""Scripts that inflate and run the other scripts, which a page contains as deflated blocks."""
_SHARED_SCRIPTS = (
    "data/triangles.js", "data/ramps.js", "data/pattern.js", "data/numbers.js", "data/scores.js", "data/sets.js",
    "page/state.js", "data/store.js", "data/shows.js", "data/kinds.js", "data/words.js", "data/forms.js",
    "data/spans.js", "data/ledger.js", "data/evidence.js", "page/text.js", "page/theme.js", "page/address.js",
    "page/keys.js", "page/pointer.js", "page/blocks.js", "figures/colors.js", "figures/figure.js", "figures/axis.js",
    "figures/square.js", "page/viewer.js", "page/picture.js", "page/save.js", "page/cite.js", "page/dialogs.js",
    "page/legends.js", "page/contents.js",
)  # fmt: skip
"""Scripts of pages and comparisons in the order in which they must run: first those that only compute."""
PAGE_SCRIPTS = (
    *_SHARED_SCRIPTS, "figures/read.js", "figures/panel.js", "figures/wrote.js", "figures/grid.js",
    *(f"figures/{script}" for kind in KINDS for script in kind.scripts), "figures/head_rows.js",
    "page/lines.js", "page/strip.js", "page/side.js", "page/scoreboard.js", "page/controls.js", "page/player.js",
    "page/embed.js", "page/story.js", "page/page.js",
)  # fmt: skip
"""Scripts of the page of a prompt; only the last one changes the document when it is loaded."""
COMPARE_SCRIPTS = (
    *_SHARED_SCRIPTS, "figures/grid.js", "page/strip.js", "page/embed.js", "data/alignment.js", "compare/pair.js",
    "figures/sides.js", "figures/patching.js", "compare/lists.js", "compare/compare.js",
)  # fmt: skip
INDEX_SCRIPTS = (
    "data/payload.js", "page/theme.js", "page/keys.js", "page/address.js", "index/listing.js", "index/index.js",
)  # fmt: skip
HEADS_SCRIPTS = (
    "data/payload.js", "data/ramps.js", "data/numbers.js", "figures/colors.js", "page/theme.js", "page/keys.js",
    "page/address.js", "heads/statistics.js", "heads/heads.js",
)  # fmt: skip
SERIES_SCRIPTS = (
    "data/payload.js", "data/triangles.js", "data/ramps.js", "data/pattern.js", "data/numbers.js", "data/kinds.js",
    "figures/colors.js", "page/theme.js", "page/keys.js", "page/address.js", "heads/statistics.js",
    "series/choice.js", "series/series.js",
)  # fmt: skip
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)\n", re.DOTALL | re.MULTILINE)
"""Comments that fill whole lines. They are a sixth of the scripts, and every page would contain them."""
_STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STYLE_SPACE = re.compile(r'("[^"]*")|[;\s]*(\})\s*|\s*([{;,])\s+|(?<=[a-z]:)\s+|\s+(?=\{)')
"""Redundant white space and semicolons of a style sheet. Quoted text is matched first, so that it is kept."""


@cache
def read_bokeh() -> str:
    """Return the source of BokehJS, only its core bundle."""
    return Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0]


@cache
def read_styles(*own: str) -> Markup:
    """Return the shared style sheets and those of one kind of page as one style sheet without comments.

    Args:
        own: file names of the style sheets of this kind of page.
    """
    sheets = ((find_templates() / "css" / name).read_text("utf-8") for name in ("theme.css", "base.css", *own))
    return Markup(_STYLE_SPACE.sub(r"\1\2\3", _STYLE_COMMENT.sub("", "\n".join(sheets))).strip())


@cache
def read_scripts(names: tuple[str, ...]) -> Markup:
    """Return scripts joined in the order given, without the comments that fill whole lines.

    The scripts must not contain ``</script``, because it cannot be escaped inside a script element.
    """
    scripts = ((find_templates() / "js" / name).read_text("utf-8") for name in names)
    return Markup("\n".join(strip_margin(_COMMENT.sub("", script)).rstrip() for script in scripts))


@dataclass(frozen=True)
class Program:
    """The scripts of a page and its content security policy.

    Attributes:
        boot: script that inflates and runs the others.
        blocks: deflated scripts in the page, by name.
        bokeh_file: path of BokehJS relative to the page; empty if the page contains BokehJS.
        policy: content security policy that allows only these scripts.
    """

    boot: Markup
    blocks: Mapping[str, Markup]
    bokeh_file: str
    policy: str


@cache
def make_program(names: tuple[str, ...], *, shared_assets: bool) -> Program:
    """Return the program of a page.

    Args:
        names: file names of the page's scripts.
        shared_assets: whether BokehJS is a file of the site instead of a part of the page.
    """
    scripts = {"script": str(read_scripts(names))} | ({} if shared_assets else {"bokeh": read_bokeh()})
    boot = read_scripts(BOOT_SCRIPTS)
    return Program(
        boot=boot,
        blocks={name: encode_bytes(script.encode("utf-8"), patient=True) for name, script in scripts.items()},
        bokeh_file=BOKEH_FILE if shared_assets else "",
        policy=make_policy((read_scripts((FIRST_SCRIPT,)), boot, *scripts.values()), own_files=shared_assets),
    )


def make_policy(scripts: Iterable[str], *, own_files: bool = False) -> str:
    """Return the content security policy of a page.

    Args:
        scripts: text of every inline script that may run, including scripts that the page adds later.
        own_files: whether script files from the page's own origin may run too.

    Returns:
        A policy that allows no other scripts and no requests. Inline styles are allowed, because Bokeh sets them on
        elements; a style can load nothing but ``data:`` and ``blob:`` URLs.
    """
    hashes = [_hash(script) for script in scripts]
    sources = " ".join(["'self'", *hashes] if own_files else hashes)
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def embed_json(value: Any) -> Markup:
    """Return a value as JSON for a script element, escaped so that no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
