// What page and comparison have in common: figures are drawn one after the other, those in sight first; they follow their
// size; the pointer shows what is known of a cell and tints the same token and head elsewhere; a click selects.
globalThis.reportgen ??= {};

reportgen.viewer = (() => {
  "use strict";

  const { figure: figures, text, theme, ramps } = reportgen;
  /** How far out of sight a figure may be and is drawn all the same. */
  const MARGIN = "300px";
  /** How long a selection stands before figures out of sight are drawn for it. */
  const REST_MILLISECONDS = 1200;
  const OPENING_PALETTES = { light: "blues", dark: "night" };
  const byId = (id) => document.getElementById(id);
  const idle = () => new Promise((done) => (globalThis.requestIdleCallback ?? setTimeout)(done));
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

  /**
   * @param {object} page
   * @param {object} page.item JSON item of every figure
   * @param {string[]} page.first names of the figures that are drawn before the page says that it is ready
   * @param {{palettes: object, diverging: object}} page.ramps as the page's data have them
   * @param {object[]} page.scenes all that take on the colours of the theme
   * @param {(name: string) => object} page.sceneOf the scene that a figure shows
   * @param {(name: string) => (figure: object, scene: object) => object} page.viewOf what draws a figure
   * @param {() => string} page.stateKey what is selected, as a text
   * @param {(isCurrent: () => boolean) => Promise} page.drawRest everything that is no figure
   * @param {(change: object | null, name: string) => void} page.select
   * @param {(cell: object, name: string) => Promise<string[]>} page.describe what is known of a cell, line by line
   * @param {(cell: object | null, name: string) => void} page.brush tints what is no figure
   */
  function make(page) {
    const [palettes, diverging] = [page.ramps.palettes, page.ramps.diverging].map(ramps.decode);
    const elements = new Map([...document.querySelectorAll(".heatmap")].map((one) => [one.dataset.figure, one]));
    const views = new Map();
    const inSight = new Set(page.first);
    const pointer = reportgen.pointer.follow(() => hover(null));
    let [version, look, pointed] = [0, 0, 0];
    let turn = Promise.resolve();
    /** @type {Promise<any>[]} what is in its place, what is built by Bokeh, what the tooltip says */
    let [shown, built, describing] = [Promise.resolve(), Promise.resolve(), Promise.resolve()];
    /** What the pictures show that stand where no figure is drawn yet; nothing where the address selects something. */
    const opening = "waits" in document.documentElement.dataset ? null : page.stateKey();

    /** Take on the colours of the theme, or those that the reader chose. */
    function setColors() {
      const chosen = byId("palette")?.value ?? "auto";
      const name = theme.isDark() ? "dark" : "light";
      for (const scene of page.scenes) {
        scene.palette = palettes[chosen === "auto" ? OPENING_PALETTES[name] : chosen];
        scene.diverging = diverging[name];
      }
      look++;
    }

    function applyTheme() {
      setColors();
      draw();
    }

    /** Draw everything in sight, and build what of it is a picture yet; a later call makes an earlier one stop where it waits. */
    function draw() {
      const mine = ++version;
      const isCurrent = () => mine === version;
      hidePictures();
      const names = [...elements.keys()].filter((name) => inSight.has(name));
      const drawn = names.map((name) => drawView(name, isCurrent));
      shown = Promise.all([page.drawRest(isCurrent), ...drawn]);
      shown.then(() => isCurrent() && delete document.documentElement.dataset.waits);
      built = Promise.all([shown, ...names.map((name, i) => drawn[i].then(() => build(name, isCurrent)))]);
      drawAhead(isCurrent);
      return built;
    }

    /** Hide the pictures of another selection, until their figures are drawn. */
    function hidePictures() {
      for (const [name, element] of elements)
        element.toggleAttribute("data-waits", !views.get(name)?.drawn && !isOpening());
    }

    /** Whether the pictures that the page came with show what is selected. */
    const isOpening = () => look === 1 && page.stateKey() === opening;

    /** Draw what is out of sight too once the selection rests, so that all of it can be printed. */
    async function drawAhead(isCurrent) {
      await built;
      await new Promise((done) => setTimeout(done, REST_MILLISECONDS));
      for (const name of elements.keys()) {
        await idle();
        if (!isCurrent()) return;
        await build(name, isCurrent);
      }
    }

    const wantedOf = (view) => `${page.stateKey()} ${view.figure.width} ${look}`;

    /** Draw a figure, unless the picture that the page came with is right. */
    async function drawView(name, isCurrent) {
      if (views.get(name)?.drawn || !isOpening()) await redraw(name, isCurrent);
    }

    /** Draw a figure, as a picture where Bokeh's is not built yet. */
    async function redraw(name, isCurrent) {
      if (!views.has(name)) views.set(name, makeView(name, elements.get(name)));
      const view = views.get(name);
      const wanted = wantedOf(view);
      // A phone shows the labels of some figures alone.
      const isVisible = view.figure.width > 0 || elements.get(name).clientWidth > 0;
      if (!isVisible || view.drawn === wanted) return;
      await view.draw(page.sceneOf(name), isCurrent);
      if (!isCurrent() || !view.figure.drawing) return;
      view.drawn = wanted;
      delete elements.get(name).dataset.waits;
    }

    /** Draw a figure, and build it by Bokeh. */
    async function build(name, isCurrent) {
      await redraw(name, isCurrent);
      const view = views.get(name);
      if (!view.drawn) return;
      if (!view.building) await takeTurn();
      if (isCurrent()) view.building ??= view.figure.show();
      await view.building;
    }

    /** Building a figure takes some frames' time: each waits until the one before is painted, so that the page answers. */
    function takeTurn() {
      const mine = turn;
      turn = turn.then(painted);
      return mine;
    }

    /** Draw a figure for what is selected now, wherever it stands. */
    async function drawNow(name) {
      await shown;
      await redraw(name, () => true);
      if (!views.get(name).figure.drawing) throw new Error(`the figure ${name} cannot be drawn for this selection`);
    }

    function makeView(name, element) {
      const figure = new figures.Figure(element, page.item);
      const scene = page.sceneOf(name);
      const view = { figure, drawn: "", building: null, ...page.viewOf(name)(figure, scene) };
      const at = (x, y) => (figure.drawing ? (view.at?.(x, y, page.sceneOf(name)) ?? null) : null);
      figure.listen({
        move: (x, y) => pointer.type !== "touch" && hover(at(x, y), name),
        leave: () => hover(null),
        tap: (x, y) => tap(at(x, y), name),
        drag: (place) => {
          const range = view.rangeOf?.(place);
          if (range) page.select({ range }, name);
        },
      });
      return view;
    }

    function tap(cell, name) {
      if (cell === null) return;
      page.select(views.get(name).selectOf(cell, page.sceneOf(name)), name);
      const place = byId("tapped");
      if (place && pointer.type === "touch")
        describe(cell, name).then((known) => place.replaceChildren(...text.describeCell(known, page.sceneOf(name))));
    }

    /** Tint a token and a head in every figure; null ends that. */
    function brush(cell) {
      for (const view of views.values())
        if (view.figure.drawing) view.figure.brush(cell ? (view.brushOf?.(cell) ?? []) : []);
    }

    /** Show what is known of a cell, and tint the same token and head elsewhere; null ends that. */
    function hover(cell, name) {
      const mine = ++pointed;
      brush(cell);
      page.brush(cell, name);
      describing = drawTooltip(cell, name, () => mine === pointed);
    }

    async function describe(cell, name) {
      const view = views.get(name);
      const own = cell.layer === undefined ? "" : `L${cell.layer} H${cell.head}`;
      const lines = await (view.lines && (cell.keyPos !== null || view.showsRows)
        ? view.lines(cell, page.sceneOf(name))
        : page.describe(cell, name));
      return { ...cell, name: view.nameOf?.(cell) ?? own, lines };
    }

    /** The tooltip of the cell under the pointer, unless it has moved on by then. */
    async function drawTooltip(cell, name, isCurrent) {
      const known = cell && (await describe(cell, name));
      if (isCurrent())
        text.drawTooltip(byId("tooltip"), known && text.describeCell(known, page.sceneOf(name)), pointer);
    }

    /** Figures are kept up to date as long as they are in sight, and follow the size that they have: first say which are. */
    function watch() {
      /** @type {(value?: any) => void} */
      let known = draw;
      const first = new Promise((done) => {
        known = done;
      });
      const sight = new IntersectionObserver(
        (entries) => {
          for (const { target, isIntersecting } of entries)
            inSight[isIntersecting ? "add" : "delete"](target.dataset.figure);
          known();
          known = draw;
        },
        { rootMargin: MARGIN },
      );
      const size = new ResizeObserver((entries) => {
        for (const { target } of entries) views.get(target.closest(".heatmap").dataset.figure)?.figure.refit();
      });
      for (const element of elements.values()) {
        sight.observe(element);
        size.observe(element.querySelector(".cells"));
      }
      return first;
    }

    /** Before printing, which waits for nothing: mark the figures that show no longer, or not yet, what is selected. */
    function prepareForPaper() {
      for (const [name, element] of elements) {
        const view = views.get(name);
        const isThere = view?.drawn
          ? view.drawn === wantedOf(view)
          : element.querySelector(".still") !== null && page.stateKey() === opening;
        element.toggleAttribute("data-stale", element.checkVisibility() && !isThere);
        if (view?.figure.isShown) view.figure.showPictures("printed");
      }
    }

    async function start() {
      addEventListener("beforeprint", prepareForPaper);
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
      byId("theme").addEventListener("click", toggleTheme);
      byId("palette")?.addEventListener("change", applyTheme);
      setColors();
      hidePictures();
      await Promise.all(page.first.map((name) => build(name, () => true)));
      document.documentElement.dataset.ready = "true";
      // The rest waits until that is seen: Bokeh paints in the frame after the next.
      shown = painted().then(painted);
      built = shown.then(watch).then(draw);
      await shown;
    }

    /** Wait for the tooltip, and for something that a later drawing may take the place of meanwhile. */
    async function wait(last) {
      await describing;
      for (let mine = null; mine !== last(); ) {
        mine = last();
        await mine;
      }
    }

    function toggleTheme() {
      theme.toggle();
      applyTheme();
    }

    return {
      start,
      draw,
      drawNow,
      brush,
      toggleTheme,
      makeView,
      viewOf: (name) => views.get(name),
      names: () => [...elements.keys()],
      shown: () => wait(() => shown),
      settled: () => wait(() => built),
    };
  }

  /**
   * Open the page, or the one figure of it that its address asks for.
   * @param {(card: object, alone: string | null) => Promise<any>} read what the page is made of, and makes it
   */
  async function open(read) {
    const card = JSON.parse(byId("card").textContent);
    const alone = reportgen.embed.asked();
    if (alone !== null && !reportgen.embed.show(alone, card)) return;
    const page = await read(card, alone);
    // For whoever measures or tests: promises that hold until what was asked for is in its place, to be painted in the next
    // frame, and until Bokeh's figures of it are there too.
    globalThis.__shown = page.shown;
    globalThis.__settled = page.settled;
    // For reportgen export: the pictures that the page saves.
    globalThis.__studio = page.studio;
    await page.start();
  }

  return { make, open };
})();
