// What the axes of heatmaps are made of: which tokens, or words, have a column, and how they are labelled.
globalThis.reportgen ??= {};

reportgen.axis = (() => {
  "use strict";

  const { words } = reportgen;
  /** A figure of more columns than the first number shows at first the second number of them. */
  const [MOST_COLUMNS, SHOWN_COLUMNS] = [60, 40];

  /** The first and the last unit that figures show. */
  function spanOf({ state, bounds }, units) {
    const [from, to] = (state.range ?? [0, bounds.numTokens - 1]).map(units.of);
    return [from, to];
  }

  /**
   * The units that have a column: all in the range, or those that the rows read most, in order.
   * @param {Float32Array[]} rows values of each row by unit, NaN where there is none
   */
  function chooseColumns(scene, units, rows) {
    const [from, to] = spanOf(scene, units);
    const most = Math.max(0, ...rows.map((row) => row.length));
    const there = Array.from({ length: Math.max(0, Math.min(to + 1, most) - from) }, (_, i) => from + i);
    if (there.length <= MOST_COLUMNS || scene.state.all.includes("columns")) return there;
    const sums = new Map(there.map((unit) => [unit, rows.reduce((sum, row) => sum + (Math.abs(row[unit]) || 0), 0)]));
    const strongest = [...there].sort((a, b) => sums.get(b) - sums.get(a) || a - b).slice(0, SHOWN_COLUMNS);
    return strongest.sort((a, b) => a - b);
  }

  /** Labels of columns; positions are told where some are left out. */
  function labelColumns({ state }, units, columns) {
    const every = columns.every((unit, i) => unit === columns[0] + i) && columns[0] === 0;
    return columns.map((unit) => ({
      text: units.shown(unit),
      note: every ? "" : units.place(unit),
      selected: state.keyPos !== null && units.of(state.keyPos) === unit,
    }));
  }

  /** Where the prompt ends among columns, as a place between two of them; null where all are on one side. */
  function borderOf({ bounds }, units, columns) {
    const first = units.of(Math.min(bounds.numPromptTokens, bounds.numTokens - 1));
    const at = columns.findIndex((unit) => unit >= first);
    return bounds.numPromptTokens < bounds.numTokens && at > 0 ? at : null;
  }

  /** The line there, across so many rows, as dividers of a drawing. */
  const dividersAt = (border, rows) =>
    border === null
      ? []
      : [
          [
            [border, 0],
            [border, rows],
          ],
        ];

  const unitsOf = (scene) => words.units(scene);

  return { spanOf, chooseColumns, labelColumns, borderOf, dividersAt, unitsOf };
})();
