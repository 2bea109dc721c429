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
  const all = (figure, what) => [...document.querySelectorAll(`#figure-${figure} ${what}`)];
  const inside = (view, x, y) => [view.frame.x_scale.compute(x), view.frame.y_scale.compute(y)];
  const finite = (values) => [...values].map((value) => (Number.isNaN(value) ? null : value));
  const SIDES = ["x", "y", "width", "height"];
  const boxes = (figure, name) =>
    all(figure, `.overlay .${name}`).map((rect) => SIDES.map((side) => Number(rect.getAttribute(side))));
  const grid = (rows, columns, make) =>
    Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => make(row, column)));
  const hex = (levels) => `#${[...levels].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
  return {
    find,
    /** Images of a figure: shape, place, and values row by row, null where nothing is drawn. */
    images(figure) {
      const { image, x, y, dw, dh } = find(figure).model("image").data;
      return [...image].map((values, i) => {
        const [rows, columns] = values.shape;
        const flat = finite(values);
        const lines = Array.from({ length: rows }, (_, row) => flat.slice(row * columns, (row + 1) * columns));
        return { x: x[i], y: y[i], width: dw[i], height: dh[i], rows: lines };
      });
    },
    /** Where cells stand in the window, in CSS pixels; the cell in row i and column j is at (j + 0.5, i + 0.5). */
    point(figure, x, y) {
      const { view } = find(figure);
      const { left, top } = view.el.getBoundingClientRect();
      const [sx, sy] = inside(view, x, y);
      return [left + sx, top + sy];
    },
    /** Colour of the image at a place, without the outlines that lie above it; empty where nothing is drawn. */
    color(figure, x, y) {
      const { canvas_view } = find(figure).view;
      const [sx, sy] = inside(find(figure).view, x, y);
      const { pixel_ratio: ratio, canvas } = canvas_view.primary;
      const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      pixel.drawImage(canvas, -Math.round(sx * ratio), -Math.round(sy * ratio));
      const [r, g, b, alpha] = pixel.getImageData(0, 0, 1, 1).data;
      return alpha ? hex([r, g, b]) : "";
    },
    /** Colours of a grid of so many rows and columns, each where `color` reads it. */
    colors(figure, rows, columns) {
      return grid(rows, columns, (row, column) => this.color(figure, column + 0.5, row + 0.5));
    },
    /** Pixels of a still, row by row, as `color` gives them. */
    async still(figure, theme = "light") {
      const picture = all(figure, ".still")[0];
      const address = theme === "dark" ? picture.querySelector("source").srcset : picture.querySelector("img").src;
      const bytes = Uint8Array.from(atob(address.split(",")[1]), (letter) => letter.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const { width, height } = bitmap;
      const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      context.drawImage(bitmap, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      const pixel = (i) => (data[4 * i + 3] ? hex(data.slice(4 * i, 4 * i + 3)) : "");
      return grid(height, width, (row, column) => pixel(row * width + column));
    },
    /** Labels along a side, `columns` or `rows`, without the positions behind them. */
    labels: (figure, side) => all(figure, `> .${side} > span > bdi`).map((label) => label.textContent),
    /** Positions behind the labels. */
    places: (figure, side) =>
      all(figure, `> .${side} > span`).map((label) => label.querySelector("sub, small")?.textContent.trim() ?? ""),
    /** The label of what is selected; null where none is. */
    selected: (figure, side) => all(figure, `> .${side} > .selected > bdi`)[0]?.textContent ?? null,
    /** What stands at the right of each row. */
    notes: (figure) => all(figure, "> .notes > li").map((note) => note.innerText.split(/\s+/).filter(Boolean)),
    /** Selected cells as `x, y, width, height` in cells. */
    frames: (figure) => boxes(figure, "frame"),
    /** Cells that are tinted since the pointer is on the same token or head elsewhere. */
    brushes: (figure) => boxes(figure, "brush"),
    /** Lines where the prompt ends. */
    dividers: (figure) => all(figure, ".overlay .divider").map((path) => path.getAttribute("d")),
    /** Cells that are marked as the strongest of their rows, `[column, row]`. */
    marks: (figure) =>
      all(figure, ".overlay .mark").map((path) => {
        const [x, y] = path.getAttribute("d").match(/[\d.]+/g);
        return [x - 0.5, y - 0.5];
      }),
    /** Numbers in cells, or titles of tiles. */
    texts: (figure) => all(figure, ".values > span").map((one) => one.textContent),
    range(figure, letter) {
      const { start, end } = find(figure).model(`${letter}_range`);
      return [start, end];
    },
    /** Lowest and highest value of the colours. */
    limits(figure) {
      const { low, high } = find(figure).model("mapper");
      return [low, high];
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

_UNCOVER = """(figure) => {
  for (let fold = figure.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (!figure.checkVisibility()) figure.closest("[popover]")?.showPopover();
}"""

_COVER = """(field) => field.closest("[popover]:popover-open")?.hidePopover()"""

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
        self.page.set_default_timeout(30_000)  # a saved picture took 10 s on a busy machine
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
        """Open the fold or sheet that a figure is in, scroll to it and wait until it is there."""
        place = self.page.locator(f"#figure-{figure}")
        place.evaluate(_UNCOVER)
        place.scroll_into_view_if_needed()
        place.locator("canvas").first.wait_for()
        self.settle()
        place.scroll_into_view_if_needed()
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

    def rows(self, figure: str, number: int = 0) -> list[list[float | None]]:
        """Return the rows of an image that a figure shows, ``None`` where nothing is drawn."""
        return self.ask("images", figure)[number]["rows"]

    def click(self, figure: str, x: float, y: float, *, held: int = 0) -> Reader:
        """Click a figure at a place in cells, the button held for so many milliseconds."""
        self.page.mouse.click(*self.ask("point", figure, x, y), delay=held)
        return self.settle()

    def point_at(self, row: int, column: int, figure: str = "head") -> str | None:
        """Point at the middle of a cell of a figure and return the tooltip's text, ``None`` where there is none."""
        return self.hover(figure, column + 0.5, row + 0.5)

    def click_cell(self, row: int, column: int, figure: str = "head") -> Reader:
        """Click the middle of a cell of a figure."""
        return self.click(figure, column + 0.5, row + 0.5)

    def hover(self, figure: str, x: float, y: float) -> str | None:
        """Point at a place in a figure and return the tooltip's text, ``None`` where there is none."""
        self.page.mouse.move(*self.ask("point", figure, x, y))
        self.settle()
        tooltip = self.page.locator("#tooltip")
        return tooltip.inner_text() if tooltip.is_visible() else None

    def table(self, name: str) -> list[list[str]]:
        """Return the texts of a table's cells."""
        return [row.locator("th, td").all_inner_texts() for row in self.page.locator(f"#{name} tbody tr").all()]

    def choose(self, name: str, value: str) -> Reader:
        """Choose from a list, in a menu or not."""
        field = self.page.locator(f"#{name}")
        field.evaluate(_UNCOVER)
        field.select_option(value)
        field.evaluate(_COVER)
        return self.settle()

    def check(self, name: str) -> Reader:
        """Tick a box of the menu that says what is shown."""
        box = self.page.locator(f"#{name}")
        box.evaluate(_UNCOVER)
        box.check()
        box.evaluate(_COVER)
        return self.settle()
