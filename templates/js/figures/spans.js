// The table of who reads whom: the selected head, the mean of all heads, and the effects on the token of the step.
globalThis.reportgen ??= {};

reportgen.spans = (() => {
  "use strict";

  const { numbers, text } = reportgen;
  const DECIMALS = 3;

  const weight = (value) => (Number.isNaN(value) ? "n/a" : numbers.formatFine(value));
  const effect = (value) => numbers.formatSigned(value, DECIMALS);

  /**
   * @param {HTMLTableElement} table
   * @param {object} scene
   * @param {object} found what `evidence.spans` gives
   */
  function draw(table, { content, bounds, state }, { names, block, mean, effects, read }) {
    const keys = [...names, "rest"];
    const own = `L${state.layer} H${state.head}`;
    const title = (...children) =>
      text.element("tr", {}, text.element("th", { scope: "colgroup", colspan: keys.length + 1 }, ...children));
    const line = (name, values, format) =>
      text.element(
        "tr",
        {},
        text.element("th", { scope: "row" }, name),
        ...[...values].map((value) => text.element("td", { class: "number" }, format(value))),
      );
    const part = (head, rows) => text.element("tbody", {}, head, ...rows);
    const parts = [
      part(
        title(`Weight, ${own}`),
        block.map((row, i) => line(names[i], row, weight)),
      ),
      part(
        title("Weight, mean of all heads shown"),
        mean.map((row, i) => line(names[i], row, weight)),
      ),
    ];
    if (effects && read) {
      const written = content.tokens[bounds.numPromptTokens + state.step][1];
      parts.push(
        part(title("Effect on ", text.tok(written), " through what is read, in logits"), [
          line(own, effects, effect),
          line("all heads of the model", read, effect),
        ]),
      );
    }
    const head = text.element(
      "thead",
      {},
      text.element(
        "tr",
        {},
        text.element("th", { scope: "col" }, "reads ↓ read →"),
        ...keys.map((name) => text.element("th", { scope: "col", class: "number" }, name)),
      ),
    );
    table.replaceChildren(head, ...parts);
  }

  return { draw };
})();
