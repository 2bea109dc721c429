// The page of a prompt: reads the blocks, listens to the reader, draws what is selected. The one script that touches the
// document when it is loaded.
globalThis.reportgen ??= {};

reportgen.page = (() => {
  "use strict";

  const {
    address,
    blocks,
    cite,
    controls,
    embed,
    grid,
    headRows,
    keys,
    kinds,
    lens,
    lines,
    panel,
    player,
    read,
    scoreboard,
    side,
    spans,
    square,
    state: states,
    story,
    strip,
    text,
    words,
  } = reportgen;
  const byId = (id) => document.getElementById(id);

  /** By the name of the figure; any other is of a kind of evidence with a number for each head and position. */
  const VIEWS = {
    read: read.read,
    heads: (figure) => panel.panel(figure, "heads"),
    layers: (figure) => panel.panel(figure, "layers"),
    head: square.head,
    pinned: square.pinned,
    difference: square.difference,
    aggregate: square.aggregate,
    rollout: square.rollout,
    map: grid.map,
    effect: grid.effects,
    lens: lens.lens,
  };
  /** The first of these that a page has answers before the others are drawn. */
  const FIRST = ["read", "heads"];

  function makePage(item, scene, card, alone) {
    const { bounds, content } = scene;
    let playing = null;
    let dialogs = null;
    let markChosen = null;

    const viewer = reportgen.viewer.make({
      item,
      first: alone === null ? [FIRST.find((name) => byId(`figure-${name}`))] : [alone],
      ramps: content,
      scenes: [scene],
      sceneOf: () => scene,
      viewOf: (name) => VIEWS[name] ?? headRows.viewOf(name),
      stateKey: () => states.format(scene.state, bounds),
      drawRest,
      select,
      describe,
      brush: (cell) => strip.brush(byId("strip"), cell),
    });

    /** Select something: the address, the controls and every figure in sight follow. */
    function select(change, { walk = false } = {}) {
      if (!change) return;
      scene.state = { ...scene.state, ...change };
      address.write(states.format(scene.state, bounds), walk);
      viewer.draw();
    }

    const go = (what, by) => select(states.move(scene.state, what, by, bounds), { walk: true });

    /** Text, controls, titles and tables; first what the weights say, which is there at once. */
    async function drawRest(isCurrent) {
      const { layer, head, queryPos, state } = { ...scene.state, state: scene.state };
      scene.store.prefer(layer);
      controls.draw(scene);
      embed.say(cite.sayPlace(scene));
      strip.select(byId("strip"), state);
      side.drawNext(byId("next"), byId("next-of"), byId("next-note"), scene);
      drawScores();
      const [shades, weights] = await Promise.all([
        strip.load(scene),
        scene.evidence.weights(layer, head, queryPos, state),
      ]);
      if (!isCurrent()) return;
      strip.draw(byId("strip"), scene, shades);
      lines.draw(byId("strip"), scene, weights);
      await drawAnswer(isCurrent);
      // What stands beside the weights is farther behind in the file: at first the table does without it.
      const isEmpty = byId("strongest").tBodies[0].rows.length === 0;
      for (const modes of [...(isEmpty ? [["weight"]] : []), content.heatmap_modes]) {
        const row = await scene.evidence.row(layer, head, queryPos, modes, state);
        if (!isCurrent()) return;
        side.drawStrongest(byId("strongest"), byId("strongest-of"), scene, row);
      }
      if (byId("span-blocks")) await drawSpans(isCurrent);
    }

    /** What the page says of the step, and the titles of folds that depend on it. */
    async function drawAnswer(isCurrent) {
      const { answers, findings } = await scene.evidence.answers();
      if (!isCurrent()) return;
      const step = scene.state.step ?? 0;
      text.say(byId("claim"), answers[step].claim);
      text.say(byId("details"), answers[step].details);
      for (const place of document.querySelectorAll("[data-finding]")) {
        const said = findings[place.dataset.finding];
        // A press on the title of a fold opens it.
        text.say(place, said[Math.min(step, said.length - 1)], { selects: false });
      }
    }

    /** The table of who reads whom. */
    async function drawSpans(isCurrent) {
      const { layer, head, step } = scene.state;
      const found = await scene.evidence.spans(layer, head, step);
      if (isCurrent()) spans.draw(byId("span-blocks"), scene, found);
    }

    function drawScores() {
      if (content.score_kinds.length === 0) return;
      scoreboard.drawChosen(byId("chosen"), byId("chosen-label"), scene);
      markChosen?.(scene.state);
    }

    async function describe({ layer, head, queryPos, keyPos, sink }) {
      if (sink !== undefined) return [`learned sink, no token: ${reportgen.numbers.formatWeight(sink)} of this row`];
      if (layer === undefined || keyPos == null) return [];
      const row = await scene.evidence.row(layer, head, queryPos, content.heatmap_modes, scene.state);
      return side.describe(row, words.units(scene).of(keyPos), kinds.kindOf(content, layer), content);
    }

    const KEYS = {
      ArrowLeft: () => go("query", -1),
      ArrowRight: () => go("query", 1),
      j: () => go("layer", 1),
      k: () => go("layer", -1),
      h: () => go("head", -1),
      l: () => go("head", 1),
      n: () => go("step", 1),
      b: () => go("step", -1),
      s: () => select(states.cycle(scene.state, "scale", bounds)),
      w: () => select(states.cycle(scene.state, "show", bounds)),
      r: () => select(states.cycle(scene.state, "layout", bounds)),
      f: () => select(states.cycleFirst(scene.state)),
      t: () => select({ words: !scene.state.words }),
      a: () => select({ lines: !scene.state.lines }),
      m: () => select({ marks: !scene.state.marks }),
      p: () => select(states.pin(scene.state)),
      d: () => viewer.toggleTheme(),
      c: () => dialogs.open("cite"),
      "?": () => dialogs.open("keys"),
      " ": () => playing?.toggle(),
    };
    const along = (what, down, up) => ({ ArrowDown: () => go(what, down), ArrowUp: () => go(what, up) });
    const acrossHeads = { ArrowLeft: () => go("head", -1), ArrowRight: () => go("head", 1) };
    /** Further keys by the figure in focus: up and down lead to the row above and below. */
    const WITHIN = {
      "figure-map": { ...along("layer", -1, 1), ...acrossHeads },
      "figure-effect": { ...along("layer", -1, 1), ...acrossHeads },
      "figure-heads": along("head", 1, -1),
      "figure-layers": along("layer", -1, 1),
      "figure-head": along("query", 1, -1),
      "figure-read": along("step", 1, -1),
    };

    /** Heads and tokens select wherever they stand. */
    function onClick({ target }) {
      const chip = target.closest("[data-head]:not([data-figure])");
      const token = target.closest(".token");
      const key = target.closest("[data-key]");
      if (chip) select({ layer: Number(chip.dataset.layer), head: Number(chip.dataset.head) });
      else if (token) select(states.selectToken(Number(token.dataset.position), bounds));
      else if (key) select({ keyPos: Number(key.dataset.key) });
    }

    function listen() {
      controls.listen(() => scene, select, go);
      document.addEventListener("click", onClick);
      keys.listen(() => [KEYS, WITHIN]);
      addEventListener("beforeprint", () => (byId("on-paper").textContent = cite.sayOnPaper(scene)));
      const follow = () => {
        scene.state = parse(bounds);
        if (story.numberOf(location.hash)) story.show(story.numberOf(location.hash));
        viewer.draw();
      };
      address.onChange(follow);
      story.listen(follow);
      if (byId("play"))
        playing = player.makePlayer(byId("play"), scene, (step) =>
          select(states.selectStep(step, bounds), { walk: true }),
        );
      for (const name of ["pointerover", "pointerleave"]) {
        byId("strip").addEventListener(name, ({ target, pointerType }) => {
          const token = pointerType === "touch" || name === "pointerleave" ? null : target.closest(".token");
          viewer.brush(token && { keyPos: Number(token.dataset.position) });
        });
      }
      // Hundreds of rows: they are made when somebody asks for them.
      byId("all-heads")?.addEventListener("toggle", () => {
        markChosen ??= scoreboard.makeTable(byId("head-scores"), content);
        markChosen(scene.state);
      });
    }

    const studio = reportgen.picture.makeStudio({ card, viewer, about: reportgen.picture.aboutPage(scene) });

    async function start() {
      listen();
      reportgen.save.listen(byId("save"), studio);
      dialogs = reportgen.dialogs.listen({
        cite: () => {
          address.flush();
          cite.fill(cite.sayPlace(scene), card);
        },
      });
      await viewer.start();
      reportgen.contents.listen();
      await viewer.settled();
      await scene.store.readAhead(scene.state.layer);
    }

    return { start, studio, shown: viewer.shown, settled: viewer.settled };
  }

  /** The state that the address selects: its own, or that of a step of the story. */
  const parse = (bounds) => states.parse(story.resolve(location.hash, story.listViews()), bounds);

  async function load(card, alone) {
    const { item, scene } = await blocks.readScene(card.slug);
    scene.state = parse(scene.bounds);
    return makePage(item, scene, card, alone);
  }

  return { load };
})();

reportgen.viewer.open(reportgen.page.load).catch(reportgen.boot.fail);
