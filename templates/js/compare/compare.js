// The page of two sides: reads the blocks of both, listens to the reader, draws what is selected on each. The one script of a
// comparison that touches the document when it is loaded.
globalThis.reportgen ??= {};

reportgen.compare = (() => {
  "use strict";

  const {
    address,
    alignment,
    blocks,
    cite,
    embed,
    keys,
    legends,
    lists,
    pair,
    patching,
    sides: figures,
    state: states,
    strip,
  } = reportgen;
  const byId = (id) => document.getElementById(id);
  const PATTERNS = ["a", "b", "difference"];

  /** A scene in the units of an axis, of one side or of both, as if they were a text of their own. */
  function makeScene(full, axis, tokens) {
    const numPromptTokens = alignment.leadOf(axis) + full.bounds.numPromptTokens - axis.start;
    return {
      content: { ...full.content, ...tokens, words: null },
      bounds: { ...full.bounds, numTokens: alignment.countOf(axis), numPromptTokens },
    };
  }

  function makePage(item, captures, shared, card, alone) {
    const sides = captures.map((full, i) => ({ full, axis: shared.axes[i] }));
    const isAligned = shared.alignment !== null;
    const length = Math.max(...shared.axes.map(alignment.countOf));
    const bounds = pair.makeBounds(
      captures.map((full) => full.bounds),
      shared.opening,
      length,
    );
    const patches = patching.list(shared.patching);
    const places = new Map(shared.places.map(([layer, head, place]) => [`${layer} ${head}`, place]));
    /** The scene of one side, or of both. */
    const sceneOf = (...shown) => {
      const [own, axes] = [captures, shared.axes].map((all) => shown.map((i) => all[i]));
      const contents = own.map(({ content }) => content);
      return makeScene(own[0], axes[0], alignment.tokensOf(contents, axes, shared.before));
    };
    const scenes = {
      ...{ a: sceneOf(0), b: sceneOf(1), ...(isAligned ? { difference: sceneOf(0, 1) } : {}) },
      map: { bounds, variations: shared.variations, content: captures[0].content },
      ...Object.fromEntries(
        Object.entries(patches).map(([name, patch]) => [name, { bounds, patch, content: captures[0].content }]),
      ),
    };
    let state = pair.parse(location.hash, bounds);
    let dialogs = null;
    update();

    const viewer = reportgen.viewer.make({
      item,
      first: alone === null ? PATTERNS.filter((name) => name in scenes) : [alone],
      ramps: { palettes: shared.palettes, diverging: shared.sides },
      scenes: [...Object.values(scenes), ...captures],
      sceneOf: (name) => scenes[name],
      viewOf: (name) => VIEWS[name],
      stateKey: () => pair.format(state),
      drawRest,
      select: take,
      describe: async () => [],
      brush: (cell, name) => brush(cell, name),
    });

    const VIEWS = {
      a: (figure) => figures.patternOf(figure, [0], sides),
      b: (figure) => figures.patternOf(figure, [1], sides),
      difference: (figure) => figures.patternOf(figure, [0, 1], sides),
      map: figures.map,
      ...Object.fromEntries(Object.keys(patches).map((name) => [name, patching.view])),
    };

    /** Tell every scene what is selected, in its own units. */
    function update() {
      captures.forEach((full, i) => {
        full.state = pair.sideOf(state, i, bounds);
        full.store.prefer(full.state.layer);
      });
      const heads = captures.map(({ state: own }) => `${own.layer}.${own.head}`).join(" ");
      const { scale, withFirst, renormalised } = state;
      for (const [name, scene] of Object.entries(scenes)) {
        if (!PATTERNS.includes(name)) {
          scene.state = state;
          continue;
        }
        const side = name === "b" ? 1 : 0;
        const queryPos = alignment.unitOf(state.queries[side], sides[side].axis);
        const range = state.range && [state.range[0], Math.min(state.range[1], scene.bounds.numTokens - 1)];
        // The first token has been taken out of the rows by then, where it is to be.
        const own = { heads: `${heads} ${withFirst} ${renormalised}`, withFirst: true, renormalised };
        scene.state = {
          ...captures[side].state,
          ...own,
          scale,
          queryPos,
          keyPos: null,
          words: false,
          range,
          isAligned,
        };
      }
    }

    /** Select something: the address, the controls and every figure in sight follow. */
    function select(change, { walk = false } = {}) {
      state = { ...state, ...change };
      update();
      address.write(pair.format(state), walk);
      viewer.draw();
    }

    /** What was chosen in a figure: a position in its own units, a range of them, or a head. */
    function take(change, name) {
      if (!change) return;
      if (change.range) select({ range: change.range });
      else if (change.queryPos === undefined) chooseHead(change);
      else takeQuery(name === "b" ? 1 : 0, change.queryPos);
    }

    function takeQuery(side, unit) {
      select(pair.setQuery(state, side, alignment.positionOf(unit, sides[side].axis), bounds));
    }

    /** A head is shown where it reads the two sides most differently. */
    function chooseHead({ layer, head }) {
      const place = places.get(`${layer} ${head}`);
      const queries = place === undefined ? state.queries : shared.axes.map(({ start }) => start + place);
      select({ layer, head, queries });
    }

    const go = (what, by, side = 0) => select(pair.move(state, what, by, bounds, side), { walk: true });

    async function drawRest(isCurrent) {
      embed.say(lists.sayPlace(state, sides));
      lists.drawNames(state, sides, bounds);
      legends.draw({ weight: scenes.a.palette, "A − B": scenes.a.diverging }, state.scale);
      lists.drawNext(sides, shared.next);
      lists.drawScores(sides, shared.scores);
      const places = pair.NAMES.map((name) => byId(`strip-${name}`));
      for (const [i, place] of places.entries()) strip.select(place, captures[i].state);
      for (const [i, place] of places.entries()) {
        const full = captures[i];
        const shades = await strip.load(full);
        if (!isCurrent()) return;
        strip.draw(place, full, shades);
      }
    }

    /** Tint the token that is pointed at in a figure in the texts. */
    function brush(cell, name) {
      captures.forEach((_, i) => {
        const { axis } = sides[i];
        const unit = cell?.keyPos ?? null;
        const isOwn = unit !== null && unit >= alignment.leadOf(axis) && (isAligned || name === pair.NAMES[i]);
        strip.brush(byId(`strip-${pair.NAMES[i]}`), isOwn ? { keyPos: alignment.positionOf(unit, axis) } : null);
      });
    }

    const KEYS = {
      j: () => go("layer", 1),
      k: () => go("layer", -1),
      h: () => go("head", -1),
      l: () => go("head", 1),
      u: () => select({ linked: !state.linked }),
      s: () => select(pair.cycleScale(state)),
      f: () => select(states.cycleFirst(state)),
      d: () => viewer.toggleTheme(),
      c: () => dialogs.open("cite"),
      "?": () => dialogs.open("keys"),
    };

    /** Further keys by the figure in focus: up and down lead to the row above and below. */
    const along = (side) => ({ ArrowDown: () => go("query", 1, side), ArrowUp: () => go("query", -1, side) });
    const WITHIN = {
      "figure-a": along(0),
      "figure-b": along(1),
      "figure-difference": along(0),
      "figure-map": {
        ArrowUp: () => go("layer", 1),
        ArrowDown: () => go("layer", -1),
        ArrowLeft: () => go("head", -1),
        ArrowRight: () => go("head", 1),
      },
    };

    function actionsAt({ target, shiftKey }) {
      const side = shiftKey || target.closest?.(".strip")?.dataset.side === "1" ? 1 : 0;
      const across = { ArrowLeft: () => go("query", -1, side), ArrowRight: () => go("query", 1, side) };
      return [{ ...KEYS, ...across }, WITHIN];
    }

    /** Heads and tokens select wherever they stand. */
    function onClick({ target }) {
      const chip = target.closest("[data-head]");
      const token = target.closest(".token");
      if (chip) chooseHead({ layer: Number(chip.dataset.layer), head: Number(chip.dataset.head) });
      else if (token) {
        const side = Number(token.closest(".strip").dataset.side);
        select(pair.setQuery(state, side, Number(token.dataset.position), bounds));
      }
    }

    function listen() {
      const on = (id, event, callback) => byId(id).addEventListener(event, callback);
      on("scale", "change", ({ target }) => select({ scale: target.value }));
      on("first", "change", ({ target }) => select(states.FIRST[target.value]));
      on("linked", "change", ({ target }) => select({ linked: target.checked }));
      on("whole", "click", () => select({ range: null }));
      for (const form of document.querySelectorAll("#controls, #view, #save"))
        form.addEventListener("submit", (event) => event.preventDefault());
      document.addEventListener("click", onClick);
      keys.listen(actionsAt);
      addEventListener("beforeprint", () => {
        byId("on-paper").textContent = `Selected: ${lists.sayPlace(state, sides)} · ${location.href}`;
      });
      address.onChange(() => {
        state = pair.parse(location.hash, bounds);
        update();
        viewer.draw();
      });
    }

    const studio = reportgen.picture.makeStudio({
      card,
      viewer,
      about: {
        bounds,
        facts: (name) =>
          !PATTERNS.includes(name)
            ? [patches[name]?.says ?? "total variation"]
            : [lists.sayPlace(state, sides), reportgen.picture.SCALES[name === "difference" ? "linear" : state.scale]],
        isOfWeights: (name) => PATTERNS.includes(name),
        hash: () => pair.format(state),
        place: () => `L${state.layer}-H${state.head}-A${state.queries[0]}-B${state.queries[1]}`,
        refuse: () => "",
      },
    });

    async function start() {
      listen();
      reportgen.save.listen(byId("save"), studio);
      dialogs = reportgen.dialogs.listen({
        cite: () => {
          address.flush();
          cite.fill(lists.sayPlace(state, sides), card);
        },
      });
      await viewer.start();
      reportgen.contents.listen();
      await viewer.settled();
      for (const { store, state: own } of captures) await store.readAhead(own.layer);
    }

    return { start, studio, shown: viewer.shown, settled: viewer.settled };
  }

  async function load(card, alone) {
    const [item, shared, ...captures] = await Promise.all([
      blocks.readJson("figure"),
      blocks.readJson("shared"),
      ...pair.NAMES.map((side) => blocks.readCapture(`${card.slug}-${side}`, `${side}-`)),
      blocks.startBokeh(),
    ]);
    return makePage(item, captures.slice(0, 2), shared, card, alone);
  }

  return { load };
})();

reportgen.viewer.open(reportgen.compare.load).catch(reportgen.boot.fail);
