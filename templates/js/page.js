// The page: reads the blocks, listens to the reader, draws what is selected. The one script that touches the document at load.
globalThis.reportgen ??= {};

reportgen.page = (() => {
  "use strict";

  const {
    payload,
    figures,
    state: states,
    store: stores,
    text,
    pattern,
    scores,
    scoreboard,
    address,
    keys,
  } = reportgen;
  const PLAY_MILLISECONDS = 900;
  /** How far out of sight a figure may be and is drawn all the same. */
  const MARGIN = "300px";
  const byId = (id) => document.getElementById(id);
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

  /** Text of a block; those of layers stand at the end and may not have arrived yet. */
  async function readBlock(name) {
    while (!byId(`block-${name}`) && document.readyState === "loading") await frame();
    // A block that the parser is still inside of is whole once something stands after it, or all is read.
    while (!byId(`block-${name}`).nextSibling && document.readyState === "loading") await frame();
    return byId(`block-${name}`).textContent;
  }

  /** Run BokehJS out of its block; where the site shares it, it has run already. */
  async function startBokeh() {
    if (byId("block-bokeh")) {
      const script = document.createElement("script");
      script.textContent = await payload.decodeText(await readBlock("bokeh"));
      document.head.append(script);
    }
    if (!globalThis.Bokeh) throw new Error("BokehJS is missing; the folder assets must stand beside this page");
  }

  async function readScene() {
    const [content, items, overviewCodes, openingCodes] = await Promise.all([
      readBlock("content").then(payload.decodeJson),
      readBlock("figures").then(payload.decodeJson),
      readBlock("overview").then(payload.decodeBytes),
      readBlock("opening").then(payload.decodeBytes),
      startBokeh(),
    ]);
    const bounds = {
      layers: content.layers,
      heads: content.heads,
      numTokens: content.tokens.length,
      numPromptTokens: content.num_prompt_tokens,
      opening: content.opening,
      scores: Object.keys(content.scores),
    };
    const store = stores.makeStore(content, openingCodes, async (layer) =>
      payload.decodeBytes(await readBlock(`layer-${layer}`)),
    );
    return {
      items,
      scene: {
        name: JSON.parse(byId("card").textContent).slug,
        content,
        bounds,
        overviewCodes,
        store,
        state: states.parse(location.hash, bounds),
      },
    };
  }

  /** Colours of the theme as the browser resolves them, since Bokeh draws on canvases that know no variables. */
  function readTheme() {
    const probe = document.body.appendChild(document.createElement("span"));
    const theme = {};
    for (const name of ["ink", "muted", "line", "accent", "card", "masked", "bar", "bar-chosen", "generated"]) {
      probe.style.color = `var(--${name})`;
      theme[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    return theme;
  }

  function isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function makePage(items, scene) {
    const views = new Map();
    const inView = new Set();
    const pointer = { x: 0, y: 0, type: "mouse" };
    let version = 0;
    let look = 0;
    let drawing = Promise.resolve();
    let turn = Promise.resolve();
    let player = null;
    let markChosen = null;

    /** Take on the colours of the theme; what is in sight is drawn anew. */
    function applyTheme() {
      const chosen = byId("palette").value;
      scene.theme = readTheme();
      scene.palette = scene.content.palettes[chosen === "auto" ? (isDark() ? "magma" : "blues") : chosen];
      look++;
      return draw();
    }

    /** Select something: the address, the controls and every view in sight follow. */
    function select(change, { replace = false } = {}) {
      if (change === null) return;
      scene.state = { ...scene.state, ...change };
      address.write(states.format(scene.state, scene.bounds), replace);
      draw();
    }

    function drawControls() {
      const { state, bounds } = scene;
      byId("layer").value = state.layer;
      byId("head").value = state.head;
      byId("query").value = state.queryPos;
      byId("query").setAttribute(
        "aria-valuetext",
        `position ${state.queryPos}, ${scene.content.tokens[state.queryPos][1]}`,
      );
      byId("scale").value = state.scale;
      byId("first").checked = state.withFirst;
      byId("by").value = state.by;
      byId("head-name").textContent = `L${state.layer} H${state.head}`;
      byId("layer-name").textContent = `layer ${state.layer}`;
      byId("head-number").textContent = `Head ${state.head}`;
      for (const name of document.querySelectorAll("[data-name]")) {
        name.textContent = name.dataset.name === "layer" ? `layer ${state.layer}` : state.head;
      }
      const step = states.stepOf(state.queryPos, bounds);
      if (byId("generation-of")) {
        byId("generation-of").textContent =
          step === null
            ? "the selected query is not a step; ▸ or Play goes to the first"
            : `step ${step} of ${states.numSteps(bounds)}: which context the choice of “${scene.content.tokens[state.queryPos + 1][1]}” could read`;
      }
    }

    function drawScores() {
      const { state, content } = scene;
      if (content.score_kinds.length === 0) return;
      byId("chosen-name").textContent = `L${state.layer} H${state.head}`;
      scoreboard.drawChosen(byId("chosen"), byId("chosen-label"), scene);
      markChosen?.(state);
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      byId("overview-note").textContent = kind
        ? `Colours from 0 to ${scores.format(scores.largest(content, kind.name), kind)}${kind.is_share ? "" : " tokens"}; click a head.`
        : "Click a head.";
    }

    async function drawText(isCurrent) {
      const { state } = scene;
      const codes = await scene.store.headCodes(state.layer, state.head);
      if (!isCurrent()) return;
      const row = pattern.rowOf(codes, state.queryPos);
      text.drawStrip(byId("strip"), scene, row);
      text.drawSentence(byId("sentence"), scene);
      text.drawStrongest(byId("strongest"), byId("strongest-of"), scene, row);
      text.drawNext(byId("next"), byId("next-of"), byId("next-note"), scene);
    }

    /** Draw everything in sight; a later call makes an earlier one stop where it waits. */
    function draw() {
      const mine = ++version;
      const isCurrent = () => mine === version;
      drawControls();
      drawScores();
      drawing = Promise.all([drawText(isCurrent), ...[...inView].map((name) => drawView(name, isCurrent))]);
      return drawing;
    }

    /** Figures come into being when they come into sight: filled first, then shown, so that they are laid out once. */
    async function drawView(name, isCurrent) {
      if (!views.has(name)) views.set(name, makeView(name));
      const view = views.get(name);
      view.turn ??= takeTurn();
      await view.turn;
      // Bokeh does not notice what changes while it builds a figure.
      await view.shown;
      const wanted = `${states.format(scene.state, scene.bounds)} ${view.figure.width} ${look}`;
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

    function makeView(name) {
      const figure = new figures.Figure(byId(`figure-${name}`), items[name]);
      const on = { hover, select: (find) => select(find(scene)) };
      return { figure, drawn: "", turn: null, shown: null, ...reportgen.views.VIEWS[name](figure, on) };
    }

    function hover(find) {
      const cell = find && pointer.type !== "touch" ? find(scene) : null;
      text.drawTooltip(byId("tooltip"), cell ? text.describeCell(cell, scene) : null, pointer);
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

    function play(on) {
      clearInterval(player);
      player = null;
      byId("play").setAttribute("aria-pressed", String(on));
      byId("play").textContent = on ? "Pause" : "Play";
      if (!on) return;
      const steps = states.numSteps(scene.bounds);
      const next = () => {
        const step = states.stepOf(scene.state.queryPos, scene.bounds);
        const following = step === null ? 0 : step + 1;
        if (following >= steps) return play(false);
        select({ queryPos: states.queryPosOfStep(following, scene.bounds) }, { replace: true });
      };
      if (states.stepOf(scene.state.queryPos, scene.bounds) === steps - 1) {
        select({ queryPos: states.queryPosOfStep(0, scene.bounds) }, { replace: true });
      }
      player = setInterval(next, PLAY_MILLISECONDS);
    }

    const go = (what, by) => select(states.move(scene.state, what, by, scene.bounds), { replace: true });

    function toggleTheme() {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      applyTheme();
    }

    const KEYS = {
      ArrowLeft: () => go("query", -1),
      ArrowRight: () => go("query", 1),
      j: () => go("layer", 1),
      k: () => go("layer", -1),
      h: () => go("head", -1),
      l: () => go("head", 1),
      s: () => select({ scale: scene.state.scale === "sqrt" ? "linear" : "sqrt" }),
      f: () => select({ withFirst: !scene.state.withFirst }),
      d: toggleTheme,
      " ": () => byId("play") && play(player === null),
    };
    const OVERVIEW_KEYS = {
      ArrowUp: () => go("layer", -1),
      ArrowDown: () => go("layer", 1),
      ArrowLeft: () => go("head", -1),
      ArrowRight: () => go("head", 1),
    };

    function onKey(event) {
      const action = keys.actionOf(event, KEYS, { "figure-overview": OVERVIEW_KEYS });
      if (!action) return;
      event.preventDefault();
      action();
      // The focus goes along the strip with the selection.
      if (event.target.matches?.(".token"))
        byId("strip").querySelector(`[data-position="${scene.state.queryPos}"]`).focus();
    }

    async function copyLink() {
      const button = byId("copy");
      const said = button.textContent;
      address.flush();
      try {
        await navigator.clipboard.writeText(location.href);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Copy it from the address bar";
      }
      setTimeout(() => (button.textContent = said), 1600);
    }

    function listen() {
      const { bounds } = scene;
      for (const button of document.querySelectorAll("[data-move]")) {
        button.addEventListener("click", () => go(button.dataset.move, Number(button.dataset.by)));
      }
      byId("layer").addEventListener("change", (event) => select({ layer: Number(event.target.value) }));
      byId("head").addEventListener("change", (event) => select({ head: Number(event.target.value) }));
      byId("query").addEventListener("input", (event) =>
        select({ queryPos: Number(event.target.value) }, { replace: true }),
      );
      byId("scale").addEventListener("change", (event) => select({ scale: event.target.value }));
      byId("first").addEventListener("change", (event) => select({ withFirst: event.target.checked }));
      byId("by").addEventListener("change", (event) => select({ by: event.target.value }));
      byId("palette").addEventListener("change", applyTheme);
      byId("play")?.addEventListener("click", () => play(player === null));
      byId("theme").addEventListener("click", toggleTheme);
      byId("copy").addEventListener("click", copyLink);
      byId("strip").addEventListener("click", (event) => {
        const token = event.target.closest(".token");
        if (token) select({ queryPos: states.queryPosOfToken(Number(token.dataset.position), bounds) });
      });
      byId("controls").addEventListener("submit", (event) => event.preventDefault());
      document.addEventListener("keydown", onKey);
      address.onChange(() => {
        scene.state = states.parse(location.hash, bounds);
        draw();
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
      listenToScores();
      listenToPointer();
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

    /** Where the pointer is, for the tooltip, which goes when anything moves beneath it. */
    function listenToPointer() {
      const passive = { capture: true, passive: true };
      const follow = ({ clientX: x, clientY: y, pointerType: type }) => Object.assign(pointer, { x, y, type });
      for (const name of ["pointermove", "pointerdown"]) document.addEventListener(name, follow, passive);
      document.addEventListener("scroll", () => hover(null), passive);
      addEventListener("blur", () => hover(null));
    }

    async function start() {
      listen();
      // One figure before all others: the page answers while the rest is drawn.
      inView.add("head");
      await applyTheme();
      document.documentElement.dataset.ready = "true";
      await painted();
      watchViews();
      await scene.store.readAhead(scene.state.layer);
    }

    return { start, settled: () => drawing };
  }

  async function open() {
    const { items, scene } = await readScene();
    const page = makePage(items, scene);
    // For whoever measures or tests: a promise that holds until what was asked for is given to Bokeh, which paints it in the next frame.
    globalThis.__settled = page.settled;
    await page.start();
  }

  return { open };
})();

reportgen.page.open().catch((error) => {
  const note = document.getElementById("figure-head").appendChild(document.createElement("p"));
  note.className = "wait error";
  note.textContent = `The heatmaps cannot be drawn: ${error.message}.`;
  throw error;
});
