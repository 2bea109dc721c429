// The overview: the pattern of every layer and head in one image, or a cell for each of them by a score or a measure.
globalThis.reportgen ??= {};

reportgen.overview = (() => {
  "use strict";

  const { kinds, ledger, pattern, scale, scores } = reportgen;
  const { color, longest, nameHead, sayRange } = reportgen.heatmaps;
  /** Cells along a tile. */
  const SMALLEST_SIDE = 12;
  const CLICK = "; click a head.";
  /** Height of what stands for layers without attention. */
  const GAP_PIXELS = 15;

  /** Layers down, heads across. */
  function overview(figure, { select, hover, preview }) {
    let sized = "";
    let grid = null;
    let layout = null;

    async function draw(scene, isCurrent) {
      const { state, bounds, content } = scene;
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const step = reportgen.state.stepOf(state.queryPos, bounds);
      const found =
        bounds.grid_metrics.includes(state.by) && step !== null ? await scene.evidence.grid(state.by, step) : null;
      const codes = state.by === "pattern" ? await scene.overview() : null;
      if (!isCurrent()) return;
      grid = found;
      const labels = [...bounds.layers.map(String), ...content.gaps.map(kinds.nameGap)];
      const room = (figure.width - Math.max(58, 46 + longest(labels))) / columns;
      layout = { ...layOut(content, Math.max(7, Math.min(40, room, 640 / rows))), room };
      if (state.by === "pattern") drawPatterns(scene, codes, rows, columns);
      else if (bounds.grid_metrics.includes(state.by)) drawGrid(scene, rows, columns, step);
      else drawScore(scene);
      if (sized !== `${figure.width}`) resize(bounds);
      sized = `${figure.width}`;
      const [row, column] = [bounds.layers.indexOf(state.layer), bounds.heads.indexOf(state.head)];
      figure.setFrames([{ x: column, y: layout.tops[row], width: 1, height: 1 }]);
    }

    /** Draw `values`, so many rows and columns of them for each layer. */
    function drawImages(key, makeValues, { layers, heads }, perLayer, across) {
      const { tops, gaps } = layout;
      figure.setImages(gaps.length ? `${key} ${figure.width}` : key, () => {
        const values = makeValues();
        const image = { values, rows: perLayer * layers.length, columns: across, x: 0, y: 0, width: heads.length };
        if (!gaps.length) return [{ ...image, height: layers.length }];
        const size = perLayer * across;
        const own = (y, i) => ({ values: values.subarray(i * size, (i + 1) * size), rows: perLayer, y, height: 1 });
        const empty = { values: Float32Array.of(Number.NaN), rows: 1, columns: 1 };
        return [
          ...tops.map((y, i) => ({ ...image, ...own(y, i) })),
          ...gaps.map(({ y, height }) => ({ ...image, ...empty, y, height })),
        ];
      });
    }

    function drawPatterns(scene, all, rows, columns) {
      const { state, bounds, content } = scene;
      const side = content.thumbnail_side;
      const codes = state.withFirst ? all : withoutFirstColumn(all, side);
      const high = color(
        figure,
        scene,
        false,
        () => pattern.weightsOf(codes)[codes.reduce((a, b) => Math.max(a, b), 0)],
      );
      figure.say(`Colours: weight ${sayRange({ signed: false }, high)}`, CLICK);
      // A line between tiles is one cell wide: those of few cells are drawn with several each, or it would be too wide.
      const grown = Math.max(1, Math.floor(SMALLEST_SIDE / side));
      const across = side * grown + 1;
      const makeValues = () => {
        const display = scale.displayOf(state.scale, pattern.weightsOf(codes));
        return mosaic(codes, rows, columns, side, display, grown, firstCells(content));
      };
      drawImages([state.scale, state.withFirst, state.by].join(" "), makeValues, bounds, across, columns * across);
    }

    /** A cell for each head, coloured from 0 to the largest score, whatever the scale of the weights. */
    function drawScore({ state, bounds, content, palette }) {
      figure.setColors(palette, scores.largest(content, state.by) || 1);
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      const largest = scores.format(scores.largest(content, kind.name), kind);
      figure.say(`Colours from 0 to ${largest}${kind.is_share ? "" : " tokens"}`, CLICK);
      const makeValues = () => Float32Array.from(content.scores[state.by].flat(), (value) => value ?? Number.NaN);
      drawImages(state.by, makeValues, bounds, 1, bounds.heads.length);
    }

    /** A cell for each head, by what is known of it at the chosen step. */
    function drawGrid(scene, rows, columns, step) {
      const { state, bounds } = scene;
      const values = grid ?? new Float32Array(rows * columns).fill(Number.NaN);
      const kind = { signed: true, unit: ledger.unitOf(state.by) };
      const high = color(figure, scene, true, () => pattern.largest(values));
      if (step === null) figure.say("Known for steps alone; select one.");
      else figure.say(`Step ${step}: ${sayRange(kind, high)}`, CLICK);
      const makeValues = () => scale.displayOf(state.scale, values);
      drawImages([state.by, state.scale, step].join(" "), makeValues, bounds, 1, columns);
    }

    function resize({ layers, heads }) {
      const { tile, tops, gaps, height, room } = layout;
      // Narrower than high where there are many heads: each of them must be there to be clicked.
      figure.setFrameSize(Math.min(tile, room) * heads.length, tile * height, [0, heads.length], [height, 0]);
      figure.setLabels("x", heads.map(String), (i) => i + 0.5);
      const middles = [...tops.map((y) => y + 0.5), ...gaps.map((gap) => gap.y + gap.height / 2)];
      figure.setLabels("y", [...layers.map(String), ...gaps.map(kinds.nameGap)], (i) => middles[i], layers.length);
      if (!gaps.length) return;
      figure.model("gaps").data = {
        x: gaps.map(() => 0),
        y: gaps.map((gap) => gap.y + gap.height / 2),
        text: gaps.map(({ what }) => what || "no attention"),
      };
    }

    function describe(place, { state, content }) {
      if (place && !place.gap && grid && content.grid_metrics.includes(state.by)) {
        const value =
          grid[content.layers.indexOf(place.layer) * content.heads.length + content.heads.indexOf(place.head)];
        return `${nameHead(place)}\n${scale.formatSigned(value, 3)} ${ledger.unitOf(state.by)}`;
      }
      if (place?.gap) return sayGap(place.gap);
      const kind = content.score_kinds.find(({ name }) => name === state.by);
      if (!place) return null;
      if (!kind) return [nameHead(place), ...kinds.describeHead(content, place.layer, place.head)].join("\n");
      return `${nameHead(place)}\n${kind.title} ${scores.format(scores.scoreOf(content, state.by, place.layer, place.head), kind)}`;
    }

    /** The head at a place, or the layers without attention, as `gap`. */
    function at(x, y, { layers, heads }) {
      const gap = layout.gaps.find((one) => y >= one.y && y < one.y + one.height);
      if (gap) return { gap };
      const layer = layers[layout.tops.findIndex((top) => y >= top && y < top + 1)];
      const head = heads[Math.floor(x)];
      return layer === undefined || head === undefined ? null : { layer, head };
    }

    function headAt(x, y, { bounds }) {
      const place = at(x, y, bounds);
      return place?.gap ? null : place;
    }

    figure.onPointer({
      move: (x, y) => {
        preview((scene) => headAt(x, y, scene));
        hover((scene) => describe(at(x, y, scene.bounds), scene));
      },
      leave: () => {
        preview(null);
        hover(null);
      },
      tap: (x, y) => select((scene) => headAt(x, y, scene)),
    });
    return { draw };
  }

  /** Where each layer begins, and each run of layers without attention between them, in tiles from the top. */
  function layOut({ layers, gaps: runs }, tile) {
    const thin = GAP_PIXELS / tile;
    const above = (layer) => runs.filter((run) => run.layers[0] < layer).length;
    const tops = layers.map((layer, i) => i + thin * above(layer));
    const gaps = runs.map((run, i) => ({
      ...run,
      y: layers.filter((layer) => layer < run.layers[0]).length + thin * i,
      height: thin,
    }));
    return { tile, tops, gaps, height: layers.length + thin * runs.length };
  }

  function sayGap({ layers: [from, to], what, ...run }) {
    const which = from === to ? `layer ${from}` : `layers ${kinds.nameGap({ layers: [from, to], ...run })}`;
    return `${which}: no attention${what ? `, ${what}` : ""}`;
  }

  /** For each layer the first cell in every row of a thumbnail that its query can see; null where all can. */
  function firstCells({ layer_types: found, tokens, thumbnail_side: side }) {
    const n = tokens.length;
    return found.map((kind) =>
      kinds.firstKey(kind, n - 1)
        ? Array.from({ length: side }, (_, i) =>
            pattern.cellOf(kinds.firstKey(kind, Math.floor((i * n) / side)), n, side),
          )
        : null,
    );
  }

  function withoutFirstColumn(codes, side) {
    return codes.map((code, i) => (i % side === 0 ? 0 : code));
  }

  /**
   * Thumbnails `[layer, head, row, column]` beside one another, each code `grown` cells wide and high, with an undefined
   * line between any two; `firsts` as `firstCells` gives them.
   */
  function mosaic(codes, rows, columns, side, display, grown, firsts) {
    const across = side * grown + 1;
    const width = columns * across;
    const values = new Float32Array(rows * across * width).fill(Number.NaN);
    for (let tile = 0; tile < rows * columns; tile++) {
      const corner = Math.floor(tile / columns) * across * width + (tile % columns) * across;
      for (let y = 0; y < side * grown; y++) {
        const i = Math.floor(y / grown);
        const from = firsts[Math.floor(tile / columns)]?.[i] ?? 0;
        for (let x = from * grown; x < (i + 1) * grown; x++) {
          values[corner + y * width + x] = display[codes[(tile * side + i) * side + Math.floor(x / grown)]];
        }
      }
    }
    return values;
  }

  return { overview };
})();
