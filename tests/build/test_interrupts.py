"""Ctrl-C, as a terminal sends it: once ends a run after the prompts at work, twice now; the index is right."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from forks import Commands, commands, when
from tiny import save_llama

from reportgen.build.interrupts import Stop
from reportgen.site.site import Site

pytestmark = pytest.mark.system

NUM_PROMPTS = 1000
STOPPING = "stopping after the current prompts; press Ctrl-C again to stop now"
KEPT = "stopped; finished pages and the index are kept"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    folder = tmp_path_factory.mktemp("stops")
    save_llama(folder / "llama")
    with commands(folder) as made:
        yield made


@pytest.fixture
def here(command: Commands, tmp_path: Path) -> Path:
    """Return a folder with more prompts than anybody waits for."""
    model = command.folder / "llama"
    lines = [f"- {{text: The cat sat, slug: p{number}, model: {model}}}" for number in range(NUM_PROMPTS)]
    (tmp_path / "prompts.yaml").write_text("\n".join(lines), "utf-8")
    return tmp_path


def build(here: Path) -> tuple[str, ...]:
    return ("build", str(here / "prompts.yaml"), "-o", str(here / "site"), "--batch-size", "3")


def cards_in(here: Path) -> int:
    """Count the cards of the index, without the one that its script copies."""
    return (here / "site" / "index.html").read_text("utf-8").count('<li class="card">') - 1


def shown(here: Path) -> list[str]:
    """Return the slugs in the index, after a look at whether the report says the same."""
    slugs = [card.slug for card in Site(here / "site").read_cards()]
    report = json.loads((here / "site" / "report.json").read_text("utf-8"))
    assert [each["slug"] for each in report["prompts"]] == slugs == sorted(slugs, key=lambda slug: int(slug[1:]))
    assert report["run"]["not_run"] == NUM_PROMPTS - len(slugs)
    assert cards_in(here) == len(slugs)
    assert list((here / "site").glob(".*.part")) == []
    return slugs


def test_once_ends_after_the_prompts_at_work(here: Path, command: Commands) -> None:
    first = here / "site" / "p0.html"
    ended = command.run(*build(here), meanwhile=when(first.exists, signal.SIGINT))
    slugs = shown(here)
    assert ended.code == 130
    said = ended.stderr.splitlines()
    assert said == [STOPPING, f"{len(slugs)} built, {NUM_PROMPTS - len(slugs)} not run", KEPT]
    assert ended.stdout.splitlines() == [
        str(here / "site" / name) for name in (*(f"{slug}.html" for slug in slugs), "index.html")
    ]
    assert len(slugs) % 3 == 0
    assert set(Site(here / "site").pages) == set(slugs) < {f"p{number}" for number in range(NUM_PROMPTS)}


def test_twice_stops_now_and_the_next_run_goes_on(here: Path, command: Commands) -> None:
    site = here / "site"
    ended = command.run(*build(here), meanwhile=when((site / "p4.html").exists, *[signal.SIGINT] * 2, pause=0.02))
    slugs, pages = shown(here), Site(site).pages
    assert (ended.code, ended.stdout) == (130, "")
    # An interrupt that falls into a finalizer is told by Python itself, between these two.
    said = ended.stderr.splitlines()
    assert (said[0], said[-1]) == (STOPPING, KEPT)
    assert {"p0", "p4"} <= set(slugs) == set(pages)
    before = {slug: (site / f"{slug}.html").stat().st_mtime_ns for slug in pages}
    (here / "prompts.yaml").write_text("\n".join((here / "prompts.yaml").read_text("utf-8").splitlines()[:12]), "utf-8")
    again = command.run(*build(here))
    done = len(before.keys() & {f"p{number}" for number in range(12)})
    assert again.stderr.splitlines()[-1] == ", ".join(
        f"{count} {what}" for count, what in ((done, "up to date"), (12 - done, "built")) if count or what == "built"
    )
    assert {slug: (site / f"{slug}.html").stat().st_mtime_ns for slug in pages} == before


def test_more_than_twice_leaves_an_index_too(here: Path, command: Commands) -> None:
    first = here / "site" / "p0.html"
    ended = command.run(*build(here), meanwhile=when(first.exists, *[signal.SIGINT] * 3, pause=0.02))
    assert ended.code == 130
    assert shown(here)


def press(stop: Stop, times: int) -> str:
    """Return what becomes of presses."""
    try:
        for _ in range(times):
            stop.interrupt()
    except KeyboardInterrupt:
        return "raised"
    return "asked" if stop.asked else "nothing"


def test_loading_is_left_at_the_first_press_and_nothing_else_is(capfd: pytest.CaptureFixture[str]) -> None:
    stop = Stop()
    with stop.at_once():
        assert press(stop, 1) == "raised"
    assert press(stop, 1) == "asked"  # while the index is written
    assert capfd.readouterr().err == ""
    stop = Stop()
    with pytest.raises(KeyboardInterrupt), stop.held():
        assert press(stop, 2) == "asked"  # a page that is being written is written, and known
        written = True
    assert written
    assert capfd.readouterr().err == f"{STOPPING}\n"
    stop = Stop()
    with stop.importing():
        assert press(stop, 1) == "asked"
    assert press(stop, 1) == "raised"
    assert capfd.readouterr().err == f"{STOPPING}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_stop_the_run_now_and_keep_what_is_done(here: Path, command: Commands, number: int) -> None:
    first = here / "site" / "p2.html"
    ended = command.run(*build(here), meanwhile=when(first.exists, number))
    slugs = shown(here)
    assert (ended.code, ended.stdout, ended.stderr.splitlines()[-1]) == (130, "", KEPT)
    assert {"p0", "p2"} <= set(slugs) == set(Site(here / "site").pages)


def test_other_signals_stop_at_once_and_hold_while_a_page_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    stop = Stop()
    with pytest.raises(KeyboardInterrupt):
        stop.interrupt(now=True)
    stop = Stop()
    with pytest.raises(KeyboardInterrupt), stop.held():
        stop.interrupt(now=True)
        written = True
    assert written
    assert capfd.readouterr().err == ""
