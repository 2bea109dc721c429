// A number for each head and position that reads: the heads of the selected layer down, positions across. The view of each
// kind of evidence that has no script of its own.
globalThis.reportgen ??= {};

reportgen.headRows = (() => {
  "use strict";

  const { axis, numbers, pattern, state: states, words } = reportgen;

  /** The view of a figure, whose block holds `[layer, head, query_pos]` and whose facts hold `largest` and `unit`. */
  function viewOf(name) {
    return (figure, { bounds, content }) => {
      let [values, unit, columns] = [new Float32Array(), "", []];
      const units = words.unitsOf(content);

      async function draw(scene, isCurrent) {
        const { state, evidence } = scene;
        const [all, facts] = await Promise.all([evidence.numbers(name), evidence.facts()]);
        if (!isCurrent()) return;
        const [from, to] = axis.spanOf(scene, units);
        columns = Array.from({ length: to + 1 - from }, (_, i) => from + i);
        const size = bounds.heads.length * content.tokens.length;
        const start = bounds.layers.indexOf(state.layer) * size;
        values = all.subarray(start, start + size);
        unit = facts[name].unit;
        const row = bounds.heads.indexOf(state.head);
        figure.draw({
          key: [state.layer, from, to].join(" "),
          rows: bounds.heads.length,
          columns: columns.length,
          makeImages: () => [{ values: stack(), rows: bounds.heads.length, columns: columns.length }],
          // The largest over all layers, so that layers can be compared by colour.
          colors: { palette: scene.palette, low: 0, high: pattern.largest(all) },
          rowLabels: bounds.heads.map((head) => ({ text: `H${head}`, selected: head === state.head })),
          columnLabels: axis.labelColumns(scene, units, columns),
          frames: [[Math.max(0, state.queryPos - from), row, 1, 1]],
        });
      }

      const readValue = (row, position) => values[row * content.tokens.length + position];
      const stack = () =>
        Float32Array.from(bounds.heads.flatMap((_, row) => columns.map((position) => readValue(row, position))));

      function at(x, y, { state }) {
        const [head, queryPos] = [bounds.heads[Math.floor(y)], columns[Math.floor(x)]];
        return head === undefined || queryPos === undefined ? null : { layer: state.layer, head, queryPos };
      }

      const lines = ({ head, queryPos }) => [
        `${numbers.formatFine(readValue(bounds.heads.indexOf(head), queryPos))} ${unit}`,
      ];

      const table = () => ({
        columns: columns.map((position) => `${position} ${units.shown(position)}`),
        rows: bounds.heads.map((head, row) => ({
          name: `H${head}`,
          values: columns.map((position) => readValue(row, position)),
        })),
      });

      const selectOf = ({ head, queryPos }) => ({ head, ...states.selectQuery(queryPos, bounds) });
      return { draw, at, lines, selectOf, table };
    };
  }

  return { viewOf };
})();
