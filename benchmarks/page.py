"""What a page costs by the length of its text: its weight, how soon it can be read, how quickly it answers.

    python benchmarks/page.py [--runs N] [--quick]

captures texts with the bundled model, all layers, heads and evidence, 20 tokens generated, and opens their pages
from the disk in headless Chromium. *Picture* is from the opening to the end of the first frame with the pictures of
the first view, *ready* to that of the first figure that answers; beside both stands the time of a page with the same
BokehJS and one empty figure, opened by turns: as Bokeh itself writes it, and with BokehJS deflated, as our pages carry
it. *Shift* is the layout shift until everything in sight is drawn. *Switch* is from a key press to the end of the frame
that shows what was asked for: another head, another layer, another step; *far layer* is the first look at one of the
last layers, at once when the first figure answers, while most of a long page is still to be read; *and token* the same
with another token, and *later* that 1.5 s later. *Memory* is that of the tab's process, its share of shared libraries
included, when all layers that are kept have been read (Linux alone). Medians of N runs (default 5).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import click
from bokeh.embed import file_html, json_item
from bokeh.plotting import figure
from bokeh.resources import Resources
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table
from timing import describe_run

from reportgen import Capture, LoadedModel, Prompt, capture, load_model
from reportgen.pages.assets import BOOT_SCRIPTS, make_policy, read_bokeh, read_scripts
from reportgen.pages.encoding import encode_bytes
from reportgen.pages.options import PageOptions
from reportgen.pages.page import draw_page

LENGTHS = (41, 64, 256, 512, 1024)
"""Tokens of the prompt and generated ones."""
NEW_TOKENS = 20
TEXT = Path(__file__).parent.parent / "LICENSE"
PRESSES = {"head": "lhlhlhl", "layer": "kjkjkjk", "step": "nbnbnbn"}
"""Keys by what they choose anew; the first of each is not counted."""
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
WATCH = """
globalThis.watch = (() => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => done(performance.now());
    port2.postMessage(0);
  }));
  const canvas = (root) => [...root.querySelectorAll("*")].some((one) =>
    one.tagName === "CANVAS" ? one.width > 0 : one.shadowRoot && canvas(one.shadowRoot));
  const state = { picture: null, ready: null, took: null, shift: 0 };
  new PerformanceObserver((list) => {
    for (const { value } of list.getEntries()) state.shift += value;
  }).observe({ type: "layout-shift", buffered: true });
  const isSeen = () => {
    const pictures = [...document.querySelectorAll(".still img")];
    return pictures.length > 0 && pictures.every((one) => one.complete && one.naturalWidth > 0);
  };
  const lookForPicture = () => {
    if (isSeen()) painted().then((at) => { state.picture = at; });
    else if (state.ready === null) requestAnimationFrame(lookForPicture);
  };
  requestAnimationFrame(lookForPicture);
  const isReady = () =>
    document.getElementById("card") ? document.documentElement.dataset.ready : document.body && canvas(document);
  const look = () => {
    if (isReady()) painted().then((at) => { state.ready = at; });
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  const measure = async (from) => {
    await new Promise((done) => setTimeout(done));
    await globalThis.__shown();
    state.took = (await painted()) - from;
  };
  addEventListener("keydown", ({ timeStamp }) => { state.took = null; measure(timeStamp); }, true);
  const go = (hash) => { state.took = null; location.hash = hash; measure(performance.now()); };
  return { state, go };
})();
"""


@click.command()
@click.option("--runs", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--quick", is_flag=True, help="The shortest text alone.")
def main(runs: int, quick: bool) -> None:
    """Measure and print a table."""
    model = load_model("smollm2-135m", device="cpu")
    columns = ("picture, ms", "ready", "empty page", "ratios", "", "empty, deflated", "ratios", "", "shift", "head, ms",
               "layer", "step", "far layer", "and token", "later", "memory, MB")  # fmt: skip
    table = Table("tokens", "MB", "left out under", "draw, s", *columns)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        empty = [Path(folder) / "empty.html", Path(folder) / "deflated.html"]
        for path, html in zip(empty, draw_empty(), strict=True):
            path.write_text(html, "utf-8", newline="")
        for length in LENGTHS[:1] if quick else LENGTHS:
            page = Path(folder) / f"{length}.html"
            drawn = draw(capture(model, make_prompt(model, length)), page)
            table.add_row(str(length), *drawn, *(f"{value:.3g}" for value in measure(browser, page, empty, runs)))
            click.echo(f"{length} tokens: done", err=True)
        browser.close()
    Console(width=200).print(table)
    click.echo(describe_run())


def draw_empty() -> tuple[str, str]:
    """Return pages with one empty figure: as Bokeh writes it, and with BokehJS carried as our pages carry it."""
    plot = figure(width=400, height=400)
    plot.scatter([], [])
    item = json.dumps(json_item(plot, "plot"))  # pyright: ignore[reportArgumentType]
    carried = {"script": f"reportgen.boot.bokeh.then(() => Bokeh.embed.embed_item({item}));", "bokeh": read_bokeh()}
    boot = read_scripts(BOOT_SCRIPTS)
    blocks = "".join(
        f'<script type="text/plain" id="block-{name}">{encode_bytes(script.encode(), patient=True)}</script>'
        for name, script in carried.items()
    )
    policy = f'<meta http-equiv="Content-Security-Policy" content="{make_policy((boot, *carried.values()))}">'
    deflated = f'<!doctype html><meta charset="utf-8">{policy}<div id="plot"></div>{blocks}<script>{boot}</script>'
    return file_html(plot, Resources(mode="inline", minified=True)), deflated


def make_prompt(model: LoadedModel, length: int) -> Prompt:
    """Return a prompt that has so many tokens with those that it generates."""
    token_ids = model.tokenizer(TEXT.read_text("utf-8"))["input_ids"][60 : 60 + length - NEW_TOKENS]  # pyright: ignore[reportIndexIssue]
    return Prompt(text=str(model.tokenizer.decode(token_ids)), max_new_tokens=NEW_TOKENS)


def draw(captured: Capture, path: Path) -> tuple[str, str, str]:
    """Write the page; return megabytes, the least weight on it and the seconds that drawing took."""
    start = time.perf_counter()
    drawn = draw_page(captured, PageOptions())
    seconds = time.perf_counter() - start
    path.write_text(drawn.html, "utf-8", newline="")
    least = f"{drawn.precision.min_weight:.2g}" if drawn.precision.threshold else "–"
    return f"{path.stat().st_size / 1e6:.3g}", least, f"{seconds:.2f}"


def measure(browser: Browser, page: Path, empty: Sequence[Path], runs: int) -> list[float]:
    """Return the medians of one page, in milliseconds, and the ratios of its opening to those of empty ones."""
    openings, rows = [], []
    acts = (shift, switch, look_far, look_farther, look_far_later, measure_memory)
    for run in range(runs + 1):
        ready, picture = open_page(browser, page, see_picture)
        opened = [picture, ready, *(open_page(browser, path, lambda _: [])[0] for path in empty)]
        answers = [open_page(browser, page, act)[1:] for act in acts]
        if run:  # the first finds nothing in the machine's caches
            openings.append(opened)
            rows.append([*chain.from_iterable(answers)])
    picture, ready, *others = (statistics.median(column) for column in zip(*openings, strict=True))
    ratios = [figure for other in others for figure in (other, picture / other, ready / other)]
    return [picture, ready, *ratios, *(statistics.median(one) for one in zip(*rows, strict=True))]


def open_page(browser: Browser, path: Path, act: Callable[[Page], list[float]]) -> list[float]:
    """Open a page in a profile of its own; return the milliseconds until it is ready, and those of what follows."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(path.as_uri(), wait_until="commit")
    ready = wait_for(page, "watch.state.ready")
    found = [ready, *act(page)]
    context.close()
    return found


