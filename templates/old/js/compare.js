// The page of two sides: reads the blocks of both, listens to the reader, draws what is selected on each.
globalThis.reportgen ??= {};

reportgen.compare = (() => {
  "use strict";

  const {
    address,
    beside,
    blocks,
    difference,
    figures,
    heatmaps,
    keys,
    kinds,
    overview,
    pattern,
    ramps,
    scale,
    scores,
    shows,
    state: states,
    strongest,
    text,
    theme,
  } = reportgen;
  const { element, tokenCode } = text;
  const LISTED = 8;
  const DECIMALS = 3;
  const SIGNED = { label: "difference", unit: "weight", signed: true };
  const byId = (id) => document.getElementById(id);
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

  function makePage(items, scenes, shared) {
    const bounds = beside.makeBounds(scenes.map((scene) => scene.bounds));
    const [palettes, diverging] = [shared.palettes, shared.diverging].map(ramps.decode);
    const views = new Map();
    const pointer = reportgen.pointer.follow(() => hover(null));
    const between = makeBetween();
    let state = beside.parse(location.hash, bounds);
    let version = 0;
    let look = 0;
    let pointed = 0;
    /** What is waited for before the tooltip shows it. */
    let describing = Promise.resolve();
    let begun = false;
    let drawing = Promise.resolve();

    /** The scene of the difference: the aligned positions, as if they were a text of their own. */
    function makeBetween() {
      const { alignment } = shared;
      if (!alignment) return null;
      const [{ content, bounds: own }] = scenes;
      const numPromptTokens = own.numPromptTokens - alignment.starts[0];
      const tokens = difference.tokensOf(
        scenes.map((scene) => scene.content),
        alignment,
      );
      return {
        name: scenes[0].name,
        content: { ...content, tokens },
        bounds: { ...own, numTokens: alignment.length, numPromptTokens },
        codes: () => Promise.all(scenes.map(({ store, state: at }) => store.headCodes(at.layer, at.head))),
      };
    }

    /** Take on the colours of the theme; everything is drawn anew. */
    function applyTheme() {
      const dark = theme.isDark();
      const colors = {
        theme: theme.readColors(),
        palette: palettes[dark ? "magma" : "blues"],
        diverging: diverging[dark ? "dark" : "light"],
      };
      for (const scene of [...scenes, ...(between ? [between] : [])]) Object.assign(scene, colors);
      look++;
      return draw();
    }

    /** Select something: the address, the controls and every view follow. */
    function select(next, { walk = false } = {}) {
      state = next;
      address.write(beside.format(state), walk);
      draw();
    }

    const change = (what, walk) => select({ ...state, ...what }, walk);
    const go = (what, by, side = 0) => select(beside.move(state, what, by, bounds, side), { walk: true });

    /** Draw everything; a later call makes an earlier one stop where it waits. */
    function draw() {
      const mine = ++version;
      const isCurrent = () => mine === version;
      scenes.forEach((scene, side) => {
        scene.state = beside.sideOf(state, side, bounds);
        scene.store.prefer(scene.state.layer);
      });
      drawControls();
      drawScores();
      const names = begun ? Object.keys(items) : ["head_a", "head_b"];
      drawing = Promise.all([
        ...scenes.map((_, side) => drawText(side, isCurrent)),
        drawChanges(isCurrent),
        drawFigures(names, isCurrent),
      ]);
      return drawing;
    }

    async function drawFigures(names, isCurrent) {
      for (const name of names) {
        if (!isCurrent()) return;
        await drawView(name, isCurrent);
      }
    }

    async function drawView(name, isCurrent) {
      if (!views.has(name)) views.set(name, makeView(name));
      const view = views.get(name);
      // Bokeh does not notice what changes while it builds a figure.
      await view.shown;
      const wanted = `${beside.format(state)} ${view.figure.width} ${look}`;
      if (!isCurrent() || view.drawn === wanted) return;
      view.figure.setTheme(view.scene.theme);
      await view.draw(view.scene, isCurrent);
      if (!isCurrent()) return;
      view.drawn = wanted;
      view.shown ??= view.figure.show();
      await view.shown;
    }

    function makeView(name) {
      const figure = new figures.Figure(byId(`figure-${name}`), items[name]);
      const own = { figure, drawn: "", shown: null };
      if (name === "difference") {
        return { ...own, scene: between, ...differenceView(figure) };
      }
      const [kind, letter] = name.split("_");
      const side = beside.NAMES.indexOf(letter);
      const scene = scenes[side];
      const on = {
        hover: (find) => hover(find, scene),
        preview: () => {},
        select: (find) => take(find(scene), side),
      };
      const { draw: drawOwn } = (kind === "head" ? heatmaps.head : overview.overview)(figure, on);
      const drawAlike = async (shown, isCurrent) => {
        await drawOwn(shown, isCurrent);
        if (kind === "head" && !state.withFirst && isCurrent()) await colorAlike(figure, shown);
      };
      return { ...own, scene, draw: drawAlike };
    }

    /** Colour one of two patterns up to the strongest weight of both, so that one colour is one weight. */
    async function colorAlike(figure, scene) {
      const strongestOf = async ({ evidence, state: at, bounds: { numTokens } }) =>
        pattern.strongest(await evidence.form("weight", at.layer, at.head), numTokens, false);
      const high = Math.max(...(await Promise.all(scenes.map(strongestOf)))) || pattern.weightOf(1);
      figure.setColors(scene.palette, scale.show[state.scale](high));
      heatmaps.drawBar(figure, scene, shows.KINDS.weight, high);
    }

    /** What was clicked on one side: a head holds for both, a query for the other one too where they are linked. */
    function take(found, side) {
      if (!found) return;
      const { queryPos, ...head } = found;
      const next = { ...state, ...head };
      select(queryPos === undefined ? next : beside.setQuery(next, side, queryPos, bounds));
    }

    function differenceView(figure) {
      const { alignment } = shared;
      const heads = () => scenes.map(({ state: at }) => `${at.layer} ${at.head}`).join(" ");
      const square = heatmaps.square(
        figure,
        {
          hover: (find) => hover(find, between),
          select: (find) => {
            const found = find(between);
            if (found) select(beside.setQuery(state, 0, found.queryPos + alignment.starts[0], bounds));
          },
        },
        {
          load: async () => difference.formOf(await between.codes(), alignment),
          kindOf: () => SIGNED,
          keyOf: () => [state.scale, state.withFirst, heads()].join(" "),
          describe: (cell) => ({ ...cell, layer: state.layer, head: state.head }),
        },
      );
      return {
        draw(scene, isCurrent) {
          const queryPos = state.queries[0] - alignment.starts[0];
          // The first aligned token is the first of a text only where both begin with it.
          const withFirst = state.withFirst || alignment.starts.some((start) => start > 0);
          scene.state = { ...scenes[0].state, queryPos, withFirst };
          return square.draw(scene, isCurrent);
        },
      };
    }

    async function drawText(side, isCurrent) {
      const scene = scenes[side];
      const [letter, { layer, head, queryPos }] = [beside.NAMES[side], scene.state];
      const place = (name) => byId(`${name}-${letter}`);
      text.drawSentence(place("sentence"), scene);
      text.drawNext(place("next"), place("next-of"), place("next-note"), scene);
      const row = await scene.evidence.row(layer, head, queryPos);
      if (!isCurrent()) return;
      strongest.draw(place("strongest"), place("strongest-of"), scene, row);
      text.drawStrip(place("strip"), scene, row.weight, false);
    }

    /** The table beside the difference: what the selected query reads more or less of. */
    async function drawChanges(isCurrent) {
      const { alignment } = shared;
      if (!alignment) return;
      const places = state.queries.map((query, side) => difference.placeOf(query, side, alignment));
      const sinkOf = ({ evidence, state: { layer, head, queryPos } }) =>
        evidence.row(layer, head, queryPos).then(({ sink }) => sink ?? 0);
      const [codes, sinks] = await Promise.all([between.codes(), Promise.all(scenes.map(sinkOf))]);
      if (!isCurrent()) return;
      const [query] = places;
      const isPair = query !== null && query === places[1];
      text.write(
        byId("changes-of"),
        isPair
          ? `for query ${text.quote(between.content.tokens[query][1])}, at ${state.queries[0]} and ${state.queries[1]}`
          : "the selected queries do not stand beside one another",
      );
      const row = isPair ? difference.rowOf(codes, alignment, query, sinks) : null;
      byId("changes").tBodies[0].replaceChildren(...(row ? listChanges(row) : []));
      byId("changes-note").textContent = row
        ? `Total variation of the two rows: ${difference.variationOf(row).toFixed(DECIMALS)}, the share of weight that lies elsewhere.`
        : "";
    }

    function listChanges({ values, weights, before, sinks }) {
      const { starts } = shared.alignment;
      const withFirst = state.withFirst || starts.some((start) => start > 0);
      const found = pattern.strongestKeys(values, LISTED, withFirst);
      const largest = Math.abs(found[0]?.value) || 1;
      const lines = found.map(({ keyPos, value }) =>
        changeLine(tokenCode(between.content.tokens[keyPos][1]), starts.map((start) => start + keyPos).join(" · "), {
          pair: weights.map((row) => row[keyPos]),
          value,
          largest,
        }),
      );
      const others = [
        ["all before these", before, starts.some((start) => start > 0)],
        ["learned sink", sinks, sinks.some((sink) => sink > 0)],
      ].filter(([, , isThere]) => isThere);
      return [
        ...lines,
        ...others.map(([name, pair]) => changeLine(name, "", { pair, value: pair[0] - pair[1], largest })),
      ];
    }

    function changeLine(name, position, { pair, value, largest }) {
      const share = Math.min(1, Math.abs(value) / largest);
      const bar = element("span", { class: `bar ${value < 0 ? "against" : "for"}`, style: { "--share": share } });
      const number = (shown) => element("td", { class: "number" }, shown);
      return element(
        "tr",
        {},
        element("td", {}, name, bar),
        number(position),
        ...pair.map((weight) => number(scale.formatWeight(weight))),
        number(scale.formatSigned(value, DECIMALS)),
      );
    }

    function drawControls() {
      byId("layer").value = state.layer;
      byId("head").value = state.head;
      byId("scale").value = state.scale;
      byId("first").checked = state.withFirst;
      byId("linked").checked = state.linked;
      byId("stand-in").textContent = scenes
        .map((_, side) => beside.sayStandIn(state, side, bounds))
        .filter(Boolean)
        .join(" ");
      scenes.forEach(({ content, state: at }, side) => {
        const letter = beside.NAMES[side];
        const slider = byId(`query-${letter}`);
        slider.value = at.queryPos;
        slider.setAttribute("aria-valuetext", `position ${at.queryPos}, ${content.tokens[at.queryPos][1]}`);
        byId(`head-name-${letter}`).textContent = `L${at.layer} H${at.head}`;
        byId(`head-kind-${letter}`).textContent = kinds.describeHead(content, at.layer, at.head).join(" · ");
      });
    }

    function drawScores() {
      for (const line of byId("scores")?.tBodies[0].rows ?? []) {
        const kind = shared.scores.find(({ name }) => name === line.dataset.score);
        const values = scenes.map(({ content, state: at }) => scores.scoreOf(content, kind.name, at.layer, at.head));
        const gap = values.includes(null) ? null : values[0] - values[1];
        const shown = values.map((value) => scores.format(value, kind));
        [...shown, scale.formatSigned(gap, kind.is_share ? DECIMALS : 1)].forEach((value, i) => {
          line.cells[i + 1].textContent = value;
        });
      }
      for (const button of document.querySelectorAll("[data-layer]")) {
        const chosen = Number(button.dataset.layer) === state.layer && Number(button.dataset.head) === state.head;
        button.closest("tr").classList.toggle("chosen", chosen);
      }
    }

    function hover(find, scene) {
      const mine = ++pointed;
      const cell = find && pointer.type !== "touch" ? find(scene) : null;
      describing = drawTooltip(cell, scene, () => mine === pointed);
    }

    /** Show what is known of the cell under the pointer, unless it has moved on by then. */
    async function drawTooltip(cell, scene, isCurrent) {
      const known = cell?.layer === undefined ? cell : { ...cell, lines: await describe(cell, scene) };
      if (isCurrent()) text.drawTooltip(byId("tooltip"), known && text.describeCell(known, scene), pointer);
    }

    async function describe({ layer, head, queryPos, keyPos }, scene) {
      if (scene !== between) {
        const row = await scene.evidence.row(layer, head, queryPos);
        return strongest.describe(row, keyPos, kinds.kindOf(scene.content, layer));
      }
      const { values, weights } = difference.rowOf(await between.codes(), shared.alignment, queryPos);
      const [first, second] = weights.map((row) => scale.formatWeight(row[keyPos]));
      const { starts } = shared.alignment;
      return [
        `in A at ${queryPos + starts[0]} and ${keyPos + starts[0]}: weight ${first}`,
        `in B at ${queryPos + starts[1]} and ${keyPos + starts[1]}: weight ${second}`,
        `A less B ${scale.formatSigned(values[keyPos], DECIMALS)}`,
      ];
    }

    function toggleTheme() {
      theme.toggle();
      applyTheme();
    }

    const HEADS_BY_ARROWS = {
      ArrowUp: () => go("layer", -1),
      ArrowDown: () => go("layer", 1),
      ArrowLeft: () => go("head", -1),
      ArrowRight: () => go("head", 1),
    };
    const WITHIN = { "figure-overview_a": HEADS_BY_ARROWS, "figure-overview_b": HEADS_BY_ARROWS };

    function keysOf(side) {
      return {
        ArrowLeft: () => go("query", -1, side),
        ArrowRight: () => go("query", 1, side),
        j: () => go("layer", 1),
        k: () => go("layer", -1),
        h: () => go("head", -1),
        l: () => go("head", 1),
        u: () => change({ linked: !state.linked }),
        s: () => change({ scale: states.cycleScale(state).scale }),
        f: () => change({ withFirst: !state.withFirst }),
        d: toggleTheme,
      };
    }

    function onKey(event) {
      const strip = event.target.closest?.(".strip");
      const side = event.shiftKey || strip?.dataset.side === "1" ? 1 : 0;
      const action = keys.actionOf(event, keysOf(side), WITHIN);
      if (!action) return;
      event.preventDefault();
      action();
      // The focus goes along the strip with the selection.
      strip?.querySelector(`[data-position="${state.queries[side]}"]`).focus();
    }

    function listen() {
      for (const button of document.querySelectorAll("[data-move]")) {
        const { move, by, side } = button.dataset;
        button.addEventListener("click", () => go(move, Number(by), Number(side ?? 0)));
      }
      byId("layer").addEventListener("change", ({ target }) => change({ layer: Number(target.value) }));
      byId("head").addEventListener("change", ({ target }) => change({ head: Number(target.value) }));
      byId("scale").addEventListener("change", ({ target }) => change({ scale: target.value }));
      byId("first").addEventListener("change", ({ target }) => change({ withFirst: target.checked }));
      byId("linked").addEventListener("change", ({ target }) => change({ linked: target.checked }));
      beside.NAMES.forEach((letter, side) => {
        byId(`query-${letter}`).addEventListener("input", ({ target }) =>
          select(beside.setQuery(state, side, Number(target.value), bounds), { walk: true }),
        );
        byId(`strip-${letter}`).addEventListener("click", ({ target }) => {
          const token = target.closest(".token");
          const own = bounds.sides[side];
          if (token) take({ queryPos: states.queryPosOfToken(Number(token.dataset.position), own) }, side);
        });
      });
      for (const button of document.querySelectorAll("[data-layer]")) {
        const { layer, head } = button.dataset;
        button.addEventListener("click", () => change({ layer: Number(layer), head: Number(head) }));
      }
      byId("theme").addEventListener("click", toggleTheme);
      byId("controls").addEventListener("submit", (event) => event.preventDefault());
      document.addEventListener("keydown", onKey);
      address.onChange(() => {
        state = beside.parse(location.hash, bounds);
        draw();
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
    }

    async function start() {
      listen();
      // The two patterns before all else: the page answers while the rest is drawn.
      await applyTheme();
      document.documentElement.dataset.ready = "true";
      await painted();
      begun = true;
      await draw();
      const size = new ResizeObserver(() => {
        if ([...views.values()].filter(({ figure }) => figure.measure()).length > 0) draw();
      });
      for (const figure of document.querySelectorAll(".figure")) size.observe(figure);
      for (const { store, state: at } of scenes) await store.readAhead(at.layer);
    }

    return { start, settled: () => describing.then(() => drawing) };
  }

  async function open() {
    const { slug } = JSON.parse(byId("card").textContent);
    const [shared, items, ...scenes] = await Promise.all([
      blocks.readJson("shared"),
      blocks.readJson("figures"),
      ...beside.NAMES.map((side) => blocks.readCapture(`${slug}-${side}`, `${side}-`)),
      blocks.startBokeh(),
    ]);
    const page = makePage(items, scenes.slice(0, 2), shared);
    // For whoever measures or tests, as on a page.
    globalThis.__settled = page.settled;
    await page.start();
  }

  return { open };
})();

reportgen.compare.open().catch(reportgen.boot.fail);
