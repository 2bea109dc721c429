// The text beside the effects of all heads and MLPs: the largest for and against the token, and what all of it adds up to.
globalThis.reportgen ??= {};

reportgen.wrote = (() => {
  "use strict";

  const { pattern, ledger, numbers, text } = reportgen;
  const LISTED = 10;
  const DECIMALS = 3;
  const byId = (id) => document.getElementById(id);

  /**
   * @param {object} scene
   * @param {object} facts of the evidence
   * @param {object} found `why` nothing is shown, values of `heads` and `mlps`
   */
  function draw({ state, content, bounds }, facts, { why, heads, mlps }) {
    const { measure, step } = state;
    const shown = content.tokens[bounds.numPromptTokens + step][1];
    const { most, least } = ledger.rank(heads, mlps, content, LISTED);
    const isAblation = ledger.contrastOf(measure) === null;
    const without = isEstimate(facts, measure) ? "without, by estimate" : "without";
    byId("effect-of").replaceChildren(text.tok(shown));
    text.write(byId("effect-says"), why || sayMeasure(facts, measure, step, text.quote(shown)));
    byId("most-title").textContent = isAblation ? `More probable ${without}` : "Most for it";
    byId("least-title").textContent = isAblation ? `Less probable ${without}` : "Most against it";
    const largest = pattern.largest([...most, ...least].map(({ value }) => value)) || 1;
    const sum = why ? null : ledger.sumOf(facts, measure, step, content);
    const rounding = Math.abs(sum?.rounding ?? 0);
    drawParts(byId("most"), most, largest, rounding);
    drawParts(byId("least"), least, largest, rounding);
    drawSum(byId("sum"), sum, facts, measure, step);
  }

  const isEstimate = (facts, measure) => ledger.screenOf(facts, measure)?.estimate === measure;

  function sayMeasure(facts, measure, step, shown) {
    const contrast = ledger.contrastOf(measure);
    if (contrast === null) {
      const screen = ledger.screenOf(facts, measure);
      const what = isEstimate(facts, measure) ? "Estimated, not measured change" : "Change";
      return `${what} of the log-probability of ${shown} without a head, in nats. ${screen?.says ?? ""}`.trim();
    }
    const runnerUp = ledger.runnerUpOf(facts, measure, step);
    if (contrast > ledger.MEAN && runnerUp === null) return `Token ${step + 1} has no such runner-up.`;
    const than =
      contrast === ledger.ALTERNATIVES
        ? "its alternatives, by their probability"
        : contrast === ledger.MEAN
          ? "the mean of the vocabulary"
          : text.quote(runnerUp);
    return `Effect of whole heads and MLPs on ${shown}, in logits, against ${than}.`;
  }

  /** Values that rounding alone could make are pale, and say so. */
  function drawParts(table, parts, largest, rounding) {
    table.tBodies[0].replaceChildren(
      ...parts.map(({ name, layer, head, value }) => {
        const chosen = { type: "button", class: "chip", "data-layer": layer, "data-head": head };
        const pale = { class: "within-rounding", title: `within rounding: ±${numbers.formatFine(rounding)}` };
        return text.element(
          "tr",
          Math.abs(value) < rounding ? pale : {},
          text.element("td", {}, head === null ? name : text.element("button", chosen, name)),
          text.element("td", {}, text.bar(value / largest, value < 0 ? "against" : "for")),
          text.element("td", { class: "number" }, numbers.formatSigned(value, DECIMALS)),
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
      runnerUp !== null
        ? `that of ${text.quote(runnerUp)}`
        : `the mean of the ${isMean ? "vocabulary" : "alternatives"}`;
    const line = (name, value, attributes = {}) =>
      text.element(
        "tr",
        attributes,
        text.element("th", { scope: "row" }, ...text.nodesOf(name)),
        text.element("td", { class: "number" }, numbers.formatSigned(value, DECIMALS)),
      );
    table.tBodies[0].replaceChildren(
      ...sum.parts.map(({ name, value }) => line(name, value)),
      line(`the token’s logit minus ${than}`, sum.total, { class: "total" }),
      ...sum.account.map(({ name, value }) => line(name, value)),
    );
  }

  /** The measure whose definition holds for another: one for all contrasts of the attribution. */
  const explainedBy = (measure) => (ledger.contrastOf(measure) === null ? measure : "attribution");

  /** Name the runners-up of a step in the list of measures, and show the chosen measure's question mark alone. */
  function nameMeasures(facts, { measure, step }) {
    for (const list of [byId("measure"), byId("contrast")].filter(Boolean)) {
      for (const option of list.options) {
        if (!(ledger.contrastOf(option.value) > ledger.MEAN)) continue;
        const runnerUp = ledger.runnerUpOf(facts, option.value, step);
        const rank = ledger.contrastOf(option.value) - ledger.MEAN;
        option.textContent = `against ${runnerUp === null ? `runner-up ${rank}` : `“${runnerUp}”`}`;
      }
    }
    for (const answer of document.querySelectorAll("[data-explains]"))
      answer.hidden = answer.dataset.explains !== explainedBy(measure);
  }

  return { draw, nameMeasures };
})();
