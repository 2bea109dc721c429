// Attention rollout: a heatmap like a head's, and the keys that it gives most for the selected query.
globalThis.reportgen ??= {};

reportgen.rollout = (() => {
  "use strict";

  const { forms, pattern, scale, shows, strongest, text, words } = reportgen;
  const { keyOf, square } = reportgen.heatmaps;
  const KIND = { signed: false, unit: "rollout" };
  const LISTED = 8;
  const byId = (id) => document.getElementById(id);

  function rollout(figure, on) {
    let triangle = new Float32Array();
    const rowOf = (queryPos, { content, state }) => {
      const units = words.unitsOf(content, state.words);
      const rows = units.positions(units.of(queryPos)).map((position) => {
        const row = pattern.rowOf(triangle, position);
        if (state.renormalised) return forms.renormaliseRow(row);
        return units.n < content.tokens.length && !state.withFirst ? row.slice().fill(Number.NaN, 0, 1) : row;
      });
      return units.n < content.tokens.length ? forms.sumRow(rows, units) : rows[0];
    };
    return square(figure, on, {
      load: async (scene) => {
        const { state, content, evidence } = scene;
        const n = content.tokens.length;
        triangle = await evidence.rollout();
        const units = words.units(scene);
        text.write(byId("rollout-of"), `for query ${text.quote(units.shown(units.of(state.queryPos)))}`);
        strongest.drawShares(byId("rollout-keys"), rowOf(state.queryPos, scene), scene, LISTED);
        let form = shows.formOfTriangle(triangle, n, state.withFirst);
        if (state.renormalised) form = forms.renormalise(form, n);
        return units.n < n ? forms.sumWords(form, units, false, state.withFirst) : form;
      },
      kindOf: () => KIND,
      keyOf: (state) => keyOf({ ...state, show: "" }),
      describe: (cell, scene) => {
        const key = words.units(scene).of(cell.keyPos);
        return { ...cell, lines: [`rollout ${scale.formatFine(rowOf(cell.queryPos, scene)[key])}`] };
      },
    });
  }

  return { rollout };
})();
