"""The folder that is published: whole files, nobody else's overwritten, an index from the pages alone."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from html_tree import parse_html
from samples import HOSTILE, make_capture

from reportgen.pages.assets import BOKEH_FILE, read_bokeh
from reportgen.pages.cards import Card, FailureCard, make_card
from reportgen.pages.options import PageOptions
from reportgen.pages.page import render_page
from reportgen.records.errors import SiteError
from reportgen.site.site import Run, Site

FAILURE = FailureCard("lost", "Lost", "gpt2", "prompts.yaml:5: too long; shorten it")


def files_in(folder: Path) -> list[str]:
    """Return all files of a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def write_pages(folder: Path, *slugs: str) -> list[Card]:
    """Write a page for each slug and return their cards."""
    captures = [make_capture(slug=slug, title=f"Title of {slug}") for slug in slugs]
    Site(folder).open(slugs)
    for capture in captures:
        Site(folder).write_page(capture.prompt.slug, render_page(capture))
    return [make_card(capture) for capture in captures]


def slugs_of(folder: Path) -> list[str]:
    """Return the slugs of the cards that are read from a folder."""
    return [card.slug for card in Site(folder).read_cards()]


def test_site_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert Site(folder).open().root == folder
    assert files_in(folder) == [".nojekyll"]


def test_shared_assets_stand_beside_the_pages(tmp_path: Path) -> None:
    Site(tmp_path).open(options=PageOptions(shared_assets=True))
    Site(tmp_path).open(options=PageOptions(shared_assets=True))
    assert files_in(tmp_path) == [".nojekyll", BOKEH_FILE]
    assert (tmp_path / BOKEH_FILE).read_text("utf-8") == read_bokeh()


def test_files_are_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    cards = write_pages(tmp_path, "cat", "dog")
    assert Site(tmp_path).write_index(cards) == tmp_path / "index.html"
    assert files_in(tmp_path) == [".nojekyll", "cat.html", "dog.html", "heads.html", "index.html", "report.json"]
    expected = render_page(make_capture(slug="cat", title="Title of cat"))
    assert (tmp_path / "cat.html").read_bytes() == expected.encode("utf-8")


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_files_have_the_rights_that_the_user_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_pages(tmp_path, "cat")
        Site(tmp_path).write_capture("cat", make_capture())
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    for name in ("cat.html", "captures/cat.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


def test_pages_are_written_anew(tmp_path: Path) -> None:
    write_pages(tmp_path, "cat")
    Site(tmp_path).write_page("cat", "new")
    assert (tmp_path / "cat.html").read_text() == "new"


@pytest.mark.parametrize("name", ["index.html", "heads.html", "cat.html", "report.json"])
@pytest.mark.parametrize("kind", ["file", "empty", "folder", "link", "dangling link"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, name: str, kind: str) -> None:
    path, mine = tmp_path / "site" / name, tmp_path / "mine.txt"
    mine.write_text("mine")
    path.parent.mkdir()
    match kind:
        case "file":
            path.write_text("<!doctype html><p>Written by hand about reportgen")
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(mine)
        case "dangling link":
            path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(SiteError) as caught:
        Site(path.parent).open(["cat"])
    assert str(caught.value) == f"{path}: exists and was not written by reportgen; move it or choose another --results"
    assert mine.read_text() == "mine"
    assert [found.name for found in path.parent.iterdir()] == [name]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["data", "data/cat", "assets"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    elsewhere, site = tmp_path / "elsewhere", tmp_path / "site"
    elsewhere.mkdir()
    (site / name).parent.mkdir(parents=True)
    (site / name).symlink_to(elsewhere)
    with pytest.raises(SiteError, match=f"{name}: is a link, which is not followed; remove it or choose another"):
        Site(Site(site).open(options=PageOptions(shared_assets=True)).root).write_tables("cat", {"a.csv": b"1"})
    assert list(elsewhere.iterdir()) == []


def test_a_link_to_a_page_or_report_elsewhere_is_not_read(tmp_path: Path) -> None:
    elsewhere, site = tmp_path / "elsewhere", tmp_path / "site"
    Site(elsewhere).write_index(write_pages(elsewhere, "cat"))
    Site(site).open()
    (site / "cat.html").symlink_to(elsewhere / "cat.html")
    assert Site(site).pages == {}
    (site / "report.json").symlink_to(elsewhere / "report.json")
    with pytest.raises(SiteError, match=r"report\.json: cannot be read, it is a link"):
        Site(site).read_cards()


def test_a_site_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "site").symlink_to(tmp_path / "disk")
    Site(Site(tmp_path / "site").open().root).write_tables("cat", {"a.csv": b"1"})
    assert (tmp_path / "disk" / "data" / "cat" / "a.csv").read_bytes() == b"1"


def test_pages_of_other_slugs_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "notes.html").write_text("mine")
    Site(tmp_path).open(["cat"])
    assert (tmp_path / "notes.html").read_text() == "mine"


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    for folder in (tmp_path / "site", tmp_path / "site" / "below"):
        with pytest.raises(
            SiteError, match=r"site(/below)?: cannot be created, .+; choose another folder with --results"
        ):
            Site(folder).open()
    assert (tmp_path / "site").read_text() == "mine"


def test_a_file_in_place_of_the_assets_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "assets").write_text("mine")
    with pytest.raises(SiteError, match="assets: exists and was not written by reportgen"):
        Site(tmp_path).open(options=PageOptions(shared_assets=True))


