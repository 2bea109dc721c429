"""Draws the pictures of docs/.

    python docs/tools/pictures.py

They show pages of docs/tutorial.md, of docs/how-to/induction.md and of the shipped prompts. Needs a Chromium,
Playwright, and pypdfium2 (`pip install pypdfium2`) for the page on paper.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from PIL import Image

from reportgen.pages.screenshot import View, draw_picture, find_browser

DOCS = Path(__file__).resolve().parents[1]
ADDRESS = "https://example.org/"
"""Address of the photographed site, which a page on paper names."""


@dataclass(frozen=True)
class Window:
    """A photograph of a page, in a window or on a sheet of A4."""

    width: int
    height: int
    context: dict[str, Any] = field(default_factory=dict)
    on_paper: bool = False


_PAGE = "shipped/capital-of-france.html"
_CAT = "results/cat.html#layer=13&head=8&query=15&first=out"
PICTURES = {
    "page.png": (_PAGE, Window(1440, 1200)),
    "pictures/page-dark.png": (_PAGE, Window(1440, 1200, {"color_scheme": "dark"})),
    "pictures/page-phone.png": (_PAGE, Window(390, 1700, {"has_touch": True, "is_mobile": True})),
    "pictures/page-on-paper.png": (_PAGE, Window(1280, 900, on_paper=True)),
    "pictures/side-by-side.png": ("shipped/names-side-by-side.html", Window(1440, 1200)),
    "pictures/index.png": ("shipped/index.html", Window(1200, 700)),
    "pictures/heads-of-a-layer.png": (_CAT, View("heads")),
    "pictures/layers-of-a-head.png": (_CAT, View("layers")),
    "pictures/one-head.png": (_CAT, View("head")),
    "pictures/what-attention-read.png": ("results/cat.html#all=steps", View("read")),
    "pictures/induction-head.png": ("results/repeated.html#layer=18&head=6&first=out", View("head")),
}
"""By file in docs/: the address of a page, and what is drawn of it."""


@click.command()
def main() -> None:
    """Build the pages and draw all pictures of docs/."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "prompts.yaml").write_text(read_code("tutorial.md", "yaml"), "utf-8")
        shipped = [str(DOCS.parent / "prompts.yaml"), "-o", "shipped"]
        for arguments in (
            ["-m", "reportgen", "build"],
            ["-c", read_code("how-to/induction.md", "python")],
            ["-m", "reportgen", "build", *shipped],
        ):
            subprocess.run([sys.executable, *arguments], cwd=folder, check=True)
        for name, (address, what) in PICTURES.items():
            if isinstance(what, View):
                picture = shrink(draw_picture(f"{folder}/{address}", what, "png"), colours=256)
            else:
                site, _, page = address.partition("/")
                picture = shrink(photograph(folder / site, page, what))
            (DOCS / name).write_bytes(picture)
            click.echo(f"docs/{name}: {len(picture)} bytes")


def read_code(page: str, language: str) -> str:
    """Return all code of a language on a page of docs/."""
    text = (DOCS / page).read_text("utf-8")
    return "".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


def photograph(site: Path, address: str, window: Window) -> bytes:
    """Return a page of a site as PNG."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": window.width, "height": window.height}, reduced_motion="reduce", **window.context
        )
        page.route(f"{ADDRESS}**", lambda route: route.fulfill(path=site / Path(urlsplit(route.request.url).path).name))
        page.goto(ADDRESS + address)
        page.locator("html[data-ready]").wait_for(state="attached")
        # What is out of sight is drawn once the selection rests.
        page.wait_for_timeout(4000)
        if not window.on_paper:
            return page.screenshot()
        margin = dict.fromkeys(("top", "bottom", "left", "right"), "12mm")
        return draw_sheet(page.pdf(format="A4", print_background=True, margin=margin))


def draw_sheet(pdf: bytes) -> bytes:
    """Return the first page of a PDF as PNG."""
    import pypdfium2

    with BytesIO() as stream:
        pypdfium2.PdfDocument(pdf)[0].render(scale=1.5).to_pil().save(stream, "PNG")
        return stream.getvalue()


def shrink(picture: bytes, colours: int = 0) -> bytes:
    """Return a smaller PNG; ``colours`` limits their number, if not 0."""
    with Image.open(BytesIO(picture)) as image, BytesIO() as stream:
        drawn = image.convert("RGB")
        if colours:
            drawn = drawn.quantize(colours, dither=Image.Dither.NONE)
        drawn.save(stream, "PNG", optimize=True)
        return stream.getvalue()


if __name__ == "__main__":
    main()
