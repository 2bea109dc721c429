// Pictures to take away: a view drawn anew as SVG under its caption. A PNG is the same SVG, painted.
globalThis.reportgen ??= {};

reportgen.picture = (() => {
  "use strict";

  const { sets, shows, state: states, text } = reportgen;
  const NAMESPACE = "http://www.w3.org/2000/svg";
  /** Pixels across that a view may take, whatever the window is. */
  const WIDTH = 960;
  const NARROWEST = 560;
  const MARGIN = 20;
  /** Pixels of a PNG for each of the SVG, as long as browsers take canvases of that size. */
  const RATIO = 2;
  const LONGEST_SIDE = 16000;
  const HONEST = "Weights say where a head reads, not how much it matters.";
  /** What a caption says of the selection, by view. */
  const FACTS = {
    overview: ["head", "by", "scale", "first"],
    logprobs: ["query"],
    grid: ["head", "measure", "query", "scale"],
    lens: ["query", "scale"],
    rollout: ["query", "scale", "first", "words"],
    aggregate: ["over", "show", "query", "scale", "first", "words"],
    pinned: ["pin", "show", "query", "scale", "first", "words"],
    difference: ["less", "show", "query", "scale", "first", "words"],
  };
  /** Of kinds of evidence that have a number for each head and query. */
  const OF_ROWS = ["head", "query", "scale"];
  /** Of views of what heads read, which are all others. */
  const READ = ["head", "show", "query", "scale", "first", "words"];
  const SCALES = { sqrt: "square-root scale", log: "logarithmic scale" };
  const FIRST = { in: "", out: "first token left out", renormalised: "first token left out, rows divided by the rest" };
  const OF_A_PIN = ["pinned", "difference"];
  /** XML cannot say any other character. */
  const NO_XML = /[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** The heading that a view stands under; what a screen reader calls it where it shares the heading with others. */
  function headingOf(element) {
    return element.parentElement.querySelector(":scope > h3") ?? element.closest(".card").querySelector("h2");
  }

  function nameOf(element) {
    const called = element.getAttribute("aria-label");
    if (called && element.matches(".figure")) return called.split(/[.;] /)[0];
    const copy = headingOf(element).cloneNode(true);
    for (const other of copy.querySelectorAll(".hint, button, [popover]")) other.remove();
    return copy.textContent.trim().replace(/\s+/g, " ");
  }

  /** The selection in words, as far as a view depends on it. */
  function sayFacts(name, { state, bounds, content }) {
    const chosen = (id) => document.getElementById(id)?.selectedOptions[0]?.textContent;
    const token = (position) => text.quote(content.tokens[position][1]);
    const step = states.stepOf(state.queryPos, bounds);
    const isScore = name === "overview" && bounds.scores.includes(state.by);
    const pinned = state.pin ? `L${state.pin[0]} H${state.pin[1]}` : "";
    const facts = {
      over: sets.name(state.over, bounds, state),
      pin: pinned,
      less: `L${state.layer} H${state.head} less ${pinned}`,
      words: state.words ? "whole words" : "",
      head: `L${state.layer} H${state.head}`,
      query:
        step === null
          ? `query ${token(state.queryPos)} at ${state.queryPos}`
          : `step ${step}, which chose ${token(state.queryPos + 1)}; query ${token(state.queryPos)} at ${state.queryPos}`,
      show: shows.KINDS[state.show].label,
      by: `by ${chosen("by")}`,
      measure: chosen("measure"),
      scale: isScore ? "" : (SCALES[state.scale] ?? `${state.scale} scale`),
      first: isScore ? "" : FIRST[states.firstOf(state)],
    };
    return (FACTS[name] ?? (reportgen.views.isOfHeads(name) ? READ : OF_ROWS))
      .map((fact) => facts[fact])
      .filter(Boolean);
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

  /** Pixels of images as they are, for whoever shows the SVG to enlarge: Bokeh would take them in the figure's size. */
  function withWholeImages(draw) {
    const { prototype } = Bokeh.loader["core/util/svg"].SVGRenderingContext2D;
    const { drawImage } = prototype;
    prototype.drawImage = function (image, ...place) {
      drawImage.call(this, image, ...place);
      if (!(image instanceof HTMLCanvasElement)) return;
      const drawn = [...this.get_svg().querySelectorAll("image")].at(-1);
      drawn.setAttribute("href", image.toDataURL());
      drawn.setAttribute("style", "image-rendering: pixelated");
    };
    try {
      return draw();
    } finally {
      prototype.drawImage = drawImage;
    }
  }

  /** A place of a fixed width where nobody looks; it goes when `draw` is done with it. */
  async function offstage(draw) {
    const stage = text.element("div", { class: "offstage", style: { width: `${WIDTH}px` } });
    stage.inert = true;
    document.body.append(stage);
    try {
      return await draw(stage);
    } finally {
      stage.remove();
    }
  }

  /** Draw a figure once more, zoomed as the one on the page is; return its SVG and what it says of its colours. */
  function drawFigure(name, scene, { makeView, viewOf }) {
    return offstage(async (stage) => {
      const { figure, draw } = makeView(name, stage.appendChild(document.createElement("div")));
      figure.pixelRatio = RATIO;
      figure.plot.toolbar_location = null;
      figure.setTheme(scene.theme);
      await draw(scene, () => true);
      figure.zoomAs(viewOf(name)?.figure);
      await figure.show();
      const drawn = withWholeImages(() => Bokeh.index.find_one(figure.plot).export("svg"));
      const { width, height } = drawn.bbox;
      figure.remove();
      const node = drawn.ctx.get_svg();
      // Bokeh writes every text a second time, for an outline that is not there.
      for (const unseen of node.querySelectorAll('text[stroke-opacity="0"]')) unseen.remove();
      return { node, width, height, said: figure.said };
    });
  }

  /** What is written above a view and below it, as the page stands now. */
  function describe(name, { state, bounds, content }, card) {
    const element = document.querySelector(`[data-figure="${name}"]`);
    const called = nameOf(element);
    const revision = document.querySelector(".eyebrow code")?.textContent;
    const facts = sayFacts(name, { state, bounds, content }).filter((fact) => !called.includes(fact));
    const shade = [...element.closest(".card").querySelectorAll(".shade")].find((one) => one.checkVisibility());
    const ofWeights =
      name === "overview"
        ? state.by === "pattern"
        : (FACTS[name] ?? (reportgen.views.isOfHeads(name) ? READ : OF_ROWS)).includes("show") &&
          state.show !== "attribution";
    return {
      title: card.title,
      facts: [revision ? `${card.model} at ${revision}` : card.model, called, ...facts].join("\u00a0· "),
      notes: [shade && `Hatched: ${shade.textContent}`, ofWeights && HONEST],
      source: `${document.querySelector("[name=generator]").content} · ${card.slug}.html${states.format(state, bounds)}`,
    };
  }

  /** Put a drawing between what is written of it. */
  function compose({ node, width, height, said }, { title, facts, notes, source }, theme) {
    const { fontFamily } = getComputedStyle(document.body);
    const across = Math.max(NARROWEST, width);
    const sentences = [said.replace(/^\W+/, ""), ...notes].filter(Boolean).map((one) => one.replace(/[^.]$/, "$&."));
    let y = MARGIN - 6;
    const write = (words, size, color, weight = 400) =>
      wrap(words, across, `${weight} ${size}px ${fontFamily}`).map((line) => {
        y += size * 1.4;
        return svg("text", { x: MARGIN, y, "font-size": size, "font-weight": weight, fill: color }, line);
      });
    const head = [...write(title, 16, theme.ink, 600), ...write(facts, 13, theme.muted)];
    y += 10;
    const body = svg("g", { transform: `translate(${MARGIN} ${y})` }, ...node.childNodes);
    y += height;
    const foot = [...write(sentences.join(" "), 12, theme.muted), ...write(source, 11, theme.muted)];
    const size = { width: across + 2 * MARGIN, height: Math.ceil(y + MARGIN - 4) };
    return svg(
      "svg",
      { ...size, viewBox: `0 0 ${size.width} ${size.height}`, "font-family": fontFamily },
      svg("title", {}, title),
      svg("rect", { ...size, fill: theme.card }),
      ...head,
      body,
      ...foot,
    );
  }

  /** The text of an SVG. Bokeh makes ids up at random; the same picture has the same bytes. */
  function serialize(root) {
    const names = new Map([...root.querySelectorAll("[id]")].map(({ id }, i) => [id, `part-${i}`]));
    for (const element of root.querySelectorAll("*")) {
      if (element.id) element.id = names.get(element.id);
      for (const attribute of element.attributes) {
        attribute.value = attribute.value.replace(/url\(#(\w+)\)/g, (_, id) => `url(#${names.get(id)})`);
      }
    }
    const made = new XMLSerializer().serializeToString(root).replace(NO_XML, "\uFFFD");
    return `<?xml version="1.0" encoding="UTF-8"?>\n${made}\n`;
  }

  async function paint(source, { width, height }) {
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(source)}`;
    await image.decode();
    const ratio = Math.min(RATIO, LONGEST_SIDE / Math.max(width, height));
    const canvas = Object.assign(document.createElement("canvas"), { width: width * ratio, height: height * ratio });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }

  /**
   * @param {object} page `{scene, card, makeView(name, element), viewOf(name)}`
   * @returns {{views: string[], make: (name: string, format: "svg" | "png") => Promise<Blob>, nameFile: Function}}
   */
  function makeStudio({ scene, card, makeView, viewOf }) {
    const views = [...document.querySelectorAll("[data-figure]")].map(({ dataset }) => dataset.figure);

    async function make(name, format) {
      if (OF_A_PIN.includes(name) && !scene.state.pin) throw new Error("no head is pinned; name one, as pin=3.7");
      // What is selected now, whatever is selected while it is drawn.
      const still = { ...scene };
      const words = describe(name, still, card);
      const drawing = await (name === "text"
        ? offstage((stage) => reportgen.strip.draw(stage, still))
        : drawFigure(name, still, { makeView, viewOf }));
      const root = compose(drawing, words, still.theme);
      const source = serialize(root);
      if (format === "svg") return new Blob([source], { type: "image/svg+xml" });
      return paint(source, { width: root.width.baseVal.value, height: root.height.baseVal.value });
    }

    function nameFile(name, format) {
      const { layer, head, queryPos } = scene.state;
      const step = states.stepOf(queryPos, scene.bounds);
      return `${card.slug}-${name}-L${layer}-H${head}-${step === null ? `query-${queryPos}` : `step-${step}`}.${format}`;
    }

    return { views, make, nameFile };
  }

  return { makeStudio, headingOf, nameOf, svg, wrap };
})();
