"""A story as files for an article: Markdown, LaTeX and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from reportgen.pages.captions import (
    caption_to_latex,
    caption_to_markdown,
    escape_address,
    escape_latex,
    escape_markdown,
)
from reportgen.pages.figure_stills import FigureStill
from reportgen.pages.page_data import PageData

_PACKAGES = {"svg": "svg,hyperref", "png": "graphicx,hyperref", "pdf": "graphicx,hyperref"}


def name_picture(number: int, picture_format: str) -> str:
    """Return the name of the picture of a step, by its number from 1."""
    return f"step-{number}.{picture_format}"


def write_markdown(data: PageData, stills: list[FigureStill], page: str) -> str:
    """Return a story as Markdown.

    Args:
        data: what the figures of the page show.
        stills: the still of each step.
        page: address of the page, that links lead to.
    """
    capture = data.capture
    lines = [
        f"# {escape_markdown(capture.prompt.title)}",
        "",
        f"[{escape_markdown(capture.model.title)}](<{page}>)",
        "",
    ]
    for number, (step, still) in enumerate(zip(data.story, stills, strict=True), 1):
        caption = caption_to_markdown(step.text, lambda link: _lead(link, page))
        lines += [
            f"![{escape_markdown(still.alt)}]({name_picture(number, 'svg')})", "",
            f"**Figure {number}.** {caption} [{escape_markdown(still.title)}](<{page}#story={number}>)", "",
        ]  # fmt: skip
    return "\n".join(lines)


def write_latex(data: PageData, stills: list[FigureStill], page: str, picture_format: str) -> str:
    """Return a story as LaTeX, a figure for each step.

    Args:
        data: what the figures of the page show.
        stills: the still of each step.
        page: address of the page, that links lead to.
        picture_format: format of the pictures.
    """
    include = r"\includesvg[width=\linewidth]" if picture_format == "svg" else ""
    lines = [f"% \\usepackage{{{_PACKAGES[picture_format]}}}"]
    for number, (step, still) in enumerate(zip(data.story, stills, strict=True), 1):
        alt = escape_latex(still.alt).replace("[", "{[}").replace("]", "{]}")
        command = include or f"\\includegraphics[width=\\linewidth,alt={{{alt}}}]"
        name = name_picture(number, picture_format).removesuffix(".svg")
        caption = caption_to_latex(step.text, lambda link: _lead(link, page))
        view = f"\\href{{{escape_address(f'{page}#story={number}')}}}{{{escape_latex(still.title)}}}"
        lines += [
            r"\begin{figure}", r"  \centering", f"  {command}{{{name}}}", f"  \\caption{{{caption} {view}}}",
            f"  \\label{{fig:{data.capture.prompt.slug}-{number}}}", r"\end{figure}",
        ]  # fmt: skip
    return "\n".join([*lines, ""])


def make_texts(data: PageData, stills: list[FigureStill], page: str, picture_format: str) -> Mapping[str, str]:
    """Return the texts of a story by the name of their file; arguments as in ``write_latex``."""
    return {
        "story.md": write_markdown(data, stills, page),
        "story.tex": write_latex(data, stills, page, picture_format),
    }


def _lead(link: str, page: str) -> str:
    """Return the address of a link, of which one into the page begins with the page."""
    return f"{page}{link}" if link.startswith("#") else link
