// Heatmaps of one pattern, with what every heatmap shares. Every view has
// `draw(scene)` and tells `select` what was clicked and `hover` what is under the pointer.
// A scene is {name, state, bounds, content, overview, store, evidence, palette, diverging, theme}.
globalThis.reportgen ??= {};

reportgen.heatmaps = (() => {
  "use strict";

  const { forms, kinds, pattern, scale, shows, words } = reportgen;
  const LABEL_CHARACTERS = 12;
  const CHARACTER_PIXELS = 6.7;
  /** Below this many pixels across, labels are cut shorter. */
  const NARROW = 480;
  const NARROW_CHARACTERS = 6;
  const SMALLEST_FRAME = 120;
  const LARGEST_FRAME = 680;
  /** Labels read from the bottom to the top, so that they end where the axis is. */
  const UPWARD = Math.PI / 2;

  /** Labels of tokens, or words, on an axis: short, in the order of positions. */
  function unitLabels(units, width) {
    const most = width < NARROW ? NARROW_CHARACTERS : LABEL_CHARACTERS;
    return Array.from({ length: units.n }, (_, unit) => scale.cut(units.shown(unit), most));
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
      const end = show(high) || Number.EPSILON;
      figure.setColors(diverging, end, -end);
      return high;
    }
    const high = state.withFirst ? 1 : findStrongest() || pattern.weightOf(1);
    figure.setColors(palette, show(high) || Number.EPSILON);
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
  function keyOf({ scale, withFirst, renormalised, words: ofWords, show }, ...rest) {
    return [scale, withFirst, renormalised, ofWords, show, ...rest].join(" ");
  }

  function nameHead(place) {
    return place && `L${place.layer} H${place.head}`;
  }

  /**
   * Queries down, keys across.
   * @param {object} what `load(scene)` a form, `kindOf(state)` as `shows.KINDS`, `keyOf(state)` what the image depends on,
   *   `describe(cell, scene)` what the tooltip says, `hasSink` whether there is a column for learned sinks, `previews`
   *   whether the row under the pointer is shown in passing
   */
  function square(figure, { select, hover, preview }, what) {
    let sized = "";
    let sink = null;
    let units = null;

    async function draw(scene, isCurrent) {
      const { state, content } = scene;
      const form = await what.load(scene, isCurrent);
      if (!form || !isCurrent()) return;
      units = words.units(scene);
      const { n } = units;
      const kind = what.kindOf(state);
      const high = color(figure, scene, kind.signed, () => pattern.strongest(form, n, units.seesFirst(state)));
      drawBar(figure, scene, kind, high);
      sink = what.hasSink?.(content) ? { ...sinkColumn(n), values: form.sink } : null;
      figure.setImages(what.keyOf(state), () => {
        const display = scale.displayOf(state.scale, form.values);
        const values = pattern.square(form.codes, n, display, n, units.seesFirst(state), form.first);
        const image = { values, rows: n, columns: n, x: -0.5, y: -0.5, width: n, height: n };
        if (!sink) return [image];
        const seen = sink.values && state.withFirst;
        const taken = seen ? scale.displayOf(state.scale, sink.values) : new Float32Array(n).fill(Number.NaN);
        return [image, { ...image, values: taken, columns: 1, x: sink.x, width: sink.width }];
      });
      figure.setShade([kinds.outline(form.first)]);
      const size = [figure.width, n, state.range].join(" ");
      if (sized !== size) resize(scene);
      sized = size;
      figure.setMarks(state.marks ? forms.strongestByRow(form, n, units.seesFirst(state)) : []);
      const row = units.of(state.queryPos);
      figure.setFrames([{ x: -0.5, y: row - 0.5, width: row + 1, height: 1 }]);
    }

    /** The whole pattern, or the tokens of a range alone. */
    function resize({ bounds, state }) {
      const labels = unitLabels(units, figure.width);
      const { n } = units;
      const [from, to] = (state.range ?? [0, bounds.numTokens - 1]).map(units.of);
      const end = sink ? sink.x + sink.width : n - 0.5;
      const beyond = state.range ? 1 : (end + 0.5) / n;
      const room = figure.width - longest(labels) - barRoom(figure);
      const frame = Math.max(SMALLEST_FRAME, Math.min(LARGEST_FRAME, room / beyond));
      const across = state.range ? [from - 0.5, to + 0.5] : [-0.5, end];
      figure.setFrameSize(frame * beyond, frame, across, [to + 0.5, from - 0.5]);
      figure.model("x_axis").major_label_orientation = UPWARD;
      const at = (i) => (i < n ? i : sink.x + sink.width / 2);
      figure.setLabels("x", sink ? [...labels, "sink"] : labels, at, n);
      figure.setLabels("y", labels);
      figure.setDividers(bordersOf(n, units.of(bounds.numPromptTokens)));
    }

    function cell(x, y) {
      return [Math.round(y), Math.round(x)];
    }

    figure.onPointer({
      move: (x, y) => {
        if (what.previews) preview(() => ({ queryPos: units.last(cell(x, y)[0]) }));
        hover((scene) => {
          const [query, key] = cell(x, y);
          if (sink && x >= sink.x) return saySink(sink, units, query);
          if (key > query || (key === 0 && !units.seesFirst(scene.state))) return null;
          return what.describe({ queryPos: units.last(query), keyPos: units.first(key) }, scene);
        });
      },
      leave: () => {
        if (what.previews) preview(null);
        hover(null);
      },
      tap: (x, y) => select(() => ({ queryPos: units.last(cell(x, y)[0]) })),
    });
    return { draw };
  }

  /** Where the column of a learned sink stands: as wide as it must be to be seen. */
  function sinkColumn(n) {
    const width = Math.max(1, n / 24);
    return { x: n - 0.5 + width / 2, width };
  }

  function saySink({ values }, units, query) {
    const taken = values && scale.formatWeight(values[query]);
    return (
      values && `query \u2068${units.shown(query)}\u2069 at ${units.place(query)}\nlearned sink, no token: ${taken}`
    );
  }

  /** Where the prompt ends, in a pattern of n units that goes on behind it; `end` is the first that was generated. */
  function bordersOf(n, end) {
    if (!(end < n)) return [];
    const border = end - 0.5;
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
      load: ({ state, evidence }) => evidence.form(state.show, state.layer, state.head, state),
      kindOf: ({ show }) => shows.KINDS[show],
      hasSink: (content) => content.layer_types.some((kind) => kind.has_sink),
      previews: true,
      keyOf: (state) => keyOf(state, state.layer, state.head),
      describe: (cell, { state }) => ({ ...cell, layer: state.layer, head: state.head }),
    });
  }

  return {
    SMALLEST_FRAME,
    UPWARD,
    unitLabels,
    longest,
    color,
    barRoom,
    drawBar,
    sayRange,
    keyOf,
    nameHead,
    square,
    head,
  };
})();
