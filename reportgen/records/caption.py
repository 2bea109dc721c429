"""Captions in Markdown: emphasis, code and links, and no HTML."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

SCHEMES = ("http://", "https://", "mailto:", "#")
"""How the address of a link can begin."""


def parse_caption(text: str) -> list[Token]:
    """Return the inline tokens of a caption.

    Raises:
        ValueError: a link has another address than the allowed ones.
    """
    tokens = _make_parser().parseInline(text)[0].children or []
    for link in (str(token.attrs["href"]) for token in tokens if token.type == "link_open"):
        if not link.lower().startswith(SCHEMES):
            raise ValueError(f"has a link to {link[:60]!r}; a link begins with {', '.join(SCHEMES)}")
    return tokens


@cache
def _make_parser() -> MarkdownIt:
    # Imported here: most runs have no captions.
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).disable(["image", "html_inline", "newline"])
    # The library would leave a link that it does not trust as text; here it is an error.
    parser.validateLink = lambda url: True
    return parser
