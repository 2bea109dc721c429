// The page: reads the blocks, listens to the reader, draws what is selected. The one script that touches the document at load.
globalThis.reportgen ??= {};

reportgen.page = (() => {
  "use strict";

  const {
    figures,
    kinds,
    state: states,
    text,
    theme,
    blocks,
    captions,
    controls,
    lines,
    cite,
    embed,
    player,
    ramps,
    scoreboard,
    strongest,
    address,
    keys,
    words,
  } = reportgen;
  /** How far out of sight a figure may be and is drawn all the same. */
  const MARGIN = "300px";
  /** How long a selection stands before figures out of sight are drawn for it. */
  const REST_MILLISECONDS = 1200;
  /** How long the pointer rests on something before that is shown. */
  const PREVIEW_MILLISECONDS = 90;
  const byId = (id) => document.getElementById(id);
  const idle = () => new Promise((done) => (globalThis.requestIdleCallback ?? setTimeout)(done));
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

  function makePage(items, scene, card) {
    const [palettes, diverging] = [scene.content.palettes, scene.content.diverging].map(ramps.decode);
    const views = new Map();
    const inView = new Set();
    const pointer = reportgen.pointer.follow((scrolled) => {
      hover(null);
      if (scrolled === document) preview(null);
    });
    let version = 0;
    let look = 0;
    let drawing = Promise.resolve();
    let turn = Promise.resolve();
    let playing = null;
    let dialogs = null;
    let markChosen = null;
    /** Evidence stands behind the first heatmap in the file: before that is drawn, nobody waits for it. */
    let begun = false;
    let pointed = 0;
    /** What is selected while something else is shown in passing. */
    let kept = null;
    let passing = 0;
    /** What is waited for before it is shown of what is pointed at: in the page, in the tooltip. */
    let [resting, describing] = [Promise.resolve(), Promise.resolve()];

    /** Take on the colours of the theme; what is in sight is drawn anew. */
    function applyTheme() {
      const chosen = byId("palette").value;
      scene.theme = theme.readColors();
      scene.palette = palettes[chosen === "auto" ? (theme.isDark() ? "magma" : "blues") : chosen];
      scene.diverging = diverging[theme.isDark() ? "dark" : "light"];
      look++;
      return draw();
    }

    /** Select something: the address, the controls and every view in sight follow. */
    function select(change, { replace = false } = {}) {
      if (change === null) return;
      unpreview();
      scene.state = { ...scene.state, ...change };
      address.write(states.format(scene.state, scene.bounds), replace);
      draw();
    }

    /** Show in the text and in the heatmap of the head what is pointed at, for as long as it is; null ends that. */
    function preview(change) {
      const mine = ++passing;
      if (change !== null || kept !== null) resting = showAfterRest(change, () => mine === passing);
    }

    async function showAfterRest(change, isCurrent) {
      await new Promise((done) => setTimeout(done, PREVIEW_MILLISECONDS));
      // What is being drawn for the selection is not left half done for what is only passed over.
      if (isCurrent()) await drawing;
      if (isCurrent()) await showInPassing(change);
    }

    function showInPassing(change) {
      const before = kept ?? scene.state;
      kept = change && before;
      scene.state = change ? { ...before, ...change } : before;
      markPassing();
      if (change === null) return draw();
      const mine = ++version;
      captions.drawNames(scene.state, scene.content);
      const isCurrent = () => mine === version;
      drawing = Promise.all([drawText(isCurrent), "head" in items && drawView("head", isCurrent)]);
      return drawing;
    }

    /** Say whether something is shown in passing; the sentence grows no shorter by it, which would move what is pointed at. */
    function markPassing() {
      document.documentElement.toggleAttribute("data-preview", kept !== null);
      byId("sentence").style.minHeight = kept ? `${byId("sentence").offsetHeight}px` : "";
    }

    /** Back to what is selected, before something else is. */
    function unpreview() {
      passing++;
      if (kept) scene.state = kept;
      kept = null;
      markPassing();
    }

    function drawScores() {
      const { state, content } = scene;
      if (content.score_kinds.length === 0) return;
      byId("chosen-name").textContent = `L${state.layer} H${state.head}`;
      scoreboard.drawChosen(byId("chosen"), byId("chosen-label"), scene);
      markChosen?.(state);
    }

    /** First what the weights say, which is there at once; then what evidence adds to it. */
    async function drawText(isCurrent) {
      const { layer, head, queryPos, show } = scene.state;
      text.drawSentence(byId("sentence"), scene);
      text.drawNext(byId("next"), byId("next-of"), byId("next-note"), scene);
      for (const asked of [
        ["weight"],
        ...(begun && scene.bounds.heatmap_modes.length > 1 ? [scene.bounds.heatmap_modes] : []),
      ]) {
        const row = await scene.evidence.row(layer, head, queryPos, asked, scene.state);
        if (!isCurrent()) return;
        if (!begun || asked.includes(show)) strongest.draw(byId("strongest"), byId("strongest-of"), scene, row);
        if (asked.includes(show)) drawStrip(row[show]);
      }
    }

    function drawStrip(row) {
      const nothing = new Float32Array(scene.state.queryPos + 1);
      text.drawStrip(byId("strip"), scene, row ?? nothing, scene.state.show === "attribution");
      lines.draw(byId("strip"), scene, row);
    }

    /** Draw everything in sight; a later call makes an earlier one stop where it waits. */
    function draw() {
      const mine = ++version;
      const isCurrent = () => mine === version;
      scene.store.prefer(scene.state.layer);
      captions.draw(scene);
      embed.say(cite.sayPlace(scene));
      drawScores();
      drawing = Promise.all([drawText(isCurrent), ...[...inView].map((name) => drawView(name, isCurrent))]);
      drawAhead(isCurrent);
      return drawing;
    }

    /** Draw what is out of sight too once the selection rests, one figure after the other, so that all of it can be printed. */
    async function drawAhead(isCurrent) {
      await drawing;
      await new Promise((done) => setTimeout(done, REST_MILLISECONDS));
      for (const name of begun ? Object.keys(items).filter((name) => byId(`figure-${name}`).clientWidth) : []) {
        await idle();
        if (!isCurrent()) return;
        await drawView(name, isCurrent);
      }
    }

    /** Before printing, which waits for nothing: mark the figures that show no longer, or not yet, what is selected. */
    function markStale() {
      byId("on-paper").textContent = cite.sayOnPaper(scene);
      for (const name of Object.keys(items)) {
        const view = views.get(name);
        view?.figure.fitPaper();
        const place = byId(`figure-${name}`);
        place.toggleAttribute("data-stale", place.checkVisibility() && (!view || view.drawn !== wantedOf(view)));
      }
    }

    const wantedOf = (view) => `${states.format(scene.state, scene.bounds)} ${view.figure.width} ${look}`;

    /** Figures come into being when they come into sight: filled first, then shown, so that they are laid out once. */
    async function drawView(name, isCurrent) {
      if (!views.has(name)) views.set(name, makeView(name));
      const view = views.get(name);
      view.turn ??= takeTurn();
      await view.turn;
      // Bokeh does not notice what changes while it builds a figure.
      await view.shown;
      const wanted = wantedOf(view);
      if (!isCurrent() || view.drawn === wanted) return;
      view.figure.setTheme(scene.theme);
      await view.draw(scene, isCurrent);
      if (!isCurrent()) return;
      view.drawn = wanted;
      view.shown ??= view.figure.show();
      await view.shown;
    }

    /** Building a figure takes some frames' time: each waits until the one before is painted, so that the page answers. */
    function takeTurn() {
      const mine = turn;
      turn = turn.then(painted);
      return mine;
    }

    function makeView(name, element = byId(`figure-${name}`)) {
      const figure = new figures.Figure(element, items[name]);
      const pass = (find) => preview(find && pointer.type !== "touch" ? find(scene) : null);
      const on = { hover, preview: pass, select: (find) => select(find(scene)) };
      return { figure, drawn: "", turn: null, shown: null, ...reportgen.views.viewOf(name)(figure, on) };
    }

    function hover(find) {
      const mine = ++pointed;
      const cell = find && pointer.type !== "touch" ? find(scene) : null;
      describing = drawTooltip(cell, () => mine === pointed);
    }

    /** Show what is known of the cell under the pointer, unless it has moved on by then. */
    async function drawTooltip(cell, isCurrent) {
      const known = cell?.layer === undefined ? cell : { ...cell, lines: await describe(cell) };
      if (isCurrent()) text.drawTooltip(byId("tooltip"), known && text.describeCell(known, scene), pointer);
    }

    async function describe({ layer, head, queryPos, keyPos }) {
      const row = await scene.evidence.row(layer, head, queryPos, scene.content.heatmap_modes, scene.state);
      return strongest.describe(row, words.units(scene).of(keyPos), kinds.kindOf(scene.content, layer));
    }

    /** Figures are kept up to date as long as they are in sight, and follow the width that they have. */
    function watchViews() {
      const sight = new IntersectionObserver(
        (entries) => {
          for (const { target, isIntersecting } of entries)
            inView[isIntersecting ? "add" : "delete"](target.dataset.figure);
          draw();
        },
        { rootMargin: MARGIN },
      );
      const size = new ResizeObserver(() => {
        if ([...views.values()].filter(({ figure }) => figure.measure()).length > 0) draw();
      });
      for (const element of document.querySelectorAll(".figure")) {
        sight.observe(element);
        size.observe(element);
      }
    }

    function go(what, by) {
      unpreview();
      select(states.move(scene.state, what, by, scene.bounds), { replace: true });
    }

    function toggleTheme() {
      theme.toggle();
      applyTheme();
    }

    const KEYS = {
      ArrowLeft: () => go("query", -1),
      ArrowRight: () => go("query", 1),
      j: () => go("layer", 1),
      k: () => go("layer", -1),
      h: () => go("head", -1),
      l: () => go("head", 1),
      s: () => select(states.cycleScale(scene.state)),
      f: () => select(states.cycleFirst(scene.state)),
      t: () => select({ words: !scene.state.words }),
      a: () => select({ lines: !scene.state.lines }),
      m: () => select({ marks: !scene.state.marks }),
      p: () => select(states.pin(scene.state)),
      w: () => select(states.cycleShow(scene.state, scene.bounds)),
      d: toggleTheme,
      n: () => go("step", 1),
      b: () => go("step", -1),
      c: () => dialogs.open("cite"),
      "?": () => dialogs.open("keys"),
      " ": () => playing?.toggle(),
    };
    const OVERVIEW_KEYS = {
      ArrowUp: () => go("layer", -1),
      ArrowDown: () => go("layer", 1),
      ArrowLeft: () => go("head", -1),
      ArrowRight: () => go("head", 1),
    };

    function onKey(event) {
      if (document.querySelector("dialog[open]")) return;
      const action = keys.actionOf(event, KEYS, { "figure-overview": OVERVIEW_KEYS });
      if (!action) return;
      event.preventDefault();
      unpreview();
      action();
      // The focus goes along the strip with the selection.
      if (event.target.matches?.(".token"))
        byId("strip").querySelector(`[data-position="${scene.state.queryPos}"]`).focus();
    }

    function listen() {
      const { bounds } = scene;
      controls.listen(scene, select, go);
      byId("palette").addEventListener("change", applyTheme);
      if (byId("play")) {
        const buttons = [...document.querySelectorAll("[data-play]")];
        playing = player.makePlayer(buttons, scene, (queryPos) => select({ queryPos }, { replace: true }));
      }
      byId("theme").addEventListener("click", toggleTheme);
      byId("strip").addEventListener("click", (event) => {
        const token = event.target.closest(".token");
        if (token) select({ queryPos: states.queryPosOfToken(Number(token.dataset.position), bounds) });
      });
      for (const name of ["pointerover", "pointerleave"]) {
        byId("strip").addEventListener(name, ({ target, pointerType }) => {
          const token = pointerType === "touch" || name === "pointerleave" ? null : target.closest(".token");
          preview(token && { queryPos: states.queryPosOfToken(Number(token.dataset.position), bounds) });
        });
      }
      byId("controls").addEventListener("submit", (event) => event.preventDefault());
      document.addEventListener("keydown", onKey);
      addEventListener("beforeprint", markStale);
      address.onChange(() => {
        unpreview();
        scene.state = states.parse(location.hash, bounds);
        draw();
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
      listenToScores();
    }

    function listenToScores() {
      for (const button of document.querySelectorAll("[data-layer]")) {
        button.addEventListener("click", () =>
          select({ layer: Number(button.dataset.layer), head: Number(button.dataset.head) }),
        );
      }
      // Hundreds of rows: they are made when somebody asks for them.
      byId("all-heads")?.addEventListener("toggle", () => {
        markChosen ??= scoreboard.makeTable(byId("heads"), scene.content, select);
        markChosen(scene.state);
      });
    }

    const studio = reportgen.picture.makeStudio({ scene, card, makeView, viewOf: (name) => views.get(name) });

    async function start() {
      listen();
      reportgen.save.listen(byId("save"), studio);
      dialogs = reportgen.dialogs.listen({
        cite: () => {
          address.flush();
          cite.fill(scene, card);
        },
      });
      // One figure before all others: the page answers while the rest is drawn.
      for (const first of "head" in items ? ["head"] : Object.keys(items)) inView.add(first);
      await applyTheme();
      document.documentElement.dataset.ready = "true";
      await painted();
      begun = true;
      watchViews();
      await scene.store.readAhead(scene.state.layer);
    }

    return { start, studio, settled: () => Promise.all([describing, resting]).then(() => drawing) };
  }

  async function open() {
    const card = JSON.parse(byId("card").textContent);
    const alone = embed.asked();
    if (alone !== null && !embed.show(alone, card)) return;
    const { items, scene } = await blocks.readScene(card.slug);
    const page = makePage(alone === null ? items : embed.only(items, alone), scene, card);
    // For whoever measures or tests: a promise that holds until what was asked for is given to Bokeh, which paints it in the next frame.
    globalThis.__settled = page.settled;
    // For reportgen export: the pictures that the page saves.
    globalThis.__studio = page.studio;
    await page.start();
  }

  return { open };
})();

reportgen.page.open().catch(reportgen.boot.fail);
