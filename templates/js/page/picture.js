// Pictures to save: a figure drawn as SVG under its caption, one pixel of its image a cell. A PNG is the same SVG, painted.
globalThis.reportgen ??= {};

reportgen.picture = (() => {
  "use strict";

  const { colors, numbers, sets, shows, state: states, text, theme } = reportgen;
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const WIDTH = 960;
  const MARGIN = 20;
  const LABEL_PIXELS = 11.5;
  /** Pixels of a PNG for each of the SVG, as long as browsers take canvases of that size. */
  const RATIO = 2;
  const LONGEST_SIDE = 16000;
  const HONEST = "Weights say where a head reads, not how much it matters.";
  const SCALES = { sqrt: "square-root scale", linear: "linear scale", log: "logarithmic scale" };
  const FIRST = { in: "", out: "first token left out", renormalised: "first token left out, rows divided by the rest" };
  /** XML cannot say any other character. */
  const NO_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** The heading that a figure stands under, without what can be pressed in it. */
  function titleOf(name) {
    const element = document.querySelector(`[data-figure="${name}"]`);
    const own = element.parentElement.querySelector(":scope > h3, :scope > h2, :scope > header > h3");
    const heading = own ?? element.closest(".card, .rail")?.querySelector("h2");
    if (!heading) return name === "text" ? "Text" : element.getAttribute("aria-label");
    const copy = heading.cloneNode(true);
    for (const other of copy.querySelectorAll("button, [popover]")) other.remove();
    return copy.textContent.trim().replace(/\s+/g, " ");
  }

  /** Whether a figure shows effects on a token, or the like, and no weights. */
  function isOfEffects(name, state, bounds) {
    if (name === "map") return state.by === "effect";
    if (name === "text") return state.shading === "effect" && states.readsForStep(state, bounds);
    return ["read", "effect", "lens"].includes(name);
  }

  /** Whether colours follow values themselves, whatever scale is chosen for weights. */
  function isLinear(name, state, bounds) {
    const isOfForms =
      ["head", "pinned", "aggregate"].includes(name) ||
      (["heads", "layers"].includes(name) && state.layout === "patterns");
    if (isOfForms) return Boolean(shows.KINDS[state.show].signed);
    return ["difference", "entropy"].includes(name) || (name !== "lens" && isOfEffects(name, state, bounds));
  }

  /** What a caption says of the selection. */
  function sayFacts(name, { state, bounds, content }) {
    const token = (position) =>
      `${text.quote(content.tokens[position][1])} at ${position}`.replace(/[\u2068\u2069]/g, "");
    const written = state.step === null ? "" : `token ${state.step + 1}, ${token(bounds.numPromptTokens + state.step)}`;
    const ofEffects = isOfEffects(name, state, bounds);
    const reads = states.readsForStep(state, bounds)
      ? `predicting ${written}`
      : `reading from ${token(state.queryPos)}`;
    const chosenIn = (id) => document.getElementById(id).selectedOptions[0].textContent;
    const against = () => `effect against ${chosenIn("contrast")}`;
    const ofGrid = document.getElementById("measure") ? chosenIn("measure").replace(/^against/, "effect $&") : "";
    const measured = { map: against, effect: () => ofGrid || against() }[name];
    const chosen = { text: ofEffects ? "effect through each token" : `weight of L${state.layer} H${state.head}` };
    return [
      ofEffects ? written : reads,
      ofEffects && measured ? measured() : "",
      chosen[name] ?? "",
      ["head", "pinned", "difference", "aggregate"].includes(name) ? shows.KINDS[state.show].label : "",
      name === "aggregate" ? sets.name(state.over, bounds, state) : "",
      isLinear(name, state, bounds) ? "linear scale" : SCALES[state.scale],
      ofEffects ? "" : FIRST[states.firstOf(state)],
      state.words ? "whole words" : "",
    ].filter(Boolean);
  }

  /** Lines of a text that are no longer than `width`; a word that is goes on in the next line. */
  function wrap(said, width, font) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = font;
    const fits = (line) => context.measureText(line).width <= width;
    const lines = [];
    let line = "";
    for (const word of said.split(/[ \n]+/)) {
      if (line && fits(`${line} ${word}`)) {
        line = `${line} ${word}`;
        continue;
      }
      if (line) lines.push(line);
      line = "";
      for (const character of word) {
        if (line && !fits(line + character)) {
          lines.push(line);
          line = "";
        }
        line += character;
      }
    }
    return line ? [...lines, line] : lines;
  }

  /** A figure as it stands on the page: labels, image, outlines, numbers beside it, legend. */
  function drawFigure(figure, look) {
    const {
      rows,
      columns,
      rowLabels,
      columnLabels,
      frames = [],
      dividers = [],
      marks = [],
      titles = [],
    } = figure.drawing;
    const join = (line, between) =>
      [...line.children]
        .filter((part) => getComputedStyle(part).visibility === "visible")
        .map(({ textContent }) => textContent.trim())
        .filter(Boolean)
        .join(between);
    const notes = [...(figure.parts.notes?.children ?? [])].map((line) => join(line, " "));
    const noteTitle = figure.parts.titles ? join(figure.parts.titles, " · ") : "";
    const [left, right] = [rowLabels.length ? 110 : 0, notes.some(Boolean) ? 260 : 0];
    const top = columnLabels.length ? 84 : 0;
    const width = Math.min(WIDTH - left - right, Math.max(240, columns * 40));
    const ratio = titles.length ? figure.height / figure.width : 0;
    const height = ratio ? width * ratio : Math.min(760, Math.max(rows * 20, rowLabels.length > 40 ? 520 : 60));
    const [across, down] = [width / columns, height / rows];
    const family = { "font-family": getComputedStyle(figure.parts.columns).fontFamily, "font-size": 11 };
    const at = ({ at }, i) => at ?? i + 0.5;
    const thin = (labels, pixels) => numbers.thin(0, labels.length - 1, pixels, LABEL_PIXELS);
    const label = (said, attributes) => svg("text", { ...family, fill: look.ink, ...attributes }, said);
    const body = svg(
      "g",
      { transform: `translate(${left} ${top})` },
      ...(figure.element.classList.contains("hatched") ? hatch(width, height, look) : []),
      ...figure.images.map((image) =>
        svg("image", {
          href: colors.paint(image, figure.drawing.colors).toDataURL(),
          x: (image.x ?? 0) * across,
          y: (image.y ?? 0) * down,
          width: (image.width ?? image.columns) * across,
          height: (image.height ?? image.rows) * down,
          preserveAspectRatio: "none",
          style: "image-rendering: pixelated",
        }),
      ),
      ...figure.listValues(width, height).map(({ row, column, said, color }) =>
        label(said, {
          x: (column + 0.5) * across,
          y: (row + 0.5) * down + 4,
          "text-anchor": "middle",
          fill: colors.inkOn(color),
        }),
      ),
      ...dividers.map((points) =>
        svg("path", {
          d: `M${points.map(([x, y]) => `${x * across} ${y * down}`).join("L")}`,
          fill: "none",
          stroke: look.muted,
          "stroke-dasharray": "3 3",
        }),
      ),
      ...marks.map(([x, y]) => svg("circle", { cx: (x + 0.5) * across, cy: (y + 0.5) * down, r: 2.5, fill: look.ink })),
      ...frames.flatMap(([x, y, w, h]) =>
        [
          [look.card, 4.5],
          [look.ink, 2],
        ].map(([stroke, line]) =>
          svg("rect", {
            x: x * across,
            y: y * down,
            width: w * across,
            height: h * down,
            fill: "none",
            stroke,
            "stroke-width": line,
          }),
        ),
      ),
      ...(columnLabels.length ? thin(columnLabels, width) : []).map((i) => {
        const x = at(columnLabels[i], i) * across + 4;
        return label(sayLabel(columnLabels[i]), {
          transform: `translate(${x} -5) rotate(-90)`,
          ...bold(columnLabels[i]),
        });
      }),
      ...(rowLabels.length ? thin(rowLabels, height) : []).map((i) =>
        label(sayLabel(rowLabels[i]), {
          x: -6,
          y: at(rowLabels[i], i) * down + 4,
          "text-anchor": "end",
          ...bold(rowLabels[i]),
        }),
      ),
      ...notes.map((said, row) =>
        label(said, { x: width + 8, y: (row + 0.5) * down + 4, ...bold(rowLabels[row] ?? {}) }),
      ),
      label(notes.some(Boolean) ? noteTitle : "", { x: width + 8, y: -5, fill: look.muted }),
      ...titles.map(({ x, y, text: said }) => label(said, { x: x * across, y: y * down - 2 })),
    );
    const legend = drawLegend(figure.drawing.colors, look, { x: left, y: top + height + 14 });
    return { node: svg("g", {}, body, legend), width: left + width + right, height: top + height + 34 };
  }

  const sayLabel = ({ text: said, note }) => numbers.cut(said, 14) + (note ? ` ${note}` : "");
  const bold = ({ selected }) => (selected ? { "font-weight": 700 } : {});

  /** Lines that show where the image has no cell. */
  function hatch(width, height, look) {
    const line = svg("rect", { width: 1, height: 4, fill: look.hatch });
    const tile = { id: "hatch", width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
    return [svg("pattern", tile, line), svg("rect", { width, height, fill: "url(#hatch)" })];
  }

  /** The colours from the lowest value to the highest. */
  function drawLegend({ palette, low, high, unscaled, of }, look, { x, y }) {
    const row = Float32Array.from({ length: 64 }, (_, i) => low + ((high - low) * i) / 63);
    const image = colors.paint({ values: row, rows: 1, columns: 64 }, { palette, low, high });
    const ends =
      low < 0 ? [numbers.formatSigned(low), numbers.formatSigned(high)] : ["0", numbers.formatFine(unscaled ?? high)];
    return svg(
      "g",
      { transform: `translate(${x} ${y})`, "font-size": 11, fill: look.muted },
      svg("image", { href: image.toDataURL(), width: 160, height: 9, preserveAspectRatio: "none" }),
      svg("text", { x: 166, y: 9 }, `${ends[0]} to ${ends[1]}${of ? ` times ${of}` : ""}`),
    );
  }

  /** The text, as the browser lays it out. */
  function drawText(look) {
    const strip = document.getElementById("strip");
    const stage = text.element("div", { class: "offstage", style: { width: `${WIDTH}px` } });
    stage.inert = true;
    const copy = stage.appendChild(strip.cloneNode(true));
    copy.removeAttribute("id");
    copy.style.maxHeight = "none";
    document.body.append(stage);
    const corner = copy.getBoundingClientRect();
    const { fontFamily, fontSize } = getComputedStyle(copy);
    const parts = [...copy.querySelectorAll(".token")].flatMap((token) => drawToken(token, corner, look));
    for (const line of copy.querySelectorAll("path")) {
      const { stroke, strokeWidth, strokeOpacity } = getComputedStyle(line);
      const paint = {
        stroke,
        "stroke-width": Number.parseFloat(strokeWidth),
        "stroke-opacity": strokeOpacity,
        fill: "none",
      };
      parts.push(svg("path", { d: line.getAttribute("d"), ...paint }));
    }
    stage.remove();
    return {
      node: svg("g", { "font-family": fontFamily, "font-size": fontSize }, ...parts),
      width: corner.width,
      height: corner.height,
    };
  }

  /** Whatever of a token is seen, line by line: its ground, its frame, its text. */
  function drawToken(token, corner, look) {
    const style = getComputedStyle(token);
    const frame = token.matches(".now")
      ? { stroke: look.ink, "stroke-width": 2 }
      : token.matches(".generated")
        ? { stroke: look.muted, "stroke-dasharray": "1 2" }
        : {};
    const range = document.createRange();
    return [...token.childNodes].flatMap((node) => {
      if (node.nodeType !== Node.TEXT_NODE) return [];
      range.selectNodeContents(node);
      const { left, top, width, height } = range.getBoundingClientRect();
      const [x, y] = [left - corner.left, top - corner.top];
      const shade = token.style.getPropertyValue("--shade");
      return [
        svg("rect", { x, y, width, height, rx: 3, fill: shade || "none", ...frame }),
        ...(token.matches(".from") ? [svg("rect", { x, y: y + height, width, height: 2, fill: look.ink })] : []),
        svg("text", { x, y: y + height * 0.75, fill: style.color, "xml:space": "preserve" }, node.textContent),
      ];
    });
  }

  /** What a page of one prompt says of its figures, as it stands now. */
  function aboutPage(scene) {
    return {
      bounds: scene.bounds,
      facts: (name) => sayFacts(name, scene),
      isOfWeights: (name) => !isOfEffects(name, scene.state, scene.bounds) && scene.state.show !== "attribution",
      hash: () => states.format(scene.state, scene.bounds),
      place() {
        const { layer, head, queryPos, step } = scene.state;
        const forStep = states.readsForStep(scene.state, scene.bounds);
        return `L${layer}-H${head}-${forStep ? `token-${step + 1}` : `position-${queryPos}`}`;
      },
      refuse: (name) =>
        ["pinned", "difference"].includes(name) && !scene.state.pin ? "no head is pinned; name one, as pin=3.7" : "",
    };
  }

  /** What is written above a figure and below it, as the page stands now. */
  function describe(name, about, card) {
    return {
      title: card.title,
      facts: [card.model, titleOf(name), ...about.facts(name)].join("\u00a0· "),
      notes: about.isOfWeights(name) ? HONEST : "",
      source: `${document.querySelector("[name=generator]").content} · ${card.slug}.html${about.hash()}`,
    };
  }

  /** Put a drawing between what is written of it. */
  function compose({ node, width, height }, { title, facts, notes, source }, look) {
    const { fontFamily } = getComputedStyle(document.body);
    const across = Math.max(560, width);
    let y = MARGIN - 6;
    const write = (said, size, color, weight = 400) =>
      wrap(said, across, `${weight} ${size}px ${fontFamily}`).map((line) => {
        y += size * 1.4;
        return svg("text", { x: MARGIN, y, "font-size": size, "font-weight": weight, fill: color }, line);
      });
    const head = [...write(title, 16, look.ink, 600), ...write(facts, 13, look.muted)];
    y += 10;
    const body = svg("g", { transform: `translate(${MARGIN} ${y})` }, node);
    y += height;
    const foot = [...write(notes, 12, look.muted), ...write(source, 11, look.muted)];
    const size = { width: across + 2 * MARGIN, height: Math.ceil(y + MARGIN - 4) };
    return svg(
      "svg",
      { ...size, viewBox: `0 0 ${size.width} ${size.height}`, "font-family": fontFamily },
      svg("title", {}, title),
      svg("rect", { ...size, fill: look.card }),
      ...head,
      body,
      ...foot,
    );
  }

  function serialize(root) {
    const made = new XMLSerializer().serializeToString(root).replace(NO_XML, "\uFFFD");
    return `<?xml version="1.0" encoding="UTF-8"?>\n${made}\n`;
  }

  async function paint(source, { width, height }) {
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(source)}`;
    await image.decode();
    for (let ratio = Math.min(RATIO, LONGEST_SIDE / Math.max(width, height)); ratio > 0.1; ratio /= 2) {
      const canvas = Object.assign(document.createElement("canvas"), { width: width * ratio, height: height * ratio });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      // Null where the browser takes no canvas of that size.
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      if (blob) return blob;
    }
    throw new Error("the browser cannot paint a picture of this size; save the SVG");
  }

  const cellOf = (value) =>
    typeof value === "number"
      ? Number.isNaN(value)
        ? ""
        : String(Number(value.toPrecision(6)))
      : `"${value.replaceAll('"', '""')}"`;

  /** Values of a figure as CSV: a line for each row, the name of the row first. */
  function tabulate({ columns, rows }) {
    const lines = [["", ...columns], ...rows.map(({ name, values }) => [name, ...values])];
    return lines.map((line) => line.map(cellOf).join(",")).join("\r\n");
  }

  /**
   * @param {object} page `{card, viewer, about}`, `about` as `aboutPage` makes it
   * @returns what can be made of each figure: a blob in a format, a title, a caption, a file name
   */
  function makeStudio({ card, viewer, about }) {
    const isThere = (name) => name === "text" || document.getElementById(`figure-${name}`).clientWidth > 0;
    const views = [...(document.getElementById("strip") ? ["text"] : []), ...viewer.names()];
    const listFigures = () => views.filter(isThere);

    /** A figure as it is now; one that has not been drawn yet is drawn first. */
    async function figureOf(name) {
      const element = document.getElementById(`figure-${name}`);
      const fold = element.closest("details");
      if (fold) fold.open = true;
      const why = about.refuse(name);
      if (why) throw new Error(why);
      await viewer.drawNow(name);
      return viewer.viewOf(name);
    }

    async function make(name, format) {
      if (format === "csv") return new Blob([tabulate((await figureOf(name)).table())], { type: "text/csv" });
      const look = theme.readColors();
      const drawing = name === "text" ? drawText(look) : drawFigure((await figureOf(name)).figure, look);
      const root = compose(drawing, describe(name, about, card), look);
      const source = serialize(root);
      if (format === "svg") return new Blob([source], { type: "image/svg+xml" });
      return paint(source, { width: root.width.baseVal.value, height: root.height.baseVal.value });
    }

    function captionOf(name) {
      const { title, facts, notes, source } = describe(name, about, card);
      return [title, facts.replaceAll("\u00a0", " "), notes.replace(/\.$/, ""), source].filter(Boolean).join(". ");
    }

    const nameFile = (name, format) => `${card.slug}-${name}-${about.place()}.${format}`;

    return { views, bounds: about.bounds, listFigures, titleOf, captionOf, hash: about.hash, make, nameFile };
  }

  return { SCALES, aboutPage, makeStudio, svg, wrap };
})();
