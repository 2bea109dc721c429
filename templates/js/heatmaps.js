// Heatmaps of whole patterns: all heads in one image, and one head; with what every heatmap shares. Every view has
// `draw(scene)` and tells `select` what was clicked and `hover` what is under the pointer.
// A scene is {name, state, bounds, content, overviewCodes, store, palette, theme}.
globalThis.reportgen ??= {};

reportgen.heatmaps = (() => {
  "use strict";

  const { pattern, scale, scores } = reportgen;
  const LABEL_CHARACTERS = 12;
  const CHARACTER_PIXELS = 6.7;
  /** Below this many pixels across, labels are cut shorter. */
  const NARROW = 480;
  const NARROW_CHARACTERS = 7;
  const SMALLEST_FRAME = 120;
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
      const { state, bounds } = scene;
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      if (state.by === "pattern") drawPatterns(scene, rows, columns);
      else drawScore(scene, rows, columns);
      if (sized !== `${figure.width}`) resize(rows, columns, bounds);
      sized = `${figure.width}`;
      const [row, column] = [bounds.layers.indexOf(state.layer), bounds.heads.indexOf(state.head)];
      figure.setFrames([{ x: column, y: row, width: 1, height: 1 }]);
    }

    function drawPatterns(scene, rows, columns) {
      const { state, content, overviewCodes } = scene;
      const side = content.thumbnail_side;
      const codes = state.withFirst ? overviewCodes : withoutFirstColumn(overviewCodes, side);
      color(figure, scene, () => codes.reduce((a, b) => Math.max(a, b), 0));
      figure.setImages(keyOf(state, state.by), () => {
        const values = mosaic(codes, rows, columns, side, scale.displayOf(state.scale));
        return [
          { values, rows: rows * (side + 1), columns: columns * (side + 1), x: 0, y: 0, width: columns, height: rows },
        ];
      });
    }

    /** A cell for each head, coloured from 0 to the largest score, whatever the scale of the weights. */
    function drawScore({ state, content, palette }, rows, columns) {
      figure.setColors(palette, scores.largest(content, state.by) || 1);
      figure.setImages(state.by, () => {
        const values = Float32Array.from(content.scores[state.by].flat(), (value) => value ?? Number.NaN);
        return [{ values, rows, columns, x: 0, y: 0, width: columns, height: rows }];
      });
    }

    function resize(rows, columns, bounds) {
      const tile = Math.max(7, Math.min(40, (figure.width - 58) / columns, 640 / rows));
      figure.setFrameSize(tile * columns, tile * rows, [0, columns], [rows, 0]);
      figure.setLabels("x", bounds.heads.map(String), (i) => i + 0.5);
      figure.setLabels("y", bounds.layers.map(String), (i) => i + 0.5);
    }

    function describe(place, { state, content }) {
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      if (!place || !kind) return nameHead(place);
      return `${nameHead(place)}\n${kind.title} ${scores.format(scores.scoreOf(content, state.by, place.layer, place.head), kind)}`;
    }

    function at(x, y, bounds) {
      const layer = bounds.layers[Math.floor(y)];
      const head = bounds.heads[Math.floor(x)];
      return layer === undefined || head === undefined ? null : { layer, head };
    }

    figure.onPointer({
      move: (x, y) => hover((scene) => describe(at(x, y, scene.bounds), scene)),
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

  return { SMALLEST_FRAME, UPWARD, tokenLabels, longest, color, keyOf, nameHead, overview, head };
})();
