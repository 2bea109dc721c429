// Attention rollout: a heatmap like a head's, and the keys that it gives most for the selected query.
globalThis.reportgen ??= {};

reportgen.rollout = (() => {
  "use strict";

  const { forms, pattern, scale, shows, strongest, words } = reportgen;
  const { keyOf, square } = reportgen.heatmaps;
  const KIND = { signed: false, unit: "rollout" };
  const LISTED = 8;
  const byId = (id) => document.getElementById(id);

  function rollout(figure, on) {
    let triangle = new Float32Array();
    const rowOf = (queryPos, { content, state }) => {
      const units = words.unitsOf(content, state.words);
      const rows = units.positions(units.of(queryPos)).map((position) => pattern.rowOf(triangle, position));
      const row = state.words ? forms.sumRow(rows, units) : rows[0];
      return state.renormalised ? forms.renormaliseRow(row) : row;
    };
    return square(figure, on, {
      load: async (scene) => {
        const { state, content, evidence } = scene;
        const n = content.tokens.length;
        triangle = await evidence.rollout();
        const units = words.units(scene);
        byId("rollout-of").textContent = `for query “${units.shown(units.of(state.queryPos))}”`;
        strongest.drawShares(byId("rollout-keys"), rowOf(state.queryPos, scene), scene, LISTED);
        let form = shows.formOfTriangle(triangle, n, state.withFirst);
        if (units.n < n) form = forms.sumWords(form, units, false);
        return state.renormalised ? forms.renormalise(form, units.n) : form;
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