def see_picture(page: Page) -> list[float]:
    """Return the milliseconds until the pictures of the first view were painted."""
    return [wait_for(page, "watch.state.picture")]


def shift(page: Page) -> list[float]:
    """Return the layout shift until everything in sight is drawn."""
    page.wait_for_timeout(1500)
    return [page.evaluate("watch.state.shift")]


def switch(page: Page) -> list[float]:
    """Return the medians of some key presses of each kind, when what is near has been decoded."""
    page.wait_for_timeout(2500)
    go(page, "#layer=10&head=3&step=8")
    page.wait_for_timeout(2500)
    return [statistics.median([press(page, key) for key in keys][1:]) for keys in PRESSES.values()]


def press(page: Page, key: str) -> float:
    page.wait_for_timeout(150)
    page.keyboard.press(key)
    return wait_for(page, "watch.state.took")


def look_far(page: Page) -> list[float]:
    """Return the milliseconds to a layer at the other end, at once after the first heatmap stands."""
    return [go(page, "#layer=28&head=5")]


def look_farther(page: Page) -> list[float]:
    """Return the same with another token."""
    return [go(page, "#layer=28&head=5&step=8")]


def look_far_later(page: Page) -> list[float]:
    """Return the same while the page decodes and draws ahead."""
    page.wait_for_timeout(1500)
    return look_farther(page)


def go(page: Page, hash_: str) -> float:
    page.evaluate("(hash) => watch.go(hash)", hash_)
    return wait_for(page, "watch.state.took")


def measure_memory(page: Page) -> list[float]:
    """Return the megabytes of the page's process, after another layer was looked at and time to read ahead."""
    go(page, "#layer=10&head=3&step=8")
    page.wait_for_timeout(10_000)
    browser = page.context.browser
    assert browser
    known = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    files = [Path(f"/proc/{one['id']}/smaps_rollup") for one in known if one["type"] == "renderer"]
    shares = [int(file.read_text().partition("\nPss:")[2].split()[0]) for file in files if file.exists()]
    return [max(shares, default=0) * 1024 / 1e6]


def wait_for(page: Page, what: str) -> float:
    while (found := page.evaluate(what)) is None:
        page.wait_for_timeout(10)
    return found


if __name__ == "__main__":
    main()
