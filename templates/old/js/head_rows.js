// A number for each head and query: the heads of the chosen layer down, positions across. The view of each kind of
// evidence that has no script of its own.
globalThis.reportgen ??= {};

reportgen.headRows = (() => {
  "use strict";

  const { pattern, scale, words } = reportgen;
  const { SMALLEST_FRAME, UPWARD, barRoom, color, drawBar, keyOf, nameHead, unitLabels } = reportgen.heatmaps;
  const LABEL_ROOM = 16;
  const CELL_PIXELS = 64;

  /** The view of a figure, whose block holds `[layer, head, query_pos]` and whose facts hold `largest` and `unit`. */
  function viewOf(name) {
    return (figure, { select, hover }) => {
      let values = new Float32Array();
      let unit = "";

      async function draw(scene, isCurrent) {
        const { state, bounds, content, evidence } = scene;
        const [all, facts] = await Promise.all([evidence.numbers(name), evidence.facts()]);
        if (!isCurrent()) return;
        const [rows, columns] = [bounds.heads.length, content.tokens.length];
        const start = bounds.layers.indexOf(state.layer) * rows * columns;
        values = all.subarray(start, start + rows * columns);
        unit = facts[name].unit;
        const kind = { signed: false, unit };
        // The strongest over all layers, so that layers can be compared by colour.
        const high = color(figure, { ...scene, state: { ...state, withFirst: false } }, false, () =>
          pattern.largest(all),
        );
        drawBar(figure, scene, kind, high);
        figure.setImages(keyOf(state, state.layer), () => {
          const image = scale.displayOf(state.scale, Float32Array.from(values));
          return [{ values: image, rows, columns, x: -0.5, y: -0.5, width: columns, height: rows }];
        });
        resize(scene, rows, columns);
      }

      function resize({ state, bounds, content }, rows, columns) {
        const width = Math.max(SMALLEST_FRAME, figure.width - barRoom(figure) - LABEL_ROOM);
        const height = rows * Math.max(11, Math.min(26, 320 / rows));
        const across = Math.min(width, columns * CELL_PIXELS);
        figure.setFrameSize(across, height, [-0.5, columns - 0.5], [rows - 0.5, -0.5]);
        figure.model("x_axis").major_label_orientation = UPWARD;
        figure.setLabels("x", unitLabels(words.unitsOf(content), figure.width));
        figure.setLabels("y", bounds.heads.map(String));
        const [row, column] = [bounds.heads.indexOf(state.head), state.queryPos];
        figure.setFrames([{ x: column - 0.5, y: row - 0.5, width: 1, height: 1 }]);
      }

      /** The head and the query at a place; null outside the figure. */
      function at(x, y, { state, bounds, content }) {
        const [head, queryPos] = [bounds.heads[Math.round(y)], Math.round(x)];
        return head === undefined || !content.tokens[queryPos] ? null : { layer: state.layer, head, queryPos };
      }

      figure.onPointer({
        move: (x, y) =>
          hover((scene) => {
            const cell = at(x, y, scene);
            if (!cell) return null;
            const value = values[scene.bounds.heads.indexOf(cell.head) * scene.content.tokens.length + cell.queryPos];
            const query = scene.content.tokens[cell.queryPos][1];
            return `${nameHead(cell)}, query ${reportgen.text.quote(query)} at ${cell.queryPos}\n${scale.formatFine(value)} ${unit}`;
          }),
        leave: () => hover(null),
        tap: (x, y) => select((scene) => at(x, y, scene)),
      });
      return { draw };
    };
  }

  return { viewOf };
})();