def refuse(*_: object, **__: object) -> None:
    """Do as a folder does that one may only read."""
    raise PermissionError(13, "Permission denied")


def fill_up(*_: object) -> None:
    """Do as a full disk does."""
    raise OSError(28, "No space left on device")


def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(SiteError, match=r"\.nojekyll: cannot be written, Permission denied; make room or choose"):
        Site(tmp_path).open()


def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pages(tmp_path, "cat")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SiteError, match=r"cat\.html: cannot be read, Permission denied; choose"):
        Site(tmp_path).open(["cat"])


def test_a_full_disk_leaves_the_old_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pages(tmp_path, "cat")
    before = (tmp_path / "cat.html").read_bytes()
    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(SiteError, match=r"cat\.html: cannot be written, No space left on device"):
        Site(tmp_path).write_page("cat", "half")
    assert (tmp_path / "cat.html").read_bytes() == before
    assert files_in(tmp_path) == [".nojekyll", "cat.html"]


def test_an_interrupt_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Site(tmp_path).write_page("cat", "half")
    assert files_in(tmp_path) == []


def test_report_says_what_became_of_each_prompt(tmp_path: Path) -> None:
    (card,) = write_pages(tmp_path, "cat")
    Site(tmp_path).write_index([FAILURE, replace(card, title="שלום")])
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert report["generator"].startswith("reportgen ")
    failed = {"status": "failed", "error": FAILURE.error, "earlier_page": "", "key": "", "run": None}
    written = {"status": "written", "page": "cat.html", "key": "", "run": None}
    assert report["prompts"] == [
        {"slug": "lost", "title": "Lost", "model": "gpt2"} | failed,
        {"slug": "cat", "title": "שלום", "model": "tiny"} | written,
    ]
    assert report["run"] == {}


def test_report_keeps_what_it_said_of_the_last_run(tmp_path: Path) -> None:
    (card,) = write_pages(tmp_path, "cat")
    Site(tmp_path).write_index(
        [card, FAILURE], run=Run({"built": 1}, {"cat": {"built": True, "seconds": {"page": 0.1}}})
    )
    before = (tmp_path / "report.json").read_bytes()
    Site(tmp_path).write_index([card, FAILURE])
    assert (tmp_path / "report.json").read_bytes() == before
    assert json.loads(before)["prompts"][0]["run"] == {"built": True, "seconds": {"page": 0.1}}


def test_index_shows_cards_in_the_order_given(tmp_path: Path) -> None:
    cards = write_pages(tmp_path, "b", "a")
    index = parse_html(Site(tmp_path).write_index([cards[0], FAILURE, cards[1]]).read_text("utf-8"))
    assert [title.text for title in index.find(id="cards")[0].find("h2")] == ["Title of b start here", "Title of a"]
    assert [title.text for title in index.find(id="failures")[0].find("b")] == ["Lost"]
    assert [link.attributes["href"] for link in index.find(id="cards")[0].find("a")] == ["b.html", "a.html"]


def test_our_own_site_is_opened_again(tmp_path: Path) -> None:
    Site(tmp_path).write_index(write_pages(tmp_path, "cat"))
    Site(tmp_path).open(["cat"])


def test_cards_are_read_from_the_pages(tmp_path: Path) -> None:
    capture = make_capture(HOSTILE, slug="evil", title=HOSTILE[0], tags=HOSTILE, note=HOSTILE[5])
    Site(tmp_path).open()
    Site(tmp_path).write_page("evil", render_page(capture))
    assert Site(tmp_path).read_cards() == [make_card(capture)]


