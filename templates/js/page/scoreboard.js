// The tables of head scores: those of the chosen head, and of all heads.
globalThis.reportgen ??= {};

reportgen.scoreboard = (() => {
  "use strict";

  const { scores } = reportgen;
  const { element } = reportgen.text;

  /** The scores of the chosen head, each with its place among all, and what they make of it. */
  function drawChosen(table, caption, { state, content }) {
    const { layer, head } = state;
    const labels = scores.labelsOf(content, layer, head);
    caption.textContent = labels.length
      ? `${labels.join(", ")}, by a score of ${content.label_from} or more`
      : "no clear type";
    table.tBodies[0].replaceChildren(
      ...content.score_kinds.map((kind) => {
        const place = scores.rankOf(content, kind.name, layer, head);
        const cells = [
          scores.format(scores.scoreOf(content, kind.name, layer, head), kind),
          place ? `${place.rank} of ${place.count}` : "",
        ];
        return element(
          "tr",
          {},
          element("th", { scope: "row", title: kind.definition }, kind.title),
          ...cells.map((cell) => element("td", { class: "number" }, cell)),
        );
      }),
    );
  }

  /** All heads, sorted by a click on a column. Returns what marks the selected one. */
  function makeTable(table, content) {
    const rows = scores.listHeads(content).map((row) => ({ ...row, line: makeLine(row, content.score_kinds) }));
    const titles = [...table.tHead.querySelectorAll("button")];
    for (const title of titles) {
      title.addEventListener("click", () => {
        const header = title.closest("th");
        const descending = header.getAttribute("aria-sort") !== "descending";
        for (const other of titles) other.closest("th").removeAttribute("aria-sort");
        header.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const sorted = scores.sortHeads(rows, title.dataset.score, descending);
        table.tBodies[0].replaceChildren(...sorted.map(({ line }) => line));
      });
    }
    table.tBodies[0].replaceChildren(...rows.map(({ line }) => line));
    return ({ layer, head }) => {
      for (const row of rows) row.line.classList.toggle("chosen", row.layer === layer && row.head === head);
    };
  }

  function makeLine({ layer, head, values }, kinds) {
    const attributes = { type: "button", class: "chip", "data-layer": layer, "data-head": head };
    const button = element("button", attributes, `L${layer} H${head}`);
    const cells = kinds.map((kind) => element("td", { class: "number" }, scores.format(values[kind.name], kind)));
    return element("tr", {}, element("td", {}, button), ...cells);
  }

  return { drawChosen, makeTable };
})();
