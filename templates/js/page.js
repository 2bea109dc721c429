// The page: reads the blocks, listens to the reader, draws what is selected. The one script that touches the document at load.
globalThis.reportgen ??= {};

reportgen.page = (() => {
  "use strict";

  const { payload, figures, heatmaps, state: states, store: stores, text, pattern } = reportgen;
  const PLAY_MILLISECONDS = 900;
  const MARGIN = "300px";
  const byId = (id) => document.getElementById(id);
  const frame = () => new Promise((done) => requestAnimationFrame(done));

  /** Text of a block; those of layers stand at the end and may not have arrived yet. */
  async function readBlock(name) {
    while (!byId(`block-${name}`) && document.readyState === "loading") await frame();
    // A block that the parser is still inside of is whole once something stands after it, or all is read.
    while (!byId(`block-${name}`).nextSibling && document.readyState === "loading") await frame();
    return byId(`block-${name}`).textContent;
  }

  /** Run BokehJS out of its block; where the site shares it, it has run already. */
  async function startBokeh() {
    if (!byId("block-bokeh")) return;
    const script = document.createElement("script");
    script.textContent = await payload.decodeText(await readBlock("bokeh"));
    document.head.append(script);
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
    };
    const store = stores.makeStore(content, openingCodes, async (layer) => payload.decodeBytes(await readBlock(`layer-${layer}`)));
    return { items, scene: { content, bounds, overviewCodes, store, state: states.parse(location.hash, bounds) } };
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
    const pointer = { x: 0, y: 0 };
    let version = 0;
    let drawing = Promise.resolve();
    let player = null;

    function applyTheme() {
      scene.theme = readTheme();
      const chosen = byId("palette").value;
      scene.palette = scene.content.palettes[chosen === "auto" ? (isDark() ? "magma" : "blues") : chosen];
      for (const [name, { figure }] of views) {
        figure.setTheme(scene.theme, ["head", "step_heads", "step_layers"].includes(name) ? scene.theme.masked : null);
      }
    }

    /** Select something: the address, the controls and every view in sight follow. */
    function select(change, { replace = false } = {}) {
      if (change === null) return;
      scene.state = { ...scene.state, ...change };
      const address = states.format(scene.state, scene.bounds);
      if (address !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", address);
      draw();
    }

    function drawControls() {
      const { state, bounds } = scene;
      byId("layer").value = state.layer;
      byId("head").value = state.head;
      byId("query").value = state.queryPos;
      byId("query").setAttribute("aria-valuetext", `position ${state.queryPos}, ${scene.content.tokens[state.queryPos][1]}`);
      byId("scale").value = state.scale;
      byId("first").checked = state.withFirst;
      byId("head-name").textContent = `L${state.layer} H${state.head}`;
      byId("layer-name").textContent = `layer ${state.layer}`;
      byId("head-number").textContent = `Head ${state.head}`;
      for (const name of document.querySelectorAll("[data-name]")) {
        name.textContent = name.dataset.name === "layer" ? `layer ${state.layer}` : state.head;
      }
      const step = states.stepOf(state.queryPos, bounds);
      if (byId("generation-of")) {
        byId("generation-of").textContent = step === null ? "the selected query is not a step; ▸ or Play goes to the first" : `step ${step} of ${states.numSteps(bounds)}: which context the choice of “${scene.content.tokens[state.queryPos + 1][1]}” could read`;
      }
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
      const shown = [...views].filter(([name]) => inView.has(name)).map(([, view]) => view.draw(scene, isCurrent));
      drawing = Promise.all([drawText(isCurrent), ...shown]).then(frame);
      return drawing;
    }

    function hover(find) {
      const cell = find && find(scene);
      text.drawTooltip(byId("tooltip"), cell ? text.describeCell(cell, scene) : null, pointer);
    }

    async function addView(name) {
      const element = byId(`figure-${name}`);
      const figure = await figures.embed(element, { ...items[name], target_id: element.id });
      const on = { hover, select: (find) => select(find(scene)) };
      views.set(name, { figure, ...heatmaps.VIEWS[name](figure, on) });
      applyTheme();
    }

    /** Figures come into being when they come into sight, and are kept up to date as long as they are. */
    function watchViews() {
      const started = new Set(views.keys());
      const observer = new IntersectionObserver(
        async (entries) => {
          for (const { target, isIntersecting } of entries) {
            const { figure: name } = target.dataset;
            if (!isIntersecting) {
              inView.delete(name);
              continue;
            }
            inView.add(name);
            if (!started.has(name)) {
              started.add(name);
              await addView(name);
            }
          }
          draw();
        },
        { rootMargin: MARGIN },
      );
      for (const element of document.querySelectorAll(".figure")) observer.observe(element);
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
      draw();
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
      const target = event.target;
      const typing = target.matches("input[type=range], select, input[type=search]");
      const pressing = event.key === " " && target.matches("button, input, summary");
      if (typing || pressing || event.ctrlKey || event.metaKey || event.altKey) return;
      const action = (target.id === "figure-overview" && OVERVIEW_KEYS[event.key]) || KEYS[event.key];
      if (!action) return;
      event.preventDefault();
      action();
      if (target.matches(".token")) byId("strip").querySelector('[aria-pressed="true"]').focus();
    }

    async function copyLink() {
      const button = byId("copy");
      const said = button.textContent;
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
      byId("query").addEventListener("input", (event) => select({ queryPos: Number(event.target.value) }, { replace: true }));
      byId("scale").addEventListener("change", (event) => select({ scale: event.target.value }));
      byId("first").addEventListener("change", (event) => select({ withFirst: event.target.checked }));
      byId("palette").addEventListener("change", () => {
        applyTheme();
        draw();
      });
      byId("play")?.addEventListener("click", () => play(player === null));
      byId("theme").addEventListener("click", toggleTheme);
      byId("copy").addEventListener("click", copyLink);
      byId("strip").addEventListener("click", (event) => {
        const token = event.target.closest(".token");
        if (token) select({ queryPos: states.queryPosOfToken(Number(token.dataset.position), bounds) });
      });
      byId("controls").addEventListener("submit", (event) => event.preventDefault());
      document.addEventListener("keydown", onKey);
      document.addEventListener("pointermove", (event) => Object.assign(pointer, { x: event.clientX, y: event.clientY }), { capture: true, passive: true });
      const back = () => {
        scene.state = states.parse(location.hash, bounds);
        draw();
      };
      addEventListener("popstate", back);
      addEventListener("hashchange", back);
      addEventListener("resize", () => draw());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
        applyTheme();
        draw();
      });
    }

    async function start() {
      listen();
      for (const name of ["head", "overview"]) {
        inView.add(name);
        await addView(name);
      }
      await draw();
      document.documentElement.dataset.ready = "true";
      watchViews();
      await scene.store.readAhead(scene.state.layer);
    }

    return { start, settled: () => drawing };
  }

  async function open() {
    const { items, scene } = await readScene();
    const page = makePage(items, scene);
    // For whoever measures or tests: a promise that holds until what was asked for is drawn.
    globalThis.__settled = page.settled;
    await page.start();
  }

  return { open };
})();

reportgen.page.open();
