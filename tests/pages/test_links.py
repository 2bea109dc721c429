"""Published pages: their addresses, what cards of links show of them, and the list for search engines."""

from __future__ import annotations

import io
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from html_tree import Element, parse_html
from page_checks import key_in
from PIL import Image
from samples import HOSTILE, make_capture
from tiny import save_llama

from reportgen.cli import main as cli
from reportgen.pages.cards import make_card
from reportgen.pages.compare import make_compare_card, render_comparison
from reportgen.pages.links import PREVIEW_SIZE, check_site_url, make_link, make_sitemap
from reportgen.pages.options import PageOptions
from reportgen.pages.page import render_page
from reportgen.pages.preview import draw_preview
from reportgen.records import Comparison
from reportgen.records.errors import InTheWay, OptionError
from reportgen.site.site import Site

SITE = "https://ada.github.io/heads/"
PROMPTS = """\
model: llama
defaults: {max_new_tokens: 1}
prompts:
  - {text: The cat, slug: cat, title: "A cat & <i>a</i> \\"mat\\""}
  - {text: A dog, slug: dog}
  - {compare: [cat, dog], slug: both}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working folder, with a prompt file and a tiny model in it."""
    save_llama(tmp_path / "llama")
    (tmp_path / "prompts.yaml").write_text(PROMPTS, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, arguments)


def meta_of(page: Element) -> dict[str, str]:
    """Return what a head says to those that make cards of links, and to search engines."""
    found = {link.attributes["rel"]: link.attributes["href"] for link in page.find("link")}
    named = [(one.attributes.get("property") or one.attributes.get("name"), one) for one in page.find("meta")]
    return {name: one.attributes["content"] for name, one in named if name and ":" in name} | {
        name: found[name] for name in found if name == "canonical"
    }


def addresses_in(folder: Path) -> list[str]:
    """Return what the sitemap lists."""
    return [loc.text or "" for loc in ElementTree.fromstring((folder / "sitemap.xml").read_bytes()).iter(
        "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
    )]  # fmt: skip


def open_picture(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size) == ("PNG", PREVIEW_SIZE)
    return picture


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", ""),
        (SITE, SITE),
        ("https://ada.github.io/heads", SITE),
        ("https://ADA.github.io/Heads//", "https://ada.github.io/Heads/"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
    ],
)
def test_address_of_a_site_ends_in_its_folder(given: str, meant: str) -> None:
    assert check_site_url(given) == meant


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("ada.github.io/heads", "is not a web address"),
        ("ftp://ada.github.io", "is not a web address"),
        ("javascript:alert(1)", "is not a web address"),
        ("https://", "is not a web address"),
        ("https://[::1", "is not a valid URL"),
        ("https://ada.github.io:x/", "is not a valid URL"),
        ("https://ada.github.io/a b", "contains characters that a URL cannot have"),
        ('https://ada.github.io/"><script>', "contains characters that a URL cannot have"),
        ("https://ada.github.io/\nheads", "contains characters that a URL cannot have"),
        ("https://ada:secret@github.io/", "contains more than a site and a folder"),
        ("https://ada.github.io/?a=b", "contains more than a site and a folder"),
        ("https://ada.github.io/#top", "contains more than a site and a folder"),
        ("https://ada.github.io/index.html", "is the URL of a page"),
    ],
)
def test_what_is_no_address_of_a_site_is_refused(given: str, what: str) -> None:
    with pytest.raises(OptionError) as caught:
        check_site_url(given)
    assert str(caught.value).startswith(f"--site-url: {given!r} {what}")
    assert str(caught.value).endswith("; write the URL of the folder, such as https://name.github.io/project/")


def test_a_wrong_address_ends_the_command_before_anything_is_written(here: Path) -> None:
    for command in (["build"], ["render", "captures"], ["index"]):
        done = call(*command, "--site-url", "heads")
        assert done.exit_code == 2
        assert "Invalid value for '--site-url': 'heads' is not a web address; write" in done.stderr
    assert not (here / "results").exists()


def test_page_says_where_it_is_and_what_it_shows() -> None:
    page = parse_html(render_page(make_capture(), PageOptions(site_url=SITE)))
    assert meta_of(page) == {
        "canonical": f"{SITE}cat.html",
        "og:type": "article",
        "og:site_name": "Attention reports",
        "og:title": "A cat and a mat",
        "og:description": "Attention of tiny on: The cat ate the mat",
        "og:url": f"{SITE}cat.html",
        "og:image": f"{SITE}previews/cat.png",
        "og:image:type": "image/png",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": "Map of all heads of the model, beside the prompt and what the model wrote: A cat and a mat",
        "twitter:card": "summary_large_image",
    }
    assert meta_of(parse_html(render_page(make_capture()))) == {}


