// Maps of all heads, layers from the last at the top: the small one beside the page, and the effects with those of the MLPs.
globalThis.reportgen ??= {};

reportgen.grid = (() => {
  "use strict";

  const { colors, kinds, ledger, numbers, pattern, scores, text, wrote } = reportgen;
  const nameHead = ({ layer, head }) => `L${layer} H${head}`;

  const downFrom = (layers) => [...layers].reverse();

  /** Values `[layer, head]` with the last layer first. */
  function upsideDown(values, across) {
    const rows = values.length / across;
    return Float32Array.from(values, (_, i) => values[(rows - 1 - Math.floor(i / across)) * across + (i % across)]);
  }

  /** What both have in common: a cell for each head, the selected one framed. */
  function makeGrid(bounds) {
    const layers = downFrom(bounds.layers);
    const { heads } = bounds;
    const rowOf = (layer) => layers.indexOf(layer);
    const columnOf = (head) => heads.indexOf(head);
    return {
      layers,
      drawing: ({ state }) => ({
        rows: layers.length,
        rowLabels: layers.map((layer) => ({ text: String(layer), selected: layer === state.layer })),
        columnLabels: heads.map((head) => ({ text: String(head), selected: head === state.head })),
        frames: [[columnOf(state.head), rowOf(state.layer), 1, 1]],
      }),
      at(x, y) {
        const [layer, head] = [layers[Math.floor(y)], heads[Math.floor(x)]];
        return layer === undefined || head === undefined ? null : { layer, head };
      },
      brushOf: ({ layer, head }) => (layer === undefined || head == null ? [] : [[columnOf(head), rowOf(layer), 1, 1]]),
      selectOf: ({ layer, head }) => (head == null ? null : { layer, head }),
    };
  }

  /** The map of all heads: effects, largest weights, patterns or a score. */
  function map(figure, scene) {
    const { bounds } = scene;
    const grid = makeGrid(bounds);
    let values = new Float32Array();

    async function draw(now, isCurrent) {
      const { state, content } = now;
      const found = await read(now);
      if (!isCurrent()) return;
      values = found.values;
      if (found.patterns) return drawPatterns(now, found.patterns);
      const drawn = upsideDown(values, bounds.heads.length);
      figure.draw({
        ...grid.drawing(now),
        key: [state.by, state.step, state.contrast, state.queryPos, state.scale].join(" "),
        columns: bounds.heads.length,
        makeImages: () => [
          {
            values: found.signed ? drawn : colors.shown(now, drawn),
            rows: bounds.layers.length,
            columns: bounds.heads.length,
          },
        ],
        colors: found.signed ? colors.ofEffects(now, pattern.largest(values)) : colors.ofWeights(now, found.high),
      });
      say(now, content);
    }

    /**
     * What the map shows: values by layer and head, whether they have a sign, the value of the last colour; or patterns.
     * @returns {Promise<{values: Float32Array<ArrayBuffer>, signed?: boolean, high?: number, patterns?: any}>}
     */
    async function read(now) {
      const { state, content, evidence } = now;
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      if (kind) {
        const own = Float32Array.from(content.scores[state.by].flat(), (value) => value ?? Number.NaN);
        return { values: own, high: pattern.largest(own) };
      }
      if (state.by === "effect") {
        const nothing = new Float32Array(bounds.layers.length * bounds.heads.length).fill(Number.NaN);
        const contrast = ledger.held(bounds.foils, state.contrast, state.step);
        const withheld = ledger.withheld(await evidence.facts(), contrast, state.step);
        return { values: withheld ? nothing : await evidence.grid(contrast, state.step), signed: true };
      }
      if (state.by === "pattern") return { values: new Float32Array(), patterns: await now.overview() };
      const rows = await Promise.all(
        bounds.layers.flatMap((layer) => bounds.heads.map((head) => evidence.weights(layer, head, state.queryPos))),
      );
      const largest = rows.map((row) => pattern.largest(row.subarray(1)));
      return { values: Float32Array.from(largest), high: 1 };
    }

    /** The patterns themselves, each so many cells along a side. */
    function drawPatterns(now, patterns) {
      const { state, content } = now;
      const side = content.thumbnail_side;
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const display = colors.shown(now, pattern.weightsOf(patterns));
      figure.draw({
        ...grid.drawing(now),
        key: [state.by, state.scale].join(" "),
        columns,
        makeImages: () => [
          {
            values: pattern.mosaic(patterns, rows, columns, side, display),
            rows: rows * side,
            columns: columns * side,
            width: columns,
            height: rows,
          },
        ],
        colors: colors.ofWeights(now),
      });
      say(now, content);
    }

    function say({ state, bounds: { numPromptTokens, foils } }, content) {
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      const names = { weight: "largest weight", pattern: "patterns" };
      const place = document.getElementById("map-says");
      if (state.by !== "effect") place.textContent = kind ? kind.title : names[state.by];
      else {
        const foil = ledger.foilAt(foils, state.contrast, state.step);
        const over = foil === null ? [] : [" over ", text.tok(foils[foil][1])];
        place.replaceChildren("effect on ", text.tok(content.tokens[numPromptTokens + state.step][1]), ...over);
      }
    }

    function lines({ layer, head }, { content, state }) {
      const value = values[content.layers.indexOf(layer) * content.heads.length + content.heads.indexOf(head)];
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      const said = kind
        ? [`${kind.title} ${scores.format(value === undefined || Number.isNaN(value) ? null : value, kind)}`]
        : state.by === "effect"
          ? [`effect of the whole head ${numbers.formatSigned(value, 2)} logits`]
          : state.by === "weight"
            ? [`largest weight off the first token ${numbers.formatFine(value)}`]
            : [];
      return [...said, ...kinds.describeHead(content, layer, head)];
    }

    const table = () => ({
      columns: bounds.heads.map((head) => `H${head}`),
      rows: bounds.layers.map((layer, i) => ({
        name: `L${layer}`,
        values: [...values.subarray(i * bounds.heads.length, (i + 1) * bounds.heads.length)],
      })),
    });

    return { ...grid, draw, lines, table };
  }

  /** Effects, or ablations, of all heads, and of the MLPs in a column of their own. */
  function effects(figure, scene) {
    const { bounds } = scene;
    const grid = makeGrid(bounds);
    const GAP = 0.5;
    let [heads, mlps] = [new Float32Array(), null];
    /** Ablations and estimates of the step; null if every head was ablated. */
    let screened = null;

    async function draw(now, isCurrent) {
      const { state, evidence } = now;
      const facts = await evidence.facts();
      const measure = ledger.held(bounds.foils, state.measure, state.step);
      const screen = ledger.screenOf(facts, measure);
      const [found, ...both] = await Promise.all(
        [measure, ...(screen ? [screen.ablation, screen.estimate] : [])].map((name) => evidence.grid(name, state.step)),
      );
      if (!isCurrent()) return;
      screened = screen && both;
      const why = ledger.withheld(facts, measure, state.step);
      heads = why ? found.fill(Number.NaN) : found;
      mlps = why ? null : ledger.mlpsOf(facts, measure, state.step, bounds.layers);
      const withMlps = ledger.isEffect(measure);
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const drawing = grid.drawing(now);
      figure.draw({
        ...drawing,
        key: [measure, state.step].join(" "),
        columns: columns + (withMlps ? 1 + GAP : 0),
        columnLabels: [...drawing.columnLabels, ...(withMlps ? [{ text: "MLP", at: columns + GAP + 0.5 }] : [])],
        makeImages: () => [
          { values: upsideDown(heads, columns), rows, columns },
          ...(mlps ? [{ values: upsideDown(Float32Array.from(mlps), 1), rows, columns: 1, x: columns + GAP }] : []),
        ],
        colors: colors.ofEffects(now, pattern.largest([...heads, ...(mlps ?? [])])),
      });
      wrote.draw(now, facts, { why, heads, mlps });
      wrote.nameMeasures(facts, state);
    }

    /** A head, or with `head: null` the MLP of a layer. */
    function at(x, y) {
      const cell = grid.at(x, y);
      if (cell) return cell;
      const layer = grid.layers[Math.floor(y)];
      return mlps && layer !== undefined && x >= bounds.heads.length + GAP ? { layer, head: null } : null;
    }

    function lines({ layer, head }, { state }) {
      const row = bounds.layers.indexOf(layer);
      const cell = row * bounds.heads.length + bounds.heads.indexOf(head);
      if (screened) {
        const [ablated, estimated] = screened.map((values) => values[cell]);
        const measured = Number.isNaN(ablated) ? "not measured" : `ablation ${numbers.formatSigned(ablated, 3)} nats`;
        return [measured, `first-order estimate ${numbers.formatSigned(estimated, 3)} nats`];
      }
      const value = head === null ? mlps[row] : heads[cell];
      return [`${numbers.formatSigned(value, 3)} ${ledger.unitOf(state.measure)}`];
    }

    const nameOf = ({ layer, head }) => (head === null ? `L${layer} MLP` : nameHead({ layer, head }));

    const table = () => ({
      columns: [...bounds.heads.map((head) => `H${head}`), ...(mlps ? ["MLP"] : [])],
      rows: bounds.layers.map((layer, i) => ({
        name: `L${layer}`,
        values: [...heads.subarray(i * bounds.heads.length, (i + 1) * bounds.heads.length), ...(mlps ? [mlps[i]] : [])],
      })),
    });

    return { ...grid, draw, at, lines, nameOf, table };
  }

  return { makeGrid, upsideDown, map, effects };
})();
