// A heatmap on the page: labels and numbers in HTML around the image of a Bokeh figure, outlines above it in SVG.
globalThis.reportgen ??= {};

/**
 * @typedef {object} Drawing what a heatmap shows; a cell is one unit, the first row at the top
 * @property {string} key what the images depend on; as long as it is the same, so are they
 * @property {number} rows @property {number} columns
 * @property {() => {values: Float32Array, rows: number, columns: number, x?: number, y?: number, width?: number,
 *   height?: number}[]} makeImages NaN is left empty
 * @property {{palette: string[], low: number, high: number, unscaled?: number, of?: string}} colors `unscaled` is the
 *   number that `high` stands for on the chosen scale, `of` what both bounds are a part of
 * @property {Label[]} rowLabels @property {Label[]} columnLabels
 * @property {[number, number, number, number][]} [frames] `x, y, width, height` of what is selected
 * @property {number[][][]} [dividers] lines, lists of points
 * @property {[number, number][]} [marks] cells
 * @property {Node[][]} [notes] what stands at the right of each row
 * @property {{x: number, y: number, text: string}[]} [titles] of tiles
 * @property {(row: number, column: number) => string} [say] the number in a cell, where cells have room for one
 *
 * @typedef {{text: string, note?: string, selected?: boolean, at?: number}} Label `at` in cells, where it is not the label's own
 */
