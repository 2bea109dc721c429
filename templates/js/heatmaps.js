// Heatmaps of whole patterns: all heads in one image, and one head; with what every heatmap shares. Every view has
// `draw(scene)` and tells `select` what was clicked and `hover` what is under the pointer.
// A scene is {name, state, bounds, content, overviewCodes, store, evidence, palette, diverging, theme}.
globalThis.reportgen ??= {};

reportgen.heatmaps = (() => {
  "use strict";

  const { pattern, scale, scores, shows, ledger } = reportgen;
  const LABEL_CHARACTERS = 12;
  const CHARACTER_PIXELS = 6.7;
  /** Below this many pixels across, labels are cut shorter. */
  const NARROW = 480;
  const NARROW_CHARACTERS = 6;
  const SMALLEST_FRAME = 120;
  /** Cells along a tile of the overview. */
  const SMALLEST_SIDE = 12;
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

  /**
   * Colour a figure: shares up to 1, or up to the strongest where the first token is left out; values with a sign as far
   * to both sides as the strongest is from 0.
   * @returns {number} the value at the end of the scale
   */
  function color(figure, { state, palette, diverging }, signed, findStrongest) {
    const show = scale.show[state.scale];
    if (signed) {
      const high = findStrongest() || 1;
      figure.setColors(diverging, show(high), -show(high));
      return high;
    }
    const high = state.withFirst ? 1 : findStrongest() || pattern.weightOf(1);
    figure.setColors(palette, show(high));
    return high;
  }

  /** Pixels beside a frame for its colour bar and what lies between; where there is little room there is no bar. */
  function barRoom(figure) {
    return figure.width < NARROW ? 24 : 138;
  }

  /** The colour bar of a figure that was coloured up to `high`; where it has no room, words say what the colours reach to. */
  function drawBar(figure, { state }, kind, high) {
    const { signed, unit } = kind;
    const wide = figure.width >= NARROW;
    figure.showMargins(wide);
    figure.say(wide ? "" : `; colours: ${signed ? "" : `${unit} `}${sayRange(kind, high)}`);
    figure.setBar(unit, signed ? scale.signedTicksOf(state.scale, high) : scale.ticksOf(state.scale, high));
  }

  /** What the colours of a figure without a bar reach to, in words. */
  function sayRange({ signed, unit }, high) {
    return signed
      ? `${scale.formatSigned(-high)} to ${scale.formatSigned(high)} ${unit}`
      : `0 to ${scale.formatFine(high)}`;
  }

  /** What an image depends on beside the heads that it shows. */
  function keyOf({ scale, withFirst, show }, ...rest) {
    return [scale, withFirst, show, ...rest].join(" ");
  }

  /** All patterns in one image. */
  function overview(figure, { select, hover }) {
    let sized = "";
    let grid = null;

    async function draw(scene, isCurrent) {
      const { state, bounds } = scene;
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const step = reportgen.state.stepOf(state.queryPos, bounds);
      const found =
        bounds.measures.includes(state.by) && step !== null ? await scene.evidence.grid(state.by, step) : null;
      if (!isCurrent()) return;
      grid = found;
      if (state.by === "pattern") drawPatterns(scene, rows, columns);
      else if (bounds.measures.includes(state.by)) drawGrid(scene, rows, columns, step);
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
      const high = color(figure, scene, false, () => pattern.weightOf(codes.reduce((a, b) => Math.max(a, b), 0)));
      figure.say(`Colours: weight ${sayRange({ signed: false }, high)}; click a head.`);
      figure.setImages([state.scale, state.withFirst, state.by].join(" "), () => {
        const display = scale.displayOf(state.scale, pattern.WEIGHTS);
        // A line between tiles is one cell wide: those of few cells are drawn with several each, or it would be too wide.
        const grown = Math.max(1, Math.floor(SMALLEST_SIDE / side));
        const values = mosaic(codes, rows, columns, side, display, grown);
        const across = side * grown + 1;
        return [{ values, rows: rows * across, columns: columns * across, x: 0, y: 0, width: columns, height: rows }];
      });
    }

    /** A cell for each head, coloured from 0 to the largest score, whatever the scale of the weights. */
    function drawScore({ state, content, palette }, rows, columns) {
      figure.setColors(palette, scores.largest(content, state.by) || 1);
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      const largest = scores.format(scores.largest(content, kind.name), kind);
      figure.say(`Colours from 0 to ${largest}${kind.is_share ? "" : " tokens"}; click a head.`);
      figure.setImages(state.by, () => {
        const values = Float32Array.from(content.scores[state.by].flat(), (value) => value ?? Number.NaN);
        return [{ values, rows, columns, x: 0, y: 0, width: columns, height: rows }];
      });
    }

    /** A cell for each head, by what is known of it at the chosen step. */
    function drawGrid(scene, rows, columns, step) {
      const { state } = scene;
      const values = grid ?? new Float32Array(rows * columns).fill(Number.NaN);
      const kind = { signed: true, unit: ledger.unitOf(state.by) };
      const high = color(figure, scene, true, () => pattern.largest(values));
      figure.say(
        step === null ? "Known for steps alone; select one." : `Step ${step}: ${sayRange(kind, high)}; click a head.`,
      );
      figure.setImages([state.by, state.scale, step].join(" "), () => [
        { values: scale.displayOf(state.scale, values), rows, columns, x: 0, y: 0, width: columns, height: rows },
      ]);
    }

    function resize(rows, columns, bounds) {
      const tile = Math.max(7, Math.min(40, (figure.width - 58) / columns, 640 / rows));
      figure.setFrameSize(tile * columns, tile * rows, [0, columns], [rows, 0]);
      figure.setLabels("x", bounds.heads.map(String), (i) => i + 0.5);
      figure.setLabels("y", bounds.layers.map(String), (i) => i + 0.5);
    }

    function describe(place, { state, content }) {
      if (place && grid && content.measures.includes(state.by)) {
        const value =
          grid[content.layers.indexOf(place.layer) * content.heads.length + content.heads.indexOf(place.head)];
        return `${nameHead(place)}\n${scale.formatSigned(value, 3)} ${ledger.unitOf(state.by)}`;
      }
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

  /**
   * Thumbnails `[layer, head, row, column]` beside one another, each code `grown` cells wide and high, with an undefined
   * line between any two.
   */
  function mosaic(codes, rows, columns, side, display, grown) {
    const across = side * grown + 1;
    const width = columns * across;
    const values = new Float32Array(rows * across * width).fill(Number.NaN);
    for (let tile = 0; tile < rows * columns; tile++) {
      const corner = Math.floor(tile / columns) * across * width + (tile % columns) * across;
      for (let y = 0; y < side * grown; y++) {
        const i = Math.floor(y / grown);
        for (let x = 0; x < (i + 1) * grown; x++) {
          values[corner + y * width + x] = display[codes[(tile * side + i) * side + Math.floor(x / grown)]];
        }
      }
    }
    return values;
  }

  function nameHead(place) {
    return place && `L${place.layer} H${place.head}`;
  }

  /**
   * Queries down, keys across.
   * @param {object} what `load(scene)` a form, `kindOf(state)` as `shows.KINDS`, `keyOf(state)` what the image depends on,
   *   `describe(cell, scene)` what the tooltip says
   */
  function square(figure, { select, hover }, what) {
    let sized = "";

    async function draw(scene, isCurrent) {
      const { state, bounds, content } = scene;
      const form = await what.load(scene);
      if (!isCurrent()) return;
      const n = bounds.numTokens;
      const kind = what.kindOf(state);
      const high = color(figure, scene, kind.signed, () => pattern.strongest(form, n, state.withFirst));
      drawBar(figure, scene, kind, high);
      figure.setImages(what.keyOf(state), () => {
        const display = scale.displayOf(state.scale, form.values);
        const values = pattern.square(form.codes, n, display, n, state.withFirst);
        return [{ values, rows: n, columns: n, x: -0.5, y: -0.5, width: n, height: n }];
      });
      if (sized !== `${figure.width}`) resize(bounds, content);
      sized = `${figure.width}`;
      figure.setFrames([{ x: -0.5, y: state.queryPos - 0.5, width: state.queryPos + 1, height: 1 }]);
    }

    function resize(bounds, content) {
      const labels = tokenLabels(content, figure.width);
      const n = bounds.numTokens;
      const room = figure.width - longest(labels) - barRoom(figure);
      const frame = Math.max(SMALLEST_FRAME, Math.min(680, room));
      figure.setFrameSize(frame, frame, [-0.5, n - 0.5], [n - 0.5, -0.5]);
      figure.model("x_axis").major_label_orientation = UPWARD;
      figure.setLabels("x", labels);
      figure.setLabels("y", labels);
      figure.setDividers(bordersOf(bounds));
    }

    function cell(x, y) {
      return { queryPos: Math.round(y), keyPos: Math.round(x) };
    }

    figure.onPointer({
      move: (x, y) =>
        hover((scene) => {
          const { queryPos, keyPos } = cell(x, y);
          if (keyPos > queryPos || (keyPos === 0 && !scene.state.withFirst)) return null;
          return what.describe({ queryPos, keyPos }, scene);
        }),
      leave: () => hover(null),
      tap: (x, y) => select(() => ({ queryPos: cell(x, y).queryPos })),
    });
    return { draw };
  }

  /** Where the prompt ends, in a pattern that goes on behind it. */
  function bordersOf({ numTokens: n, numPromptTokens }) {
    const border = numPromptTokens - 0.5;
    if (n <= numPromptTokens) return [];
    return [
      [
        [border, border],
        [border, n - 0.5],
      ],
      [
        [-0.5, border],
        [border, border],
      ],
    ];
  }

  /** The chosen head. */
  function head(figure, on) {
    return square(figure, on, {
      load: ({ state, evidence, name }) => {
        figure.model("save").filename = `${name}-L${state.layer}-H${state.head}`;
        return evidence.form(state.show, state.layer, state.head);
      },
      kindOf: ({ show }) => shows.KINDS[show],
      keyOf: (state) => keyOf(state, state.layer, state.head),
      describe: (cell, { state }) => ({ ...cell, layer: state.layer, head: state.head }),
    });
  }

  return {
    SMALLEST_FRAME,
    UPWARD,
    tokenLabels,
    longest,
    color,
    barRoom,
    drawBar,
    sayRange,
    keyOf,
    nameHead,
    square,
    overview,
    head,
  };
})();
