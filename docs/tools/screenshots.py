"""Photographs pages for docs/gallery.md and the README anew, from the shipped prompts.

    python docs/tools/screenshots.py

Needs a Chromium, playwright, and pypdfium2 for the sheet of paper.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://example.org/"
"""Where the site pretends to be, since a page on paper names its address."""
HEAD = "generated-tokens.html#layer=16&head=3&step=2&first=out"


@dataclass(frozen=True)
class Shot:
    """What is photographed: an address in the site, in a window or on a sheet of A4."""

    address: str
    width: int
    height: int
    context: dict[str, Any] = field(default_factory=dict)
    on_paper: bool = False


MARGIN = dict.fromkeys(("top", "bottom", "left", "right"), "12mm")
PHONE = {"has_touch": True, "is_mobile": True}
SHOTS = {
    "docs/page.png": Shot(HEAD, 1440, 1330),
    "docs/pictures/page-dark.png": Shot(HEAD, 1440, 1330, {"color_scheme": "dark"}),
    "docs/pictures/page-phone.png": Shot(HEAD, 390, 1700, PHONE),
    "docs/pictures/page-on-paper.png": Shot(HEAD, 1280, 900, on_paper=True),
    "docs/pictures/side-by-side.png": Shot("names-side-by-side.html", 1440, 1500),
    "docs/pictures/index.png": Shot("index.html", 1200, 700),
}


def main() -> None:
    """Build the shipped prompts and photograph their pages."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "reportgen", "build", str(ROOT / "prompts.yaml"), "-o", folder]
        subprocess.run(command, check=True)
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, shot in SHOTS.items():
            path = ROOT / name
            path.write_bytes(photograph(browser, Path(folder), shot))
            print(f"{name}: {path.stat().st_size} bytes")
        browser.close()


def photograph(browser: Browser, site: Path, shot: Shot) -> bytes:
    """Return a picture of a window, as PNG."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": shot.height}, reduced_motion="reduce", **shot.context
    )
    context.route(f"{ADDRESS}**", lambda route: route.fulfill(path=site / Path(urlsplit(route.request.url).path).name))
    page = context.new_page()
    page.goto(ADDRESS + shot.address)
    page.wait_for_timeout(1500)
    if page.locator("#first-visit button").is_visible():
        page.locator("#first-visit button").click()
    page.wait_for_timeout(3000)
    picture = (
        draw_sheet(page.pdf(format="A4", print_background=True, margin=MARGIN)) if shot.on_paper else page.screenshot()
    )
    context.close()
    return shrink(picture)


def draw_sheet(pdf: bytes) -> bytes:
    """Return the first sheet as PNG."""
    import pypdfium2

    with BytesIO() as stream:
        pypdfium2.PdfDocument(pdf)[0].render(scale=1.5).to_pil().save(stream, "PNG")
        return stream.getvalue()


def shrink(picture: bytes) -> bytes:
    """Return a PNG without what it does not need."""
    with Image.open(BytesIO(picture)) as image, BytesIO() as stream:
        image.convert("RGB").save(stream, "PNG", optimize=True)
        return stream.getvalue()


if __name__ == "__main__":
    main()
