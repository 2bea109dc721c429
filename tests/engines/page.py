"""Where things stand on a page: every selector and every name of a script that the tests use."""

from __future__ import annotations

import base64
from typing import Any

from engines.driver import Driver

TOOLTIP = "#tooltip"
TOKEN = ".token[data-position]"
FIGURE = "[data-figure]"
HEAD = '[data-figure="head"]'
DIALOGS = {"c": "#cite", "?": "#keys"}
"""By the keys that open them."""
FILTER = "#filter"
CARD = "#cards > li"
PICTURE_OF = "head"
"""The view that is saved and embedded."""

RECORDER = """<script>
globalThis.__faults = [];
addEventListener("error", (event) => __faults.push(`error: ${event.message ?? event.target.outerHTML}`), true);
addEventListener("unhandledrejection", ({ reason }) => __faults.push(`rejected: ${reason}`));
addEventListener("securitypolicyviolation", (event) =>
  __faults.push(`violation: ${event.effectiveDirective} ${event.blockedURI}`));
for (const level of ["error", "warn"]) {
  const say = console[level];
  console[level] = (...given) => { __faults.push(`${level}: ${given.join(" ")}`); say.apply(console, given); };
}
</script>"""
"""Put into the pages of the tests before their policy, which therefore does not refuse it."""

_READY = """() => new Promise((done) => {
  const look = () => (document.documentElement.hasAttribute("data-ready") ? done() : setTimeout(look, 20));
  look();
})"""
_SETTLE = """async () => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await painted();
  await globalThis.__settled?.();
  for (let i = 0; i < 2; i++) await painted();
}"""
_ADDRESS = """() => {
  reportgen.address.flush();
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}"""
_GO = """(hash) => new Promise((done) => {
  globalThis.__faults.length = 0;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  document.activeElement.blur();
  scrollTo({ top: 0, behavior: "instant" });
  reportgen.address.flush();
  if (location.hash === hash) return done();
  addEventListener("hashchange", () => setTimeout(done), { once: true });
  location.hash = hash;
})"""
_BACK = """() => new Promise((done) => {
  addEventListener("popstate", () => setTimeout(done), { once: true });
  history.back();
})"""
_IN_SIGHT = """(selector, number) => {
  const found = [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility())[number];
  found.scrollIntoView({ block: "center", behavior: "instant" });
  const { left, top, width, height } = found.getBoundingClientRect();
  return [left, top, width, height];
}"""
# How many colours each canvas of a figure has, counted up to twenty; figures without a canvas have none.
_COLOURS = """(selector, number) => {
  const canvasesIn = (root) => [...root.querySelectorAll("*")].flatMap((one) => [
    ...(one.localName === "canvas" && one.width && one.height ? [one] : []),
    ...(one.shadowRoot ? canvasesIn(one.shadowRoot) : []),
  ]);
  const figure = [...document.querySelectorAll(selector)].filter((one) => one.checkVisibility())[number];
  return [figure.dataset.figure, canvasesIn(figure).map((canvas) => {
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const pixels = new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer);
    const colours = new Set();
    for (let i = 0; i < pixels.length && colours.size < 20; i++) colours.add(pixels[i]);
    return colours.size;
  })];
}"""
_SAVE = """async (view, format) => {
  const picture = await globalThis.__studio.make(view, format);
  return new Promise((done) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result));
    reader.readAsDataURL(picture);
  });
}"""
_VISIBLE = """(selector) => [...document.querySelectorAll(selector)].filter((one) =>
  one.checkVisibility({ visibilityProperty: true }) && one.getBoundingClientRect().height > 0)
  .map((one) => one.innerText)"""
_SCROLL = """async (pixels) => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  for (const step of [pixels, -pixels]) {
    do {
      var before = scrollY;
      scrollBy({ top: step, behavior: "instant" });
      await painted();
    } while (scrollY !== before);
  }
  return [scrollY, document.documentElement.scrollHeight];
}"""


class Page:
    """A page in a browser, and what a reader does there."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def open(self, address: str) -> Page:
        """Open a page or an index and wait until it answers."""
        self.driver.open(address)
        self.driver.run(_READY)
        return self.settle()

    def show(self, address: str) -> Page:
        """Show a view of a page, which is opened unless it is open: that takes a second."""
        file, _, hash_ = address.partition("#")
        if self.driver.run("() => location.href.split('#')[0]") != file:
            return self.open(address)
        self.driver.run(_GO, f"#{hash_}")
        return self.settle()

    def settle(self) -> Page:
        """Wait until what was asked for is painted."""
        self.driver.run(_SETTLE)
        return self

    def press(self, *keys: str) -> Page:
        """Press keys one after the other."""
        self.driver.press(*keys)
        return self.settle()

    def address(self) -> dict[str, str]:
        """Return what the fragment of the address says."""
        return self.driver.run(_ADDRESS)

    def back(self) -> Page:
        """Go back in the history, within the page."""
        self.driver.run(_BACK)
        return self.settle()

    def faults(self) -> list[str]:
        """Return the errors, warnings and violations of the policy since the page was opened."""
        return self.driver.run("() => globalThis.__faults")

    def place(self, selector: str, across: float = 0.5, down: float = 0.5, number: int = 0) -> tuple[float, float]:
        """Scroll to a visible element; return where a part of it stands in the window, in CSS pixels."""
        self.driver.run(_IN_SIGHT, selector, number)
        self.settle()  # figures are drawn once they come into sight
        left, top, width, height = self.driver.run(_IN_SIGHT, selector, number)
        self.settle()
        return left + across * width, top + down * height

    def click(self, selector: str, across: float = 0.5, down: float = 0.5, number: int = 0) -> Page:
        """Click a part of a visible element."""
        self.driver.click(*self.place(selector, across, down, number))
        return self.settle()

    def point(self, selector: str, across: float = 0.5, down: float = 0.5) -> Page:
        """Move the pointer to a part of a visible element."""
        self.driver.point(*self.place(selector, across, down))
        return self.settle()

    def colours(self, selector: str = FIGURE) -> dict[str, list[int]]:
        """Scroll to each visible figure; return the number of colours of its canvases, at most twenty, by its name."""
        found = {}
        for number in range(len(self.visible(selector))):
            self.driver.run(_IN_SIGHT, selector, number)
            self.settle()
            name, counts = self.driver.run(_COLOURS, selector, number)
            found[name] = counts
        return found

    def visible(self, selector: str) -> list[str]:
        """Return the texts of the visible elements."""
        return self.driver.run(_VISIBLE, selector)

    def save(self, picture_format: str) -> bytes:
        """Return the picture that the page saves of a view."""
        return base64.b64decode(self.driver.run(_SAVE, PICTURE_OF, picture_format).partition(",")[2])

    def scroll_down_and_up(self, pixels: int) -> list[Any]:
        """Scroll through the whole page; return the position then and the page's height."""
        return self.driver.run(_SCROLL, pixels)