def test_policy_is_the_same_and_so_is_the_rest() -> None:
    with_links, without = render_page(make_capture(), PageOptions(site_url=SITE)), render_page(make_capture())
    with_links = with_links.replace(f" --site-url {SITE}\n", "\n")  # the command of the recipe
    added = set(with_links.split("\n")) - set(without.split("\n"))
    assert all(line.startswith(('<link rel="canonical"', '<meta property="og:', '<meta name="tw')) for line in added)
    assert set(without.split("\n")) <= set(with_links.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_titles_stay_texts(text: str) -> None:
    capture = make_capture(title=text)
    comparison = Comparison(("cat", "dog"), text, "both")
    for html in (
        render_page(capture, PageOptions(site_url=SITE)),
        render_comparison(comparison, capture, capture, PageOptions(site_url=SITE)),
    ):
        meta = meta_of(parse_html(html))
        assert meta["og:title"] == text
        assert len([name for name in meta if name.startswith(("og:", "twitter:"))]) == 11
    open_picture(draw_preview(make_card(capture)))
    open_picture(draw_preview(make_compare_card(comparison, capture, capture)))


def test_description_is_one_short_line() -> None:
    link = make_link(SITE, "a", "A", "word\n" * 100)
    assert link
    assert "\n" not in link.description
    assert len(link.description) == 200


def test_preview_is_the_thumbnail_enlarged_beside_what_the_card_says() -> None:
    """Head ``h`` of layer ``l`` adds (l + 1)(1 - h): orange in the first column, nothing in the second."""
    picture = np.asarray(open_picture(draw_preview(make_card(make_capture()))).convert("RGB"), int)
    width, height = 320 / 4, 534 / 3
    middles = picture[
        [round(48 + (row + 0.5) * height) for row in range(3)]][:, [round(48 + (i + 0.5) * width) for i in range(4)]
    ]  # fmt: skip
    assert (middles[:, 1] > 250).all()
    red, _, blue = middles[:, 0].T
    assert (red > blue).all()
    assert (np.diff(blue) > 0).all()  # the last layer, at the top, adds most
    assert (middles[:, 3, 2] > middles[:, 3, 1]).all()  # purple speaks against it
    texts = picture[40:560, 420:]
    assert (texts[:, :, 1] > texts[:, :, 0] + 60).sum() > 100  # the completion is green
    assert (texts.sum(2) < 120).sum() > 1000


def test_preview_leaves_out_what_its_font_lacks() -> None:
    def draw(title: str) -> np.ndarray:
        return np.asarray(open_picture(draw_preview(make_card(make_capture(title=title)))).convert("L"))

    words = "عاصمة", "首都"
    assert all((draw(word) == draw(words[0])).all() for word in words)
    assert (draw("A capital") != draw(words[0])).any()


def test_same_card_gives_the_same_preview() -> None:
    assert draw_preview(make_card(make_capture())) == draw_preview(make_card(make_capture()))


def test_sitemap_lists_the_index_and_every_page() -> None:
    sitemap = make_sitemap("https://ada.github.io/a&b/", ["cat.html"])
    assert "<loc>https://ada.github.io/a&amp;b/cat.html</loc>" in sitemap
    many = make_sitemap(SITE, (f"{number}.html" for number in range(60_000)))
    assert many.count("<loc>") == 50_000


def test_build_publishes_pages_comparisons_and_index(here: Path) -> None:
    assert call("build", "--site-url", SITE[:-1]).exit_code == 0
    results = here / "results"
    for slug in ("cat", "dog", "both"):
        meta = meta_of(parse_html((results / f"{slug}.html").read_text("utf-8")))
        assert (meta["canonical"], meta["og:image"]) == (f"{SITE}{slug}.html", f"{SITE}previews/{slug}.png")
        open_picture((results / "previews" / f"{slug}.png").read_bytes())
    index = meta_of(parse_html((results / "index.html").read_text("utf-8")))
    assert (index["canonical"], index["og:image"]) == (SITE, f"{SITE}previews/cat.png")
    assert addresses_in(results) == [SITE, *(f"{SITE}{slug}.html" for slug in ("heads", "cat", "dog", "both"))]


def test_same_input_gives_the_same_bytes(here: Path) -> None:
    def files(name: str) -> dict[str, bytes]:
        assert call("build", "-o", name, "--site-url", SITE).exit_code == 0
        paths = [path for path in (here / name).rglob("*") if path.suffix in (".png", ".xml", ".html")]
        return {path.relative_to(here / name).as_posix(): path.read_bytes() for path in paths}

    assert files("one") == files("two")


def test_without_an_address_nothing_is_added_and_the_old_list_goes(here: Path) -> None:
    assert call("build", "--site-url", SITE).exit_code == 0
    done = call("build")
    assert done.stderr == "3 built\n"
    assert not (here / "results" / "sitemap.xml").exists()
    assert meta_of(parse_html((here / "results" / "index.html").read_text("utf-8"))) == {}
    assert call("build", "-o", "plain").exit_code == 0
    assert not (here / "plain" / "previews").exists()


def test_pages_are_up_to_date_for_their_address_alone(here: Path) -> None:
    assert call("build", "--site-url", SITE).stderr == "3 built\n"
    assert call("build", "--site-url", SITE[:-1]).stderr == "3 up to date, 0 built\n"
    assert call("build", "--site-url", "https://other.org").stderr == "3 built\n"
    (here / "results" / "previews" / "dog.png").unlink()
    assert call("build", "--site-url", "https://other.org").stderr == "2 up to date, 1 built\n"
    assert (here / "results" / "previews" / "dog.png").is_file()


def test_pages_that_come_beside_others_take_their_address(here: Path) -> None:
    assert call("build", "--site-url", SITE).exit_code == 0
    assert call("build", "--only", "cat", "--max-new-tokens", "0").stderr.endswith("3 built\n")
    assert meta_of(parse_html((here / "results" / "cat.html").read_text("utf-8")))["canonical"] == f"{SITE}cat.html"
    assert len(addresses_in(here / "results")) == 5


def test_index_keeps_the_address_or_takes_another(here: Path) -> None:
    assert call("build", "--site-url", SITE).exit_code == 0
    results = here / "results"
    before = {name: (results / name).read_bytes() for name in ("index.html", "sitemap.xml", "report.json")}
    assert call("index").exit_code == 0
    assert {name: (results / name).read_bytes() for name in before} == before
    assert call("index", "--site-url", "https://other.org/").exit_code == 0
    assert addresses_in(results)[0] == "https://other.org/"
    assert json.loads((results / "report.json").read_text("utf-8"))["options"]["site_url"] == "https://other.org/"


def test_render_keeps_the_address_or_takes_another(here: Path) -> None:
    assert call("build", "--site-url", SITE, "--keep-captures").exit_code == 0
    results = here / "results"
    names = ("cat.html", "previews/cat.png", "sitemap.xml", "index.html")
    before = {name: (results / name).read_bytes() for name in names}
    assert call("render", "results", "-o", "results").exit_code == 0
    assert {name: (results / name).read_bytes() for name in names} == before
    assert call("render", "results", "-o", "other", "--site-url", "https://other.org").exit_code == 0
    assert addresses_in(here / "other") == [
        f"https://other.org/{name}" for name in ("", "heads.html", "cat.html", "dog.html")
    ]
    assert key_in(here / "other" / "cat.html") not in (key_in(results / "cat.html"), "")


def test_pruned_pages_lose_their_previews(here: Path) -> None:
    assert call("build", "--site-url", SITE).exit_code == 0
    (here / "prompts.yaml").write_text("model: llama\nprompts: [{text: The cat, slug: cat}]\n", "utf-8")
    assert call("build", "--site-url", SITE, "--prune").exit_code == 0
    assert [path.name for path in (here / "results" / "previews").iterdir()] == ["cat.png"]
    assert addresses_in(here / "results") == [SITE, f"{SITE}heads.html", f"{SITE}cat.html"]


def test_files_of_others_are_left_alone(here: Path) -> None:
    (here / "results").mkdir()
    (here / "results" / "sitemap.xml").write_text("<urlset/>")
    done = call("build", "--site-url", SITE)
    assert done.exit_code == 1
    assert "sitemap.xml: exists and was not written by reportgen" in done.stderr
    assert call("build").exit_code == 0
    assert (here / "results" / "sitemap.xml").read_text() == "<urlset/>"
    (here / "results" / "previews").mkdir()
    (here / "results" / "previews" / "cat.png").write_bytes(b"mine")
    with pytest.raises(InTheWay, match=r"cat\.png: exists and was not written by reportgen"):
        Site(here / "results").write_preview("cat", draw_preview(make_card(make_capture())))
    assert len(Site(here / "results").read_cards()) == 3


def test_a_report_with_a_foreign_address_is_not_believed(here: Path) -> None:
    assert call("build", "--site-url", SITE).exit_code == 0
    report = here / "results" / "report.json"
    report.write_text(report.read_text("utf-8").replace(SITE, "javascript:alert(1)"), "utf-8")
    assert call("index").exit_code == 0
    assert not (here / "results" / "sitemap.xml").exists()
