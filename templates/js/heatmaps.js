// What each heatmap shows of a capture, and what its pointer means. Every view has `draw(scene)` and tells `select` what was
// clicked and `hover` what is under the pointer. A scene is {name, state, bounds, content, overviewCodes, store, palette, theme}.
globalThis.reportgen ??= {};

reportgen.heatmaps = (() => {
  "use strict";

  const { pattern, scale } = reportgen;
  const LABEL_CHARACTERS = 12;
  const CHARACTER_PIXELS = 6.7;
  /** Below this many pixels across, labels are cut shorter. */
  const NARROW = 480;
  const NARROW_CHARACTERS = 7;
  const SMALLEST_FRAME = 120;
  const SMALLEST_TILE = 140;
  /** Labels read from the bottom to the top, so that they end where the axis is. */
  const UPWARD = Math.PI / 2;

  /** Labels of tokens on an axis: short, in the order of positions. */
  function tokenLabels(content, width) {
    const most = width < NARROW ? NARROW_CHARACTERS : LABEL_CHARACTERS;
    return content.tokens.map(([, shown]) => scale.cut(shown, most));
  }

  function longest(labels) {
    return Math.max(1, ...labels.map((label) => Array.from(label).length)) * CHARACTER_PIXELS;
  }

  /** Colour a figure up to weight 1; where the first token is left out, up to the strongest of the rest. Returns that weight. */
  function color(figure, { state, palette }, findStrongest) {
    const high = state.withFirst ? 1 : pattern.weightOf(Math.max(1, findStrongest()));
    figure.setColors(palette, scale.show[state.scale](high));
    return high;
  }

  /** What an image depends on beside the heads that it shows. */
  function keyOf({ scale, withFirst }, ...rest) {
    return [scale, withFirst, ...rest].join(" ");
  }

  /** All patterns in one image. */
  function overview(figure, { select, hover }) {
    let sized = "";

    function draw(scene) {
      const { state, bounds, content, overviewCodes } = scene;
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const side = content.thumbnail_side;
      const codes = state.withFirst ? overviewCodes : withoutFirstColumn(overviewCodes, side);
      color(figure, scene, () => codes.reduce((a, b) => Math.max(a, b), 0));
      figure.setImages(keyOf(state), () => {
        const values = mosaic(codes, rows, columns, side, scale.displayOf(state.scale));
        return [
          { values, rows: rows * (side + 1), columns: columns * (side + 1), x: 0, y: 0, width: columns, height: rows },
        ];
      });
      if (sized !== `${figure.width}`) resize(rows, columns, bounds);
      sized = `${figure.width}`;
      const [row, column] = [bounds.layers.indexOf(state.layer), bounds.heads.indexOf(state.head)];
      figure.setFrames([{ x: column, y: row, width: 1, height: 1 }]);
    }

    function resize(rows, columns, bounds) {
      const tile = Math.max(7, Math.min(40, (figure.width - 58) / columns, 640 / rows));
      figure.setFrameSize(tile * columns, tile * rows, [0, columns], [rows, 0]);
      figure.setLabels("x", bounds.heads.map(String), (i) => i + 0.5);
      figure.setLabels("y", bounds.layers.map(String), (i) => i + 0.5);
    }

    function at(x, y, bounds) {
      const layer = bounds.layers[Math.floor(y)];
      const head = bounds.heads[Math.floor(x)];
      return layer === undefined || head === undefined ? null : { layer, head };
    }

    figure.onPointer({
      move: (x, y) => hover((scene) => nameHead(at(x, y, scene.bounds))),
      leave: () => hover(null),
      tap: (x, y) => select((scene) => at(x, y, scene.bounds)),
    });
    return { draw };
  }

  function withoutFirstColumn(codes, side) {
    return codes.map((code, i) => (i % side === 0 ? 0 : code));
  }

  /** Thumbnails `[layer, head, row, column]` beside one another, with an undefined line between any two. */
  function mosaic(codes, rows, columns, side, display) {
    const width = columns * (side + 1);
    const values = new Float32Array(rows * (side + 1) * width).fill(Number.NaN);
    for (let tile = 0, cell = 0; tile < rows * columns; tile++) {
      const corner = Math.floor(tile / columns) * (side + 1) * width + (tile % columns) * (side + 1);
      for (let i = 0; i < side; i++) {
        for (let j = 0; j < side; j++, cell++) if (j <= i) values[corner + i * width + j] = display[codes[cell]];
      }
    }
    return values;
  }

  function nameHead(place) {
    return place && `L${place.layer} H${place.head}`;
  }

  /** One head, queries down, keys across. */
  function head(figure, { select, hover }) {
    let sized = "";
    let codes = new Uint8Array();

    async function draw(scene, isCurrent) {
      const { state, bounds, content, store } = scene;
      const drawn = await store.headCodes(state.layer, state.head);
      if (!isCurrent()) return;
      codes = drawn;
      const n = bounds.numTokens;
      drawBar(
        state.scale,
        color(figure, scene, () => pattern.strongestCode(codes, n, state.withFirst)),
      );
      figure.setImages(keyOf(state, state.layer, state.head), () => {
        const values = pattern.square(codes, n, scale.displayOf(state.scale), n, state.withFirst);
        return [{ values, rows: n, columns: n, x: -0.5, y: -0.5, width: n, height: n }];
      });
      figure.model("save").filename = `${scene.name}-L${state.layer}-H${state.head}`;
      if (sized !== `${figure.width}`) resize(bounds, content);
      sized = `${figure.width}`;
      figure.setFrames([{ x: -0.5, y: state.queryPos - 0.5, width: state.queryPos + 1, height: 1 }]);
    }

    function drawBar(name, high) {
      const ticks = scale.ticksOf(name, high);
      figure.model("bar_ticker").ticks = ticks.map(({ at }) => at);
      figure.model("bar").major_label_overrides = new Map(ticks.map(({ at, label }) => [at, label]));
    }

    function resize(bounds, content) {
      const labels = tokenLabels(content, figure.width);
      const n = bounds.numTokens;
      const room = figure.width - longest(labels) - 100;
      const frame = Math.max(SMALLEST_FRAME, Math.min(680, room));
      figure.setFrameSize(frame, frame, [-0.5, n - 0.5], [n - 0.5, -0.5]);
      figure.model("x_axis").major_label_orientation = UPWARD;
      figure.setLabels("x", labels);
      figure.setLabels("y", labels);
      const border = bounds.numPromptTokens - 0.5;
      const generated = n > bounds.numPromptTokens;
      figure.setDividers(
        generated
          ? [
              [
                [border, border],
                [border, n - 0.5],
              ],
              [
                [-0.5, border],
                [border, border],
              ],
            ]
          : [],
      );
    }

    function cell(x, y) {
      return { queryPos: Math.round(y), keyPos: Math.round(x) };
    }

    figure.onPointer({
      move: (x, y) =>
        hover((scene) => {
          const { queryPos, keyPos } = cell(x, y);
          if (keyPos > queryPos || (keyPos === 0 && !scene.state.withFirst)) return null;
          return { queryPos, keyPos, code: pattern.rowOf(codes, queryPos)[keyPos] };
        }),
      leave: () => hover(null),
      tap: (x, y) => select(() => ({ queryPos: cell(x, y).queryPos })),
    });
    return { draw };
  }

  /** How many of `count` tiles to put in a row of at most `most`, so that all rows are about as long. */
  function balance(count, most) {
    return Math.ceil(count / Math.ceil(count / most));
  }

  /**
   * Patterns side by side.
   * @param {(scene) => {layer, head, label}[]} listTiles which heads
   */
  function tiles(figure, { select, hover }, listTiles) {
    const GAP = 0.06;
    const TITLE_PIXELS = 24;
    let grid = { columns: 1, title: 0, shown: [], codes: [] };

    async function draw(scene, isCurrent) {
      const { state, bounds, store } = scene;
      const shown = listTiles(scene);
      const codes = await Promise.all(shown.map(({ layer, head }) => store.headCodes(layer, head)));
      if (!isCurrent()) return;
      const n = bounds.numTokens;
      const columns = balance(shown.length, Math.max(2, Math.floor(figure.width / SMALLEST_TILE)));
      const pixels = Math.min(240, (figure.width - 10) / columns);
      grid = { columns, title: TITLE_PIXELS / pixels, shown, codes };
      const side = sideOf(n, pixels);
      color(figure, scene, () => Math.max(...codes.map((one) => pattern.strongestCode(one, n, state.withFirst))));
      figure.setImages(keyOf(state, side, columns, ...shown.map(nameHead)), () => {
        const display = scale.displayOf(state.scale);
        const values = (one) => pattern.square(one, n, display, side, state.withFirst);
        return codes.map((one, i) => ({ values: values(one), rows: side, columns: side, ...box(i) }));
      });
      const height = Math.ceil(shown.length / columns) * rowHeight();
      figure.setFrameSize(pixels * columns, pixels * height, [0, columns], [height, 0]);
      figure.model("labels").data = {
        x: shown.map((_, i) => box(i).x),
        y: shown.map((_, i) => box(i).y - 4 / pixels),
        text: shown.map(({ label }) => label),
      };
      figure.setFrames(
        shown.flatMap((tile, i) => (tile.layer === state.layer && tile.head === state.head ? [box(i)] : [])),
      );
      for (const note of figure.element.parentElement.querySelectorAll(".pooled")) note.hidden = side >= n;
    }

    /** Cells along the side of a tile: those of the pattern, as long as each has a pixel of its own. */
    function sideOf(n, pixels) {
      return Math.min(n, Math.floor(pixels * (1 - GAP) * Math.min(2, globalThis.devicePixelRatio || 1)));
    }

    /** A tile is one unit wide, its gap to the next one included; its title stands above it. */
    function rowHeight() {
      return 1 + grid.title;
    }

    function box(i) {
      const [row, column] = [Math.floor(i / grid.columns), i % grid.columns];
      return { x: column, y: row * rowHeight() + grid.title, width: 1 - GAP, height: 1 - GAP };
    }

    function at(x, y) {
      return grid.shown.findIndex((_, i) => {
        const { x: left, y: top, width, height } = box(i);
        return x >= left && x < left + width && y >= top && y < top + height;
      });
    }

    function cell(x, y, i, n) {
      const { x: left, y: top, width, height } = box(i);
      return { queryPos: Math.floor(((y - top) / height) * n), keyPos: Math.floor(((x - left) / width) * n) };
    }

    figure.onPointer({
      move: (x, y) =>
        hover((scene) => {
          const i = at(x, y);
          if (i < 0) return null;
          const { queryPos, keyPos } = cell(x, y, i, scene.bounds.numTokens);
          const place = nameHead(grid.shown[i]);
          if (keyPos > queryPos) return place;
          return { place, queryPos, keyPos, code: pattern.rowOf(grid.codes[i], queryPos)[keyPos] };
        }),
      leave: () => hover(null),
      tap: (x, y) =>
        select(() => {
          const tile = grid.shown[at(x, y)];
          return tile ? { layer: tile.layer, head: tile.head } : null;
        }),
    });
    return { draw };
  }

  /**
   * What one query reads: the context across, a row for each head of a layer or each layer of a head.
   * @param {(scene) => {layer, head, label}[]} listRows which heads
   */
  function rows(figure, { select, hover }, listRows) {
    let shown = [];
    let codes = [];

    async function draw(scene, isCurrent) {
      const { state, bounds, content, store } = scene;
      const listed = listRows(scene);
      const patterns = await Promise.all(listed.map(({ layer, head }) => store.headCodes(layer, head)));
      if (!isCurrent()) return;
      shown = listed;
      codes = patterns.map((one) => pattern.rowOf(one, state.queryPos));
      const columns = state.queryPos + 1;
      color(figure, scene, () => Math.max(...codes.flatMap((row) => [...row.subarray(1)])));
      figure.setImages(keyOf(state, state.queryPos, ...shown.map(nameHead)), () => [
        {
          values: stack(state, columns),
          rows: shown.length,
          columns,
          x: -0.5,
          y: -0.5,
          width: columns,
          height: shown.length,
        },
      ]);
      resize(columns, tokenLabels(content, figure.width).slice(0, columns), state, bounds);
    }

    function stack({ scale: name, withFirst }, columns) {
      const display = scale.displayOf(name);
      const values = new Float32Array(shown.length * columns);
      codes.forEach((row, i) => {
        values.set(
          Float32Array.from(row, (code) => display[code]),
          i * columns,
        );
        if (!withFirst) values[i * columns] = Number.NaN;
      });
      return values;
    }

    function resize(columns, labels, state, bounds) {
      const height = shown.length * Math.max(11, Math.min(26, 320 / shown.length));
      const width = Math.max(SMALLEST_FRAME, figure.width - 62);
      figure.setFrameSize(Math.min(width, columns * 40), height, [-0.5, columns - 0.5], [shown.length - 0.5, -0.5]);
      figure.model("x_axis").major_label_orientation = UPWARD;
      figure.setLabels("x", labels);
      figure.setLabels(
        "y",
        shown.map(({ label }) => label),
      );
      const selected = shown.findIndex(({ layer, head }) => layer === state.layer && head === state.head);
      figure.setFrames([{ x: -0.5, y: selected - 0.5, width: columns, height: 1 }]);
      const border = bounds.numPromptTokens - 0.5;
      figure.setDividers(
        columns - 0.5 > border
          ? [
              [
                [border, -0.5],
                [border, shown.length - 0.5],
              ],
            ]
          : [],
      );
    }

    figure.onPointer({
      move: (x, y) =>
        hover((scene) => {
          const [row, keyPos] = [Math.round(y), Math.round(x)];
          if (!shown[row] || codes[row][keyPos] === undefined) return null;
          return { place: nameHead(shown[row]), queryPos: scene.state.queryPos, keyPos, code: codes[row][keyPos] };
        }),
      leave: () => hover(null),
      tap: (_, y) =>
        select(() =>
          shown[Math.round(y)] ? { layer: shown[Math.round(y)].layer, head: shown[Math.round(y)].head } : null,
        ),
    });
    return { draw };
  }

  /** The log-probability of the chosen token by step. */
  function logprobs(figure, { select, hover }) {
    const floor = (logprob) => logprob ?? 0;

    function draw({ state, bounds, content, theme }) {
      const raw = content.steps.map((step) => floor(step.raw.logprob));
      const filtered = content.steps.map((step) => floor(step.filtered.logprob));
      const chosen = reportgen.state.stepOf(state.queryPos, bounds);
      const steps = raw.map((_, step) => step);
      figure.model("bars").data = {
        step: steps,
        logprob: raw,
        color: steps.map((step) => (step === chosen ? theme["bar-chosen"] : theme.bar)),
      };
      const differs = steps.filter((step) => Math.abs(raw[step] - filtered[step]) > 1e-4);
      figure.model("marks").data = { step: differs, logprob: differs.map((step) => filtered[step]) };
      const lowest = Math.min(-0.1, ...raw, ...filtered) * 1.06;
      const width = Math.max(SMALLEST_FRAME, figure.width - 72);
      figure.setFrameSize(
        Math.min(width, Math.max(260, steps.length * 64)),
        120,
        [-0.6, steps.length - 0.4],
        [lowest, 0],
      );
      const generated = tokenLabels(content, figure.width).slice(bounds.numPromptTokens);
      const labels = generated.map((label, step) => `${step} ${label}`);
      const upward = longest(labels) * steps.length > figure.plot.frame_width;
      figure.model("x_axis").major_label_orientation = upward ? UPWARD : 0;
      figure.setLabels("x", labels);
    }

    const stepAt = (x, { content }) => (content.steps[Math.round(x)] ? Math.round(x) : null);
    figure.onPointer({
      move: (x) =>
        hover((scene) => {
          const step = stepAt(x, scene);
          if (step === null) return null;
          const { raw, filtered } = scene.content.steps[step];
          const shown = scene.content.tokens[scene.bounds.numPromptTokens + step][1];
          return `step ${step}: ${shown}\n${scale.formatPercent(raw.logprob)} by the model, ${scale.formatPercent(filtered.logprob)} after sampling filters`;
        }),
      leave: () => hover(null),
      tap: (x) =>
        select((scene) => {
          const step = stepAt(x, scene);
          return step === null ? null : { queryPos: reportgen.state.queryPosOfStep(step, scene.bounds) };
        }),
    });
    return { draw };
  }

  const headsOfLayer = ({ state, bounds }, label) =>
    bounds.heads.map((head) => ({ layer: state.layer, head, label: label(head) }));
  const layersOfHead = ({ state, bounds }, label) =>
    bounds.layers.map((layer) => ({ layer, head: state.head, label: label(layer) }));

  /** How each figure is made into a view. */
  const VIEWS = {
    overview,
    head,
    layer_tiles: (figure, on) => tiles(figure, on, (scene) => headsOfLayer(scene, (head) => `head ${head}`)),
    head_tiles: (figure, on) => tiles(figure, on, (scene) => layersOfHead(scene, (layer) => `layer ${layer}`)),
    step_heads: (figure, on) => rows(figure, on, (scene) => headsOfLayer(scene, String)),
    step_layers: (figure, on) => rows(figure, on, (scene) => layersOfHead(scene, String)),
    logprobs,
  };

  return { VIEWS };
})();