def test_cards_of_pages_with_shared_assets_are_read(tmp_path: Path) -> None:
    Site(tmp_path).open(options=PageOptions(shared_assets=True))
    Site(tmp_path).write_page("cat", render_page(make_capture(), PageOptions(shared_assets=True)))
    assert Site(tmp_path).read_cards() == [make_card(make_capture())]


def test_cards_keep_the_order_of_the_last_run_and_its_failures(tmp_path: Path) -> None:
    cards = write_pages(tmp_path, "c", "b", "a")
    Site(tmp_path).write_index([cards[0], FAILURE, cards[2]])
    assert Site(tmp_path).read_cards() == [cards[0], FAILURE, cards[2], cards[1]]
    Site(tmp_path).write_index(Site(tmp_path).read_cards())
    assert Site(tmp_path).read_cards() == [cards[0], FAILURE, cards[2], cards[1]]


def test_pages_that_the_last_run_left_out_stay_out_and_later_ones_come_in(tmp_path: Path) -> None:
    cards = write_pages(tmp_path, "a", "b", "c")
    Site(tmp_path).write_index(cards[1:2], ["a", "c", "gone"])
    assert list(Site(tmp_path).pages) == ["a", "b", "c"]
    assert Site(tmp_path).read_left_out() == ["a", "c"]
    (copied,) = write_pages(tmp_path, "d")
    assert Site(tmp_path).read_cards() == [cards[1], copied]
    (tmp_path / "report.json").unlink()
    assert slugs_of(tmp_path) == ["a", "b", "c", "d"]


def test_cards_without_a_report_are_in_order_of_name(tmp_path: Path) -> None:
    write_pages(tmp_path, "c", "a", "b")
    assert slugs_of(tmp_path) == ["a", "b", "c"]


def test_pages_that_are_gone_have_no_cards(tmp_path: Path) -> None:
    Site(tmp_path).write_index(write_pages(tmp_path, "a", "b"))
    (tmp_path / "a.html").unlink()
    assert slugs_of(tmp_path) == ["b"]


def test_a_page_takes_the_place_of_its_failure(tmp_path: Path) -> None:
    (card,) = write_pages(tmp_path, "cat")
    Site(tmp_path).write_index([replace(FAILURE, slug="cat")])
    assert Site(tmp_path).read_cards() == [card]


def test_files_that_are_no_pages_of_ours_are_passed_over(tmp_path: Path) -> None:
    Site(tmp_path).write_index(write_pages(tmp_path, "cat"))
    (tmp_path / "notes.html").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "gone.html").symlink_to(tmp_path / "nowhere")
    assert slugs_of(tmp_path) == ["cat"]


def spoil(page: str, how: str) -> bytes:
    """Return a page of ours whose card cannot be read."""
    match how:
        case "no card":
            return page.replace('id="card"', 'id="car"').encode()
        case "broken":
            return page.replace('id="card">{', 'id="card">[{').encode()
        case "other keys":
            return page.replace('"slug"', '"name"').encode()
        case _:
            return page.encode("utf-8").replace(b'id="card">{"', b'id="card">{"\xff')


@pytest.mark.parametrize("how", ["no card", "broken", "other keys", "not UTF-8"])
def test_unreadable_card_is_an_error(tmp_path: Path, how: str) -> None:
    (tmp_path / "cat.html").write_bytes(spoil(render_page(make_capture()), how))
    with pytest.raises(SiteError, match=r"cat\.html: holds no readable card, .+; build that page again"):
        Site(tmp_path).read_cards()


@pytest.mark.parametrize(
    "report", ["", "[]", "{}", '{"prompts": 1}', '{"prompts": [1]}', '{"prompts": ["ab"]}', "\xff"]
)
def test_unreadable_report_is_an_error(tmp_path: Path, report: str) -> None:
    (tmp_path / "report.json").write_bytes(report.encode("latin-1"))
    with pytest.raises(
        SiteError, match=r"report\.json: cannot be read, .+; without it the index is made from the pages"
    ):
        Site(tmp_path).read_cards()


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_cards_of_no_folder_are_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SiteError, match=f"{name}: is not a folder; name the folder that reportgen build wrote"):
        Site(tmp_path / name).read_cards()


def test_a_copied_page_has_the_card_of_its_own_file(tmp_path: Path) -> None:
    write_pages(tmp_path, "cat")
    (tmp_path / "copy.html").write_bytes((tmp_path / "cat.html").read_bytes())
    assert [(card.slug, card.title) for card in Site(tmp_path).read_cards()] == [
        ("cat", "Title of cat"),
        ("copy", "Title of cat"),
    ]