reportgen.figure = (() => {
  "use strict";

  const { colors, numbers, text } = reportgen;
  /** Pixels that one label needs along its axis, and one character of it. */
  const LABEL_PIXELS = 11.5;
  const CHARACTER_PIXELS = 6.7;
  const LABEL_CHARACTERS = 12;
  /** The same where a position stands behind it. */
  const NOTED_CHARACTERS = 7;
  /** Cells of this size have room for a number. */
  const VALUE_PIXELS = [34, 15];
  const MOST_VALUES = 900;
  /** Usual width of the cells by layout; what is written horizontally depends on it and not on the window, which would move what stands below. */
  const USUAL_PIXELS = { panel: 330, wide: 820 };

  const SVG = "http://www.w3.org/2000/svg";

  function shape(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  /** Take the layers that Bokeh listens on out of the tab order: they have no name, and no key does anything there. */
  function untab(element) {
    for (const child of element.children) {
      if (child.matches(".bk-events")) child.tabIndex = -1;
      untab(child);
      if (child.shadowRoot) untab(child.shadowRoot);
    }
  }

  /** Those of `count` labels that have room on `pixels`; the selected one always, instead of its neighbours. */
  function choose(labels, pixels, least) {
    const shown = numbers.thin(0, labels.length - 1, pixels, least);
    const selected = labels.findIndex((label) => label.selected);
    if (selected < 0 || shown.includes(selected)) return shown;
    const apart = (least * labels.length) / pixels;
    return [...shown.filter((i) => Math.abs(i - selected) >= apart), selected].sort((a, b) => a - b);
  }

  class Figure {
    /** @param {HTMLElement} element where it stands; @param {object} item JSON item of every figure */
    constructor(element, item) {
      this.element = element;
      this.name = element.dataset.figure;
      const part = (name) => element.querySelector(`:scope > .${name}`);
      this.parts = Object.fromEntries(
        ["columns", "rows", "cells", "notes", "titles"].map((name) => [name, part(name)]),
      );
      this.overlay = this.parts.cells.querySelector(".overlay");
      this.shownIn = this.parts.cells.insertBefore(document.createElement("div"), this.overlay);
      this.shownIn.className = "canvas";
      this.item = item;
      this.callbacks = [];
      this.size = null;
      this.drawn = null;
      /** Whether Bokeh's figure is there; until then a picture stands in its place. */
      this.isShown = false;
      /** @type {Drawing | null} */
      this.drawing = null;
    }

    /** The model named `<figure>.<suffix>`. */
    model(suffix) {
      return this.document.get_model_by_name(`${this.name}.${suffix}`);
    }

    get width() {
      return this.measure().width;
    }

    get height() {
      return this.measure().height;
    }

    /** The size of its place, in pixels. To ask the browser for it lays out the page, so it is asked when it may be another. */
    measure() {
      const { cells } = this.parts;
      if (!this.size?.width) this.size = { width: cells.clientWidth, height: cells.clientHeight };
      return this.size;
    }

    /** Draw something: until `show`, a picture. @param {Drawing} drawing */
    draw(drawing) {
      const { key, makeImages } = drawing;
      this.setCells(drawing);
      this.drawing = drawing;
      this.drawLabels();
      if (key !== this.drawn) this.images = makeImages();
      this.drawn = key;
      if (this.isShown) this.fill();
      else this.showPictures("still");
      this.drawOverlay();
      this.drawValues();
      this.parts.notes?.replaceChildren(
        ...(drawing.notes ?? []).map((nodes, row) =>
          text.element("li", drawing.rowLabels[row]?.selected ? { class: "selected" } : {}, ...nodes),
        ),
      );
    }

    /** Say how many cells there are, on which the size of the figure depends. */
    setCells({ rows, columns }) {
      const { style } = this.element;
      for (const [name, count] of Object.entries({ "--rows": String(rows), "--columns": String(columns) })) {
        if (style.getPropertyValue(name) === count) continue;
        style.setProperty(name, count);
        this.size = null;
      }
    }

    /** Tell Bokeh what is drawn. */
    fill() {
      const { rows, columns, colors: ramp } = this.drawing;
      const { palette, low, high } = ramp;
      this.fit();
      this.model("x_range").setv({ start: 0, end: columns });
      this.model("y_range").setv({ start: rows, end: 0 });
      this.model("mapper").setv({ palette, low, high: high || Number.EPSILON });
      if (this.images === this.filled) return;
      this.filled = this.images;
      const { ndarray } = Bokeh.loader["core/util/ndarray"];
      const column = (of) => this.images.map(of);
      this.model("image").data = {
        image: column(({ values, rows, columns }) => ndarray(values, { dtype: "float32", shape: [rows, columns] })),
        x: column(({ x = 0 }) => x),
        y: column(({ y = 0 }) => y),
        dw: column(({ width, columns }) => width ?? columns),
        dh: column(({ height, rows }) => height ?? rows),
      };
    }

    /** Put Bokeh's figure of what is drawn into its place, where a picture stood. */
    async show() {
      const own = JSON.stringify(this.item).replaceAll('"figure', `"${this.name}`);
      this.document = Bokeh.loader.document.Document.from_json(JSON.parse(own).doc);
      this.plot = this.document.roots()[0];
      // A finger that moves over a figure scrolls the page.
      if (matchMedia("(pointer: coarse)").matches) this.plot.toolbar.setv({ active_drag: null });
      this.fill();
      await Bokeh.embed.add_document_standalone(this.document, this.shownIn);
      untab(this.shownIn);
      for (const [name, callback] of this.callbacks) this.plot.on_event(name, callback);
      // Callbacks added from a script are not announced to the document by Bokeh itself.
      this.document.event_manager.subscribed_models.add(this.plot);
      this.isShown = true;
      // Bokeh does not notice what changes while it builds a figure.
      this.fill();
      this.parts.cells.querySelector(".still")?.remove();
    }

    /** Take the figure off the page, and out of what Bokeh keeps of it. */
    remove() {
      this.document.clear();
      Bokeh.documents.splice(Bokeh.documents.indexOf(this.document), 1);
    }

    /** Take on the size that the place has. */
    fit() {
      this.plot.setv({ frame_width: Math.max(1, this.width), frame_height: Math.max(1, this.height) });
    }

    /** Follow the size of the place, with all that depends on it. */
    refit() {
      // On paper it keeps the size that it was drawn in.
      if (!this.drawing || matchMedia("print").matches) return;
      const before = this.size;
      this.size = null;
      const { width, height } = this.measure();
      if (before && before.width === width && before.height === height) return;
      if (this.isShown) this.fit();
      this.drawLabels();
      this.drawValues();
    }

    /** Show pictures of the cells, one pixel each: until Bokeh's figure is there, and on paper, where it has another width. */
    showPictures(name) {
      const { rows, columns, colors: ramp } = this.drawing;
      const percent = (share, of) => `${(100 * share) / of}%`;
      const pictures = this.images.map((image) => {
        const { x = 0, y = 0, width = image.columns, height = image.rows } = image;
        const [left, top] = [percent(x, columns), percent(y, rows)];
        const picture = colors.paint(image, ramp);
        Object.assign(picture.style, { left, top, width: percent(width, columns), height: percent(height, rows) });
        return picture;
      });
      this.parts.cells.querySelector(`.${name}`)?.remove();
      this.overlay.before(text.element("div", { class: name }, ...pictures));
    }

    drawLabels() {
      const { rowLabels, columnLabels } = this.drawing;
      const layout = Object.keys(USUAL_PIXELS).find((name) => this.element.classList.contains(name));
      const longest = Math.max(
        0,
        ...columnLabels.map((label) => Array.from(label.text).slice(0, LABEL_CHARACTERS).length),
      );
      const flat = Boolean(layout && longest * CHARACTER_PIXELS < USUAL_PIXELS[layout] / columnLabels.length - 2);
      this.element.classList.toggle("flat", flat);
      const least = this.element.matches(".map") ? 15 : LABEL_PIXELS;
      const { rows, columns } = this.drawing;
      this.placeLabels("left", columnLabels, columns, flat ? longest * CHARACTER_PIXELS : least);
      const spaced = this.element.matches(".map, .square, .grid") ? LABEL_PIXELS : 1;
      this.placeLabels("top", rowLabels, rows, spaced);
    }

    /** Labels along one side, `count` cells long, each of which needs so many pixels. */
    placeLabels(side, labels, count, least) {
      const [place, pixels] = side === "left" ? [this.parts.columns, this.width] : [this.parts.rows, this.height];
      place.replaceChildren(
        ...choose(labels, Math.max(1, pixels), least).map((i) => {
          const { text: said, note, selected, at = i + 0.5 } = labels[i];
          const attributes = { style: { [side]: `${(100 * at) / count}%` } };
          const more = note
            ? [text.element(side === "left" ? "sub" : "small", {}, side === "left" ? note : ` ${note}`)]
            : [];
          return text.element(
            "span",
            selected ? { ...attributes, class: "selected" } : attributes,
            text.element("bdi", {}, numbers.cut(said, note && side === "left" ? NOTED_CHARACTERS : LABEL_CHARACTERS)),
            ...more,
          );
        }),
      );
    }

    drawOverlay() {
      const { rows, columns, frames = [], dividers = [], marks = [] } = this.drawing;
      this.overlay.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
      this.overlay.replaceChildren(
        ...dividers.map((points) =>
          shape("path", { class: "divider", d: `M${points.map((point) => point.join(" ")).join("L")}` }),
        ),
        ...marks.map(([x, y]) => shape("path", { class: "mark", d: `M${x + 0.5} ${y + 0.5}h0` })),
        ...frames.flatMap(([x, y, width, height]) =>
          ["halo", "frame"].map((name) => shape("rect", { class: name, x, y, width, height })),
        ),
      );
    }

    /** Tint cells that are pointed at elsewhere, as `x, y, width, height`; nothing else changes. */
    brush(rectangles) {
      for (const old of this.overlay.querySelectorAll(".brush")) old.remove();
      this.overlay.prepend(
        ...rectangles.map(([x, y, width, height]) => shape("rect", { class: "brush", x, y, width, height })),
      );
    }

    /** Numbers in cells that have room for them, titles above tiles. */
    drawValues() {
      this.parts.cells.querySelector(".values")?.remove();
      const { rows, columns, titles } = this.drawing;
      const box = text.element("div", { class: titles ? "values tile-names" : "values", "aria-hidden": "true" });
      const put = (x, y, said, color) => {
        const place = { left: `${(100 * x) / columns}%`, top: `${(100 * y) / rows}%` };
        // The colour of the cell again, for those who judge the contrast and cannot see the image.
        const ground = color
          ? { class: colors.classOn(color), style: { ...place, background: color } }
          : { style: place };
        box.append(text.element("span", ground, said));
      };
      for (const { x, y, text: said } of titles ?? []) put(x, y, said);
      for (const { row, column, said, color } of this.listValues(this.width, this.height))
        put(column + 0.5, row + 0.5, said, color);
      if (box.children.length) this.parts.cells.append(box);
    }

    /** The number of every cell and its colour, where cells on this many pixels have room for numbers. */
    listValues(width, height) {
      const { rows, columns, say } = this.drawing;
      const roomy = width / columns >= VALUE_PIXELS[0] && height / rows >= VALUE_PIXELS[1];
      if (!say || !roomy || rows * columns > MOST_VALUES) return [];
      return [...this.images[0].values].flatMap((value, cell) => {
        const [row, column] = [Math.floor(cell / columns), cell % columns];
        if (Number.isNaN(value)) return [];
        return [{ row, column, said: say(row, column), color: colors.colorOf(this.drawing.colors, value) }];
      });
    }

    /** Tell of the pointer over the cells, in cells: `move(x, y)`, `leave()`, `tap(x, y)`, `drag({x0, x1, y0, y1})`. */
    listen({ move, leave, tap, drag }) {
      const on = (name, callback) => this.callbacks.push([name, callback]);
      on("mousemove", ({ x, y }) => move(x, y));
      on("mouseleave", () => leave());
      // The second of two quick clicks is a tap like any other, and so is a button held for longer than 0.3 s.
      for (const name of ["tap", "doubletap", "pressup"]) on(name, ({ x, y }) => tap(x, y));
      on("selectiongeometry", ({ final, geometry }) => final && drag(geometry));
    }
  }

  return { Figure, shape, LABEL_CHARACTERS };
})();
