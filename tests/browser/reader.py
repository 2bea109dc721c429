"""Someone in front of a page: opens it, looks, points and presses keys."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page

# What a test asks of the figures. Given to the page from outside, so its policy does not apply.
PROBE = r"""
globalThis.probe = (() => {
  const find = (figure) => {
    const doc = Bokeh.documents.find((one) => one.get_model_by_name(figure));
    const plot = doc.get_model_by_name(figure);
    return { model: (suffix) => doc.get_model_by_name(`${figure}.${suffix}`), plot, view: Bokeh.index.find_one(plot) };
  };
  const inside = (view, x, y) => [view.frame.x_scale.compute(x), view.frame.y_scale.compute(y)];
  const plain = (value) =>
    value?.shape ? { shape: [...value.shape], values: [...value].map((v) => (Number.isNaN(v) ? null : v)) } : value;
  return {
    find,
    /** Columns of a source; an image is its shape and its values, null where nothing is drawn. */
    data(figure, suffix) {
      const columns = Object.entries(find(figure).model(suffix).data);
      return Object.fromEntries(columns.map(([key, column]) => [key, [...column].map(plain)]));
    },
    /** How many images a figure shows. */
    images: (figure) => find(figure).model("image").data.image.length,
    /** Where data stand in the window, in CSS pixels. */
    point(figure, x, y) {
      const { view } = find(figure);
      const { left, top } = view.el.getBoundingClientRect();
      const [sx, sy] = inside(view, x, y);
      return [left + sx, top + sy];
    },
    /** Colour of the image at data, without the outlines that lie above it. */
    color(figure, x, y) {
      const { canvas_view } = find(figure).view;
      const [sx, sy] = inside(find(figure).view, x, y);
      const { pixel_ratio: ratio, canvas } = canvas_view.primary;
      const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      pixel.drawImage(canvas, -Math.round(sx * ratio), -Math.round(sy * ratio));
      const [r, g, b] = pixel.getImageData(0, 0, 1, 1).data;
      return `#${[r, g, b].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
    },
    /** Labels by position, whether Bokeh would typeset them or not. */
    labels(figure, letter) {
      const labels = [...find(figure).model(`${letter}_axis`).major_label_overrides];
      return Object.fromEntries(labels.map(([at, label]) => [at, label.text ?? label]));
    },
    ticks: (figure, letter) => find(figure).model(`${letter}_axis`).ticker.ticks,
    range(figure, letter) {
      const { start, end } = find(figure).model(`${letter}_range`);
      return [start, end];
    },
    size: (figure) => [find(figure).plot.frame_width, find(figure).plot.frame_height],
    /** What stands beside the colours: the unit and the ticks' labels, from the lowest to the highest. */
    bar(figure) {
      const { title, major_label_overrides: labels } = find(figure).model("bar");
      return [title, [...labels.values()]];
    },
    palette: (figure) => find(figure).model("mapper").palette,
  };
})();
"""

_SETTLE = """async () => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await painted();
  await globalThis.__settled();
  for (let i = 0; i < 2; i++) await painted();
}"""

_GO = """(hash) => new Promise((done) => {
  const before = location.href;
  addEventListener("hashchange", () => done(), { once: true });
  location.hash = hash;
  if (location.href === before) done();
})"""


class Reader:
    """One page in a browser, what it asked for, and all that it did wrong."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("dialog", lambda dialog: (self.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, message: ConsoleMessage) -> None:
        # A broken policy is an error of the console too.
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text}")

    def open(self, address: str) -> Reader:
        """Open a report's page and wait until it answers."""
        self.page.goto("about:blank")
        self.page.goto(address)
        self.page.locator("html[data-ready]").wait_for(state="attached")
        self.page.evaluate(PROBE)
        return self.settle()

    def settle(self) -> Reader:
        """Wait until what was asked for is painted."""
        self.page.evaluate(_SETTLE)
        return self

    def look_at(self, figure: str) -> Reader:
        """Scroll to a figure and wait until it is there."""
        self.page.locator(f"#figure-{figure}").scroll_into_view_if_needed()
        self.page.locator(f"#figure-{figure} canvas").first.wait_for()
        self.settle()
        self.page.locator(f"#figure-{figure}").scroll_into_view_if_needed()
        return self.settle()  # a tooltip goes when the page scrolls

    def go(self, hash_: str) -> Reader:
        """Follow a link into the page, and wait until the page knows."""
        self.page.evaluate(_GO, hash_)
        return self.settle()

    def press(self, *keys: str) -> Reader:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)
        return self.settle()

    def address(self) -> dict[str, str]:
        """Return what the hash says, without the rest that a held key is waited for."""
        self.page.evaluate("() => reportgen.address.flush()")
        return self.page.evaluate("() => Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")

    def ask(self, what: str, *given: Any) -> Any:
        """Ask the figures something: a function of the probe."""
        return self.page.evaluate("([what, given]) => probe[what](...given)", [what, list(given)])

    def click(self, figure: str, x: float, y: float) -> Reader:
        """Click a figure at data."""
        self.page.mouse.click(*self.ask("point", figure, x, y))
        return self.settle()

    def hover(self, figure: str, x: float, y: float) -> str | None:
        """Point at data in a figure and return the tooltip's text, ``None`` where there is none."""
        self.page.mouse.move(*self.ask("point", figure, x, y))
        self.settle()
        tooltip = self.page.locator("#tooltip")
        return tooltip.inner_text() if tooltip.is_visible() else None
