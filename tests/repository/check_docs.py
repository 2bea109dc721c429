"""Links, pictures and the reference of the documentation are those of the repository."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from counts import COUNTS
from fences import PAGES, name_of, read_anchors, read_links
from root import ROOT


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in read_links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in read_anchors(target), link


def test_every_picture_is_shown() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in read_links(page) if link.endswith(".png")}
    assert set((ROOT / "docs").rglob("*.png")) <= shown


def test_reference_is_made_of_the_code() -> None:
    spec = importlib.util.spec_from_file_location("reference_script", ROOT / "docs" / "tools" / "reference.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, text in script.make_pages().items():
        written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
        assert written == text, f"{name} is stale; run python docs/tools/reference.py --write"


def test_every_page_is_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in read_links(index)}
    assert {page for page in PAGES if page.parent != ROOT} - linked == {index}


def test_counts_are_in_their_table() -> None:
    """How often tests repeat a property, in CONTRIBUTING.md."""
    rows = re.findall(
        r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE
    )
    assert {name: tuple(int(count.replace(",", "")) for count in both) for name, *both in rows} == COUNTS
