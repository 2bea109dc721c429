// The figures of a comparison: a head in A, in B, the difference of its weights, and the map of how differently heads read.
// They share their units: what is pointed at in one is tinted in all.
globalThis.reportgen ??= {};

reportgen.sides = (() => {
  "use strict";

  const { alignment, forms, grid, numbers, pattern, square } = reportgen;
  const WEIGHT = { signed: false, unit: "weight" };
  const DIFFERENCE = { signed: true, unit: "weight" };

  /** The form of a side in the units of its axis. */
  const loadSide = async ({ full, axis }) => {
    const { state, evidence } = full;
    return alignment.formOf(await evidence.form("weight", state.layer, state.head, state), axis, state.withFirst);
  };

  /** What figures depend on beside their scale: the heads, and what becomes of the first token. */
  const keyOf = ({ heads, withFirst, renormalised }) => [heads, withFirst, renormalised].join(" ");

  /** What is read of all that stands before an axis: most of it from this token. */
  function sayMost(row, { full: { content }, axis: { start } }, withFirst) {
    const [best] = pattern.strongestKeys(row.subarray(0, start), 1, withFirst);
    return best && best.value > 0 ? `, most of it from ${reportgen.text.quote(content.tokens[best.keyPos][1])}` : "";
  }

  /**
   * @param {number[]} shown the sides that a figure shows
   * @param {object[]} sides `{full: scene of the whole text, axis}` of each
   */
  function patternOf(figure, shown, sides) {
    /** What both sides know of a cell, for the tooltip. */
    async function lines({ queryPos, keyPos }, { state }) {
      const known = await Promise.all(
        sides.map(async (side, i) => {
          const { state: own, evidence } = side.full;
          const position = alignment.positionOf(queryPos, side.axis);
          const form = await evidence.form("weight", own.layer, own.head, own);
          const lead = alignment.leadOf(side.axis);
          const row = forms.rowOf(form, position);
          const isBefore = lead === 1 && keyPos === 0;
          const value = forms.rowOf(await loadSide(side), queryPos)[keyPos];
          const more = isBefore ? sayMost(row, side, own.withFirst) : "";
          const sink = form.sink ? `; learned sink ${numbers.formatWeight(form.sink[position])} of this row` : "";
          return {
            value,
            line: `${"AB"[i]} ${Number.isNaN(value) ? "n/a" : numbers.formatWeight(value)}${more}${sink}`,
          };
        }),
      );
      const [first, second] = known.map(({ value }) => value);
      const listed = state.isAligned ? known : shown.map((i) => known[i]);
      return [
        ...listed.map(({ line }) => line),
        ...(state.isAligned ? [`A − B ${numbers.formatSigned(first - second, 2)}`] : []),
      ];
    }

    const isDifference = shown.length > 1;
    return square.square(figure, {
      load: async () => {
        const own = await Promise.all(shown.map((i) => loadSide(sides[i])));
        return isDifference ? forms.subtract(...own) : own[0];
      },
      kindOf: () => (isDifference ? DIFFERENCE : WEIGHT),
      keyOf,
      lead: alignment.leadOf(sides[shown[0]].axis),
      lines,
      drawBeside: (form, _, { n }) => {
        if (!isDifference) return;
        document.getElementById("difference-limit").textContent = numbers.formatShare(pattern.strongest(form, n, true));
      },
    });
  }

  /** The map of all heads: how differently they read, by layer and head; null where one side has no such head. */
  function map(figure, scene) {
    const { bounds, variations } = scene;
    const cells = grid.makeGrid(bounds);
    const values = Float32Array.from(variations.flat(), (value) => value ?? Number.NaN);
    const [rows, columns] = [bounds.layers.length, bounds.heads.length];

    function draw(now) {
      figure.draw({
        ...cells.drawing(now),
        key: "",
        columns,
        makeImages: () => [{ values: grid.upsideDown(values, columns), rows, columns }],
        colors: { palette: now.palette, low: 0, high: pattern.largest(values) },
      });
    }

    function lines({ layer, head }) {
      const value = variations[bounds.layers.indexOf(layer)][bounds.heads.indexOf(head)];
      return [value === null ? "on one side alone" : `total variation ${value.toFixed(3)}`];
    }

    const table = () => ({
      columns: bounds.heads.map((head) => `H${head}`),
      rows: bounds.layers.map((layer, i) => ({
        name: `L${layer}`,
        values: variations[i].map((value) => value ?? Number.NaN),
      })),
    });

    return { ...cells, draw, lines, showsRows: true, table };
  }

  return { patternOf, map };
})();
