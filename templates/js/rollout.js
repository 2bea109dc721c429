// Attention rollout: a heatmap like a head's, and the keys that it gives most for the selected query.
globalThis.reportgen ??= {};

reportgen.rollout = (() => {
  "use strict";

  const { pattern, scale, shows } = reportgen;
  const { square } = reportgen.heatmaps;
  const { element, tokenCode } = reportgen.text;
  const KIND = { signed: false, unit: "rollout" };
  const LISTED = 8;

  function rollout(figure, on) {
    let triangle = new Float32Array();
    return square(figure, on, {
      load: async ({ state, content, evidence }) => {
        triangle = await evidence.rollout();
        drawKeys(document.getElementById("rollout-keys"), document.getElementById("rollout-of"), state, content);
        return shows.formOfTriangle(triangle, content.tokens.length, state.withFirst);
      },
      kindOf: () => KIND,
      keyOf: ({ scale: name, withFirst }) => `${name} ${withFirst}`,
      describe: (cell) => ({
        ...cell,
        lines: [`rollout ${scale.formatFine(pattern.rowOf(triangle, cell.queryPos)[cell.keyPos])}`],
      }),
    });

    function drawKeys(table, caption, { queryPos, withFirst }, content) {
      caption.textContent = `for query “${content.tokens[queryPos][1]}”`;
      const keys = pattern.strongestKeys(pattern.rowOf(triangle, queryPos), LISTED, withFirst);
      const largest = keys[0]?.value || 1;
      table.tBodies[0].replaceChildren(
        ...keys.map(({ keyPos, value }) =>
          element(
            "tr",
            {},
            element(
              "td",
              {},
              tokenCode(content.tokens[keyPos][1]),
              element("span", { class: "bar", style: { "--share": value / largest } }),
            ),
            element("td", { class: "number" }, String(keyPos)),
            element("td", { class: "number" }, scale.formatFine(value)),
          ),
        ),
      );
    }
  }

  return { rollout };
})();
