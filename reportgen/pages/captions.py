"""Captions of a story, from Markdown to HTML, Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from markupsafe import Markup, escape

from reportgen.records.caption import parse_caption

_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "␣": r"\textvisiblespace{}",
    "“": "``", "”": "''", "−": "--", **{character: f"\\{character}" for character in "{}%&#_$"},
}  # fmt: skip
_SPECIAL = re.compile(r"([\\`*_\[\]<>#&])")
_HTML: Mapping[str, str] = {
    "em_open": "<em>", "em_close": "</em>", "strong_open": "<strong>", "strong_close": "</strong>",
    "code_inline": "<code>{}</code>", "link_open": '<a href="{}" rel="noopener">', "link_close": "</a>",
    "hardbreak": "<br>",
}  # fmt: skip
_MARKDOWN: Mapping[str, str] = {
    "em_open": "*", "em_close": "*", "strong_open": "**", "strong_close": "**", "code_inline": "{}",
    "link_open": "[", "link_close": "](<{}>)", "hardbreak": "\\\n",
}  # fmt: skip
_LATEX: Mapping[str, str] = {
    "em_open": r"\emph{{", "em_close": "}}", "strong_open": r"\textbf{{", "strong_close": "}}",
    "code_inline": r"\texttt{{{}}}", "link_open": r"\href{{{}}}{{", "link_close": "}}", "hardbreak": r"\\ ",
}  # fmt: skip


def caption_to_html(text: str) -> Markup:
    """Return a caption as HTML."""
    return Markup(_convert(text, _HTML, lambda said: str(escape(said)), lambda said: str(escape(said))))


def caption_to_markdown(text: str, link: Callable[[str], str] = str) -> str:
    """Return a caption as Markdown, in which no text is HTML; ``link`` converts the addresses of links."""
    return _convert(text, _MARKDOWN, escape_markdown, link, code=_quote_code)


def caption_to_latex(text: str, link: Callable[[str], str] = str) -> str:
    """Return a caption as LaTeX; ``link`` converts the addresses of links."""
    return _convert(text, _LATEX, escape_latex, lambda address: escape_address(link(address)))


def _quote_code(text: str) -> str:
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def escape_markdown(text: str) -> str:
    """Return a text in which no character has a meaning in Markdown."""
    return _SPECIAL.sub(r"\\\1", text)


def escape_latex(text: str) -> str:
    """Return a text in which no character has a meaning in LaTeX."""
    return "".join(_TEX.get(character, character) for character in text)


def escape_address(address: str) -> str:
    """Return an address as the commands of the package hyperref take it."""
    return re.sub(r"([%#\\{}])", r"\\\1", address)


def _convert(
    text: str,
    forms: Mapping[str, str],
    escape_text: Callable[[str], str],
    link: Callable[[str], str],
    code: Callable[[str], str] | None = None,
) -> str:
    parts: list[str] = []
    address = ""
    for token in parse_caption(text):
        if token.type == "link_open":
            address = link(str(token.attrs["href"]))
        if token.type in ("link_open", "link_close"):
            parts.append(forms[token.type].format(address))
        elif token.type == "code_inline":
            parts.append(forms[token.type].format((code or escape_text)(token.content)))
        elif token.type in forms:
            parts.append(forms[token.type].format())
        else:
            parts.append(escape_text(token.content))
    return "".join(parts)
