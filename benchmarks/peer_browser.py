"""Open one page in headless Chromium without a network, and print what happens as lines of JSON.

    python peer_browser.py NAME PAGE SCRIPTS

NAME is one of ``peer_list.PEERS``, SCRIPTS a ``node_modules`` folder with what some pages ask the network for. Lines
come as things become known, so that whoever ends this process for taking too long keeps what came before:

- ``blank``: whether nothing was drawn; the page is then opened again and given the scripts that it asks for.
- ``requests``: how many requests it made in all, none of which left this machine.
- ``ready``: seconds from the opening to the end of the first frame with a heatmap, or what stands for it.
- ``switch``: seconds from the event of a choice to the end of the frame that shows what was chosen, median of some.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

from peer_list import PEERS, SCRIPTS, Peer
from playwright.sync_api import BrowserContext, Page, Route, sync_playwright

ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
CHOICES = (12, 3, 20, 27, 8, 16, 24)
"""Layers that are chosen one after the other; the first choice is not counted."""
LONG = 20
"""Seconds after which no further choice is made."""
PATIENCE = 5
"""Seconds after loading that a page which asked for something it did not get has time to draw all the same."""
PROBE = r"""
globalThis.peer = (() => {
  const small = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
  const pixels = (canvas) => {
    small.clearRect(0, 0, 64, 64);
    small.drawImage(canvas, 0, 0, 64, 64);
    return small.getImageData(0, 0, 64, 64).data;
  };
  const drawn = (canvas) => Boolean(canvas?.width && canvas.height && pixels(canvas).some((value) => value > 0));
  const sample = (canvas) => (canvas?.width && canvas.height ? pixels(canvas).join() : "");
  /** The first canvas of an element, in shadow roots too: looking for it must not cost what it measures. */
  const canvas = (root) => {
    for (const one of root.querySelectorAll("*")) {
      const found = one.tagName === "CANVAS" ? one : one.shadowRoot && canvas(one.shadowRoot);
      if (found) return found;
    }
    return null;
  };
  const cells = () => {
    const all = document.querySelector(".grid").children;
    const size = Math.sqrt(all.length);
    return Array.from({ length: 20 }, (_, at) => all[19 * size + at].style.fill).join();
  };
  const holds = (what) => { try { return what(); } catch { return undefined; } };
  /** When the frame ends in which something first holds, in milliseconds since the opening. */
  const frame = (what) =>
    new Promise((done) => {
      const look = () => {
        if (!holds(what)) return requestAnimationFrame(look);
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => done(performance.now());
        port2.postMessage(0);
      };
      requestAnimationFrame(look);
    });
  const state = { ready: null, switched: null };
  frame(() => READY).then((time) => { state.ready = time; });
  const shown = () => SHOWN;
  /** Measure from the next event of a kind to what it brings about. */
  const watch = (event) => {
    const before = holds(shown);
    state.switched = null;
    const begin = async ({ timeStamp }) => {
      state.switched = (await frame(() => holds(shown) !== before)) - timeStamp;
    };
    addEventListener(event, begin, { capture: true, once: true });
  };
  return { state, watch };
})();
"""


def main(name: str, path: str, scripts: str) -> None:
    """Open the page and print what becomes known."""
    peer = next(peer for peer in PEERS if peer.name == name)
    address = Path(path).resolve().as_uri()
    with sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGS)
        page, asked = open_page(browser.new_context(viewport={"width": 1280, "height": 900}), peer, address)
        ready = wait_ready(page, asked)
        say(blank=ready is None)
        if ready is None:
            page.context.close()
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            page, asked = open_page(context, peer, address, Path(scripts))
            ready = wait_ready(page, [])
        say(requests=len(asked), ready=ready)
        if peer.choose:
            say(switch=choose_some(page, peer))
        browser.close()


def say(**figures: object) -> None:
    """Print what is known now."""
    print(json.dumps(figures), flush=True)


def open_page(context: BrowserContext, peer: Peer, address: str, scripts: Path | None = None) -> tuple[Page, list[str]]:
    """Begin to open a page; return it and the list that what it asks for is put into."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        known = next((file for part, file in SCRIPTS.items() if part in route.request.url), None)
        if scripts is None or known is None:
            route.abort()
        else:
            package, _, file = known.partition("/")
            route.fulfill(path=scripts / package.partition("@")[0] / file)

    context.route(lambda url: not url.startswith("file:"), answer)
    context.add_init_script(PROBE.replace("READY", peer.ready).replace("SHOWN", peer.shown or "null"))
    page = context.new_page()
    page.goto(address, wait_until="commit")
    return page, asked


def wait_ready(page: Page, asked: list[str]) -> float | None:
    """Return the seconds until a page is ready; None if it lacks what it asked for and stays blank."""
    loaded = None
    while (ready := page.evaluate("peer.state.ready")) is None:
        if loaded is None and page.evaluate("document.readyState") == "complete":
            loaded = time.monotonic()
        if asked and loaded is not None and time.monotonic() > loaded + PATIENCE:
            return None
        page.wait_for_timeout(50)
    return ready / 1000


def choose_some(page: Page, peer: Peer) -> float:
    """Return the median seconds of some choices, fewer where they take long."""
    begun, seconds = time.monotonic(), []
    for layer in CHOICES:
        seconds.append(switch(page, peer, layer))
        if time.monotonic() > begun + LONG:
            break
    return statistics.median(seconds[1:] or seconds)


def switch(page: Page, peer: Peer, layer: int) -> float:
    """Return the seconds from a choice to what it shows."""
    assert peer.choose
    page.wait_for_timeout(200)
    page.evaluate("event => peer.watch(event)", peer.event)
    peer.choose(page, layer)
    while (seconds := page.evaluate("peer.state.switched")) is None:
        page.wait_for_timeout(20)
    return seconds / 1000


if __name__ == "__main__":
    main(*sys.argv[1:])
