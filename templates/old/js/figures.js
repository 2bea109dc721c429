// Bokeh figures: made from their JSON items, filled and coloured through their models' names, then shown.
globalThis.reportgen ??= {};

reportgen.figures = (() => {
  "use strict";

  /** Pixels that one label needs along its axis. */
  const LABEL_PIXELS = 11.5;
  /** Nearer than this, two labels cannot be told apart. */
  const CLEAR_PIXELS = 9;

  /** Take the layers that Bokeh listens on out of the tab order: they have no name, and no key does anything there. */
  function untab(element) {
    for (const child of element.children) {
      if (child.matches(".bk-events")) child.tabIndex = -1;
      untab(child);
      if (child.shadowRoot) untab(child.shadowRoot);
    }
  }

  /** Those of some labels that do not run into the one before, where positions are not equally far apart. */
  function apart(positions, at, unitsPerPixel) {
    let last = Number.NEGATIVE_INFINITY;
    return positions.filter((i) => {
      const isClear = at(i) - last > CLEAR_PIXELS * unitsPerPixel;
      if (isClear) last = at(i);
      return isClear;
    });
  }

  /** A label as it is: Bokeh typesets a string that has the delimiters of TeX. */
  function plainLabel(label) {
    if (!/\$\$|\\[[(]/.test(label)) return label;
    return new Bokeh.loader["models/text/plain_text"].PlainText({ text: label });
  }

  class Figure {
    /** @param {HTMLElement} element where it will stand; @param {object} item its JSON item */
    constructor(element, item) {
      this.element = element;
      this.width = element.clientWidth;
      this.document = Bokeh.loader.document.Document.from_json(item.doc);
      [this.plot] = this.document.roots();
      this.name = this.plot.name;
      this.labels = { x: null, y: null };
      this.drawn = null;
      this.said = "";
      this.pixelRatio = Math.min(2, globalThis.devicePixelRatio || 1);
      this.leave = () => {};
      this.element.style.setProperty("--room", this.width);
      // A finger that moves over a figure scrolls the page; whoever wants to zoom with it picks the tool.
      if (matchMedia("(pointer: coarse)").matches) this.plot.toolbar.setv({ active_drag: null, active_scroll: null });
      for (const letter of ["x", "y"]) {
        this.model(`${letter}_range`).change.connect(() => {
          this.relabel(letter);
          this.leave();
        });
      }
    }

    /** The model named `<figure>.<suffix>`. */
    model(suffix) {
      return this.document.get_model_by_name(`${this.name}.${suffix}`);
    }

    /** Put the figure into its element, as large as it was made; what stood there goes. */
    async show() {
      this.element.replaceChildren();
      await Bokeh.embed.add_document_standalone(this.document, this.element);
      untab(this.element);
    }

    /** Take the figure off the page, and out of what Bokeh keeps of it. */
    remove() {
      this.document.clear();
      Bokeh.documents.splice(Bokeh.documents.indexOf(this.document), 1);
    }

    /** Show the part of the data that another figure shows, where that is zoomed. */
    zoomAs(other) {
      for (const letter of other ? ["x", "y"] : []) {
        const { start, end, reset_start, reset_end } = other.model(`${letter}_range`);
        if (start !== reset_start || end !== reset_end) this.model(`${letter}_range`).setv({ start, end });
      }
    }

    /** Tell the style how wide the figure is, so that on paper it becomes no smaller than it must. */
    fitPaper() {
      this.element.style.setProperty("--room", this.element.firstElementChild?.offsetWidth || this.width);
    }

    /** Look again how many pixels the figure may take across, and say whether that changed. */
    measure() {
      // On paper it keeps the size that it was drawn in, and the style makes it fit.
      if (matchMedia("print").matches) return false;
      const before = this.width;
      this.width = this.element.clientWidth;
      this.element.style.setProperty("--room", this.width);
      return this.width !== before;
    }

    /**
     * Draw images: `{values, rows, columns, x, y, width, height}` each, in data units, first row at the top.
     * @param {string} key what they depend on; as long as it is the same, so are they
     * @param {() => object[]} makeImages
     */
    setImages(key, makeImages) {
      if (key === this.drawn) return;
      this.drawn = key;
      const images = makeImages();
      const { ndarray } = Bokeh.loader["core/util/ndarray"];
      const column = (of) => images.map(of);
      this.model("image").data = {
        image: column(({ values, rows, columns }) => ndarray(values, { dtype: "float32", shape: [rows, columns] })),
        x: column(({ x }) => x),
        y: column(({ y }) => y),
        dw: column(({ width }) => width),
        dh: column(({ height }) => height),
      };
    }

    /** Outline rectangles: `{x, y, width, height}` each; thinly where they would hide what is inside. */
    setFrames(rectangles) {
      const { start, end } = this.model("y_range");
      const pixels = (rectangles[0]?.height ?? 1) * (this.plot.frame_height / Math.abs(end - start));
      this.model("frame_glyph").glyph.line_width = { value: pixels < 6 ? 1 : 2 };
      this.model("frame").data = {
        left: rectangles.map(({ x }) => x),
        right: rectangles.map(({ x, width }) => x + width),
        top: rectangles.map(({ y }) => y),
        bottom: rectangles.map(({ y, height }) => y + height),
      };
    }

    /** Mark a key in each row, by its place; null marks none. */
    setMarks(keys) {
      const { start, end } = this.model("y_range");
      const pixels = this.plot.frame_height / Math.abs(end - start);
      const rows = keys.map((_, row) => row).filter((row) => keys[row] !== null);
      this.model("marks_glyph").glyph.size = { value: Math.max(2, Math.min(9, pixels * 0.5)) };
      this.model("marks").data = { x: rows.map((row) => keys[row]), y: rows };
    }

    /** Draw the lines between prompt and generated tokens: a list of point lists `[[x, y], …]`. */
    setDividers(lines) {
      this.model("divider").data = {
        xs: lines.map((line) => line.map(([x]) => x)),
        ys: lines.map((line) => line.map(([, y]) => y)),
      };
    }

    /** Hatch areas, each a list of points `[x, y]`; there is nothing to hatch where no layer has a window. */
    setShade(areas) {
      const shade = this.model("shade");
      if (shade)
        shade.data = {
          xs: areas.map((points) => points.map(([x]) => x)),
          ys: areas.map((points) => points.map(([, y]) => y)),
        };
    }

    /** Give the frame a size in pixels and the axes their ranges `[start, end]`; a zoom is undone. */
    setFrameSize(width, height, xRange, yRange) {
      this.plot.setv({ frame_width: Math.round(width), frame_height: Math.round(height) });
      for (const [letter, [start, end]] of [
        ["x", xRange],
        ["y", yRange],
      ]) {
        this.model(`${letter}_range`).setv({ start, end, reset_start: start, reset_end: end });
      }
    }

    /**
     * Label an axis: position `i` stands at `at(i)` and says `labels[i]`; those without room are left out, but not the
     * ones from `kept` on.
     */
    setLabels(letter, labels, at = (i) => i, kept = labels.length) {
      this.labels[letter] = { labels, at, kept };
      this.relabel(letter);
    }

    relabel(letter) {
      if (this.labels[letter] === null) return;
      const { labels, at, kept } = this.labels[letter];
      const { start, end } = this.model(`${letter}_range`);
      const [low, high] = [Math.min(start, end), Math.max(start, end)];
      const inRange = labels.map((_, i) => i).filter((i) => at(i) >= low && at(i) <= high);
      const seen = inRange.filter((i) => i < kept);
      const pixels = letter === "x" ? this.plot.frame_width : this.plot.frame_height;
      const thinned = seen.length ? reportgen.scale.thin(seen[0], seen.at(-1), pixels, LABEL_PIXELS) : [];
      const shown = [...apart(thinned, at, (high - low) / pixels), ...inRange.filter((i) => i >= kept)];
      const axis = this.model(`${letter}_axis`);
      axis.ticker.ticks = shown.map(at);
      axis.major_label_overrides = new Map(shown.map((i) => [at(i), plainLabel(labels[i])]));
    }

    /** Colour values: a palette from `low` to `high`, both as the scale shows them. */
    setColors(palette, high, low = 0) {
      this.model("mapper").setv({ palette, low, high });
    }

    /** Show the colour bar and what the rows are, or leave them out where there is no room. */
    showMargins(shown) {
      this.rowLabel ??= this.model("y_axis").axis_label;
      this.model("y_axis").axis_label = shown ? this.rowLabel : null;
      this.model("bar").visible = shown;
    }

    /** Say beside the colours what they stand for: `{at, label}` each, under a title. */
    setBar(title, ticks) {
      this.model("bar_ticker").ticks = ticks.map(({ at }) => at);
      this.model("bar").setv({ title, major_label_overrides: new Map(ticks.map(({ at, label }) => [at, label])) });
    }

    /** Say something in the card that the figure stands in, where there is a place for it, and what a reader can do. */
    say(text, advice = "") {
      this.said = text;
      const place = this.element.closest(".card")?.querySelector(`[data-says="${this.name}"]`);
      if (place) place.textContent = text + advice;
    }

    /** Take on the colours of a theme. */
    setTheme(theme) {
      this.plot.setv({
        background_fill_color: theme.card,
        border_fill_color: theme.card,
        outline_line_color: this.plot.outline_line_color === null ? null : theme.line,
      });
      for (const letter of ["x", "y"]) {
        this.model(`${letter}_axis`).setv({ major_label_text_color: theme.muted, axis_label_text_color: theme.muted });
      }
      this.model("mapper")?.setv({ nan_color: theme.masked });
      this.colorGlyph("frame_glyph", "line_color", theme.accent);
      this.colorGlyph("marks_glyph", "line_color", theme.accent);
      this.colorGlyph("marks_glyph", "fill_color", theme.card);
      this.colorGlyph("divider_glyph", "line_color", theme.muted);
      this.colorGlyph("shade_glyph", "hatch_color", theme.hatch);
      this.colorGlyph("text", "text_color", theme.muted);
      this.colorGlyph("filtered", "line_color", theme.generated);
      this.model("bar")?.setv({ major_label_text_color: theme.muted, title_text_color: theme.muted });
    }

    colorGlyph(suffix, property, color) {
      const renderer = this.model(suffix);
      if (renderer) renderer.glyph[property] = { value: color };
    }

    /** Tell of the pointer over the frame, in data units: `move(x, y)`, `leave()` and `tap(x, y)`. */
    onPointer({ move, leave, tap }) {
      let inside = false;
      // A figure that is drawn anew while the pointer is in another one has nothing to end there.
      this.leave = () => {
        if (inside) leave();
        inside = false;
      };
      this.plot.on_event("mousemove", ({ x, y }) => {
        if (!this.inFrame(x, y)) return this.leave();
        inside = true;
        move(x, y);
      });
      this.plot.on_event("mouseleave", this.leave);
      // The second of two quick clicks is a tap like any other.
      for (const name of ["tap", "doubletap"]) this.plot.on_event(name, ({ x, y }) => this.inFrame(x, y) && tap(x, y));
      // Callbacks added from a script are not announced to the document by Bokeh itself.
      this.document.event_manager.subscribed_models.add(this.plot);
    }

    inFrame(x, y) {
      const inside = (value, { start, end }) => value >= Math.min(start, end) && value <= Math.max(start, end);
      return inside(x, this.model("x_range")) && inside(y, this.model("y_range"));
    }
  }

  return { Figure };
})();

if (typeof module !== "undefined") module.exports = reportgen.figures;
