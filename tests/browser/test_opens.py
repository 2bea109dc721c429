"""Pages open anywhere, ask for nothing and run nothing that a prompt says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browser.captures import CAPTURES
from browser.reader import Reader
from samples import HOSTILE

FIGURES = ("heads", "layers", "head", "map", "aggregate", "rollout", "entropy")
STEP_FIGURES = ("effect", "lens")


@pytest.mark.parametrize(
    ("slug", "scheme"), [("cat", "http"), *((slug, "file") for slug in ("cat", "one", "plain", "long", "forecast"))]
)
def test_page_draws_every_figure_and_asks_for_nothing(new_reader, addresses, slug: str, scheme: str) -> None:
    reader: Reader = new_reader()
    address = f"{addresses[scheme]}/{slug}.html"
    reader.open(address)
    steps = CAPTURES[slug].steps
    for figure in (*FIGURES, *(STEP_FIGURES if steps else ()), *(("read",) if len(steps) > 1 else ())):
        assert len(reader.look_at(figure).ask("images", figure)) > 0, figure
        assert reader.page.locator(f"#figure-{figure} .cells canvas").first.bounding_box() == pytest.approx(
            reader.page.locator(f"#figure-{figure} .cells").bounding_box(), abs=1
        )
    assert reader.problems == []
    assert [url for url in reader.requests if not url.startswith(("data:", "blob:", "about:"))] == [address]


def test_first_figures_do_not_wait_for_the_layers(new_reader, addresses, folder) -> None:
    """The rest of the file never arrives."""
    head, found, _ = (folder / "cat.html").read_text("utf-8").partition('<script type="text/plain" id="block-layer-')
    assert found
    reader: Reader = new_reader()
    reader.page.route("**/cat.html", lambda route: route.fulfill(body=head, content_type="text/html"))
    reader.page.goto(f"{addresses['http']}/cat.html")
    reader.page.locator("html[data-ready]").wait_for(state="attached")
    assert reader.page.locator("#figure-read canvas").first.is_visible()
    reader.page.locator("#figure-head canvas").first.wait_for()
    reader.page.locator("#figure-layers canvas").first.wait_for()
    assert reader.page.locator("#strongest tbody tr").count() > 0


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_page_with_shared_assets_loads_them_and_nothing_else(new_reader, addresses, scheme: str) -> None:
    reader: Reader = new_reader()
    reader.open(f"{addresses[scheme]}/shared/cat.html").look_at("head")
    assert reader.problems == []
    names = [url.rsplit("/", 1)[1] for url in reader.requests if not url.startswith(("data:", "about:"))]
    assert names[0] == "cat.html"
    assert [name.startswith("bokeh-") for name in names[1:]] == [True]


def test_page_without_its_shared_assets_says_so(new_reader, addresses) -> None:
    reader: Reader = new_reader()
    reader.page.route("**/bokeh-*.js", lambda route: route.abort())
    reader.page.goto(f"{addresses['http']}/shared/cat.html")
    message = reader.page.locator("main .wait.error")
    message.wait_for()
    assert "the folder assets must stand beside this page" in message.inner_text()
    # What needs no script stays.
    assert reader.page.locator("#claim").is_visible()
    assert reader.page.locator("#figure-heads .still img").is_visible()


def test_policy_refuses_a_script_that_the_page_did_not_bring(cat: Reader) -> None:
    cat.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'owned'";
          document.body.append(script);
        }"""
    )
    assert cat.page.title() == "A cat and a mat · tiny"
    assert any("Content Security Policy" in problem for problem in cat.problems)


@pytest.fixture(scope="module")
def hostile(new_reader: Callable[..., Reader], addresses: dict[str, str]) -> Reader:
    return new_reader().open(f"{addresses['file']}/hostile.html")


def test_hostile_tokens_run_nothing(hostile: Reader) -> None:
    for figure in ("read", "heads", "layers", "head", "effect", "lens", "rollout", "entropy"):
        hostile.look_at(figure)
    for position in range(len(HOSTILE)):
        hostile.go(f"#layer=0&head=3&query={position}")
    hostile.look_at("head")
    for position in range(len(HOSTILE)):
        hostile.point_at(len(HOSTILE) + 1, position)
    assert hostile.page.title() == f"{HOSTILE[0]} · tiny"
    assert hostile.page.locator("img:not(.still img)").count() == 0
    assert hostile.problems == []


def test_hostile_tokens_are_shown_as_they_are(hostile: Reader) -> None:
    shown = [token.shown for token in CAPTURES["hostile"].tokens]
    assert hostile.page.locator("#strip .token").all_text_contents() == shown
    assert hostile.page.locator("h1").text_content() == HOSTILE[0]
    hostile.look_at("head")
    for position, text in enumerate(shown[: len(HOSTILE)]):
        tooltip = hostile.point_at(len(HOSTILE) + 1, position)
        assert tooltip is not None
        assert f"reads {text} at {position}" in tooltip
    labels = hostile.go("#layer=0&head=0&step=0").ask("labels", "heads", "columns")
    assert [label.rstrip("…") for label in labels] == [
        text[: len(label.rstrip("…"))] for label, text in zip(labels, shown, strict=False)
    ]
    hostile.press("Escape")
