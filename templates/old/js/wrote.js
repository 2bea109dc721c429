// The text beside the grid of what wrote a token: who wrote most for it and against it, and what it all adds up to.
globalThis.reportgen ??= {};

reportgen.wrote = (() => {
  "use strict";

  const { pattern, ledger, scale } = reportgen;
  const { element, nodesOf, quote, write } = reportgen.text;
  const LISTED = 10;
  const DECIMALS = 3;

  /**
   * @param {object} scene
   * @param {object} facts of the evidence
   * @param {object} found `step`, `why` nothing is shown, values of `heads` and `mlps`
   * @param {(change) => void} select
   */
  function draw({ state, content, bounds }, facts, { step, why, heads, mlps }, select) {
    const { measure } = state;
    const shown = step === null ? "" : content.tokens[bounds.numPromptTokens + step][1];
    const { most, least } = ledger.rank(heads, mlps, content, LISTED);
    const isAblation = ledger.contrastOf(measure) === null;
    const place = (name) => document.getElementById(name);
    write(place("wrote-of"), why || nameStep(facts, measure, step, quote(shown)));
    place("most-title").textContent = isAblation ? "More probable without" : "Most for it";
    place("least-title").textContent = isAblation ? "Less probable without" : "Most against it";
    const largest = pattern.largest([...most, ...least].map(({ value }) => value)) || 1;
    const sum = why || step === null ? null : ledger.sumOf(facts, measure, step, content);
    const rounding = Math.abs(sum?.rounding ?? 0);
    drawParts(place("most"), most, largest, rounding, select);
    drawParts(place("least"), least, largest, rounding, select);
    drawSum(place("sum"), sum, facts, measure, step);
  }

  function nameStep(facts, measure, step, shown) {
    if (ledger.contrastOf(measure) === null)
      return `step ${step}: change of the log-probability of ${shown} without a head; red where it falls`;
    const runnerUp = ledger.runnerUpOf(facts, measure, step);
    const contrast = ledger.contrastOf(measure);
    if (contrast === ledger.ALTERNATIVES)
      return `step ${step}: ${shown} against the alternatives, by their probability`;
    if (contrast === ledger.MEAN) return `step ${step}: ${shown} against the mean of the vocabulary`;
    return runnerUp === null
      ? `step ${step} has no such runner-up`
      : `step ${step}: ${shown} against ${quote(runnerUp)}`;
  }

  /** Values that rounding alone could make are pale, and say so. */
  function drawParts(table, parts, largest, rounding, select) {
    table.tBodies[0].replaceChildren(
      ...parts.map(({ name, layer, head, value }) => {
        const button = head === null ? name : element("button", { type: "button", class: "link" }, name);
        if (head !== null) button.addEventListener("click", () => select(() => ({ layer, head })));
        const bar = { class: `bar ${value < 0 ? "against" : "for"}`, style: { "--share": Math.abs(value) / largest } };
        const pale = { class: "within-rounding", title: `within rounding: ±${scale.formatFine(rounding)}` };
        return element(
          "tr",
          Math.abs(value) < rounding ? pale : {},
          element("td", {}, button),
          element("td", {}, element("span", bar)),
          element("td", { class: "number" }, scale.formatSigned(value, DECIMALS)),
        );
      }),
    );
  }

  function drawSum(table, sum, facts, measure, step) {
    table.hidden = sum === null;
    if (sum === null) return;
    const runnerUp = ledger.runnerUpOf(facts, measure, step);
    const isMean = ledger.contrastOf(measure) === ledger.MEAN;
    const than =
      runnerUp !== null ? `that of ${quote(runnerUp)}` : `the mean of the ${isMean ? "vocabulary" : "alternatives"}`;
    const line = (name, value, attributes = {}) =>
      element(
        "tr",
        attributes,
        element("th", { scope: "row" }, ...nodesOf(name)),
        element("td", { class: "number" }, typeof value === "string" ? value : scale.formatSigned(value, DECIMALS)),
      );
    table.tBodies[0].replaceChildren(
      ...sum.parts.map(({ name, value }) => line(name, value)),
      line(`the model's logit, less ${than}`, sum.total, { class: "total" }),
      ...sum.account.map(({ name, value }) => line(name, value)),
    );
  }

  /** The measure whose definition holds for another: one for all contrasts of the attribution. */
  const explainedBy = (measure) => (ledger.contrastOf(measure) === null ? measure : "attribution");

  /** Name the runners-up of a step in the list of metrics, and leave the chosen measure's question mark alone. */
  function nameMeasures(facts, measures, step) {
    const list = document.getElementById("measure");
    for (const answer of document.querySelectorAll("[data-explains]")) {
      answer.hidden = answer.dataset.explains !== explainedBy(list.value);
    }
    for (const [i, measure] of measures.entries()) {
      if (!(ledger.contrastOf(measure) > ledger.MEAN)) continue;
      const runnerUp = ledger.runnerUpOf(facts, measure, step);
      list.options[i].textContent =
        `effect against ${runnerUp === null ? `runner-up ${ledger.contrastOf(measure) - ledger.MEAN}` : `“${runnerUp}”`}`;
    }
  }

  return { draw, nameMeasures };
})();
