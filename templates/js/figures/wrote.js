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
    const { step } = state;
    const measure = ledger.held(bounds.foils, state.measure, step);
    const shown = content.tokens[bounds.numPromptTokens + step][1];
    const { most, least } = ledger.rank(heads, mlps, content, LISTED);
    const isAblation = !ledger.isEffect(measure);
    const [more, less] =
      ledger.unitOf(measure) === "logits" ? ["Farther ahead", "Less ahead"] : ["More probable", "Less probable"];
    const without = isEstimate(facts, measure) ? "without, by estimate" : "without";
    byId("effect-of").replaceChildren(text.tok(shown));
    text.write(byId("effect-says"), why || sayMeasure(facts, measure, step, text.quote(shown)));
    byId("most-title").textContent = isAblation ? `${more} ${without}` : "Most for it";
    byId("least-title").textContent = isAblation ? `${less} ${without}` : "Most against it";
    const largest = pattern.largest([...most, ...least].map(({ value }) => value)) || 1;
    const sum = why ? null : ledger.sumOf(facts, measure, step, content);
    const rounding = Math.abs(sum?.rounding ?? 0);
    drawParts(byId("most"), most, largest, rounding);
    drawParts(byId("least"), least, largest, rounding);
    drawSum(byId("sum"), sum, facts, measure, step);
  }

  const isEstimate = (facts, measure) => ledger.screenOf(facts, measure)?.estimate === measure;

  function sayMeasure(facts, measure, step, shown) {
    const other = ledger.otherOf(facts, measure, step);
    if (!ledger.isEffect(measure)) {
      const screen = ledger.screenOf(facts, measure);
      const what = isEstimate(facts, measure) ? "Estimated, not measured change" : "Change";
      const of =
        other === null
          ? `log-probability of ${shown} without a head, in nats`
          : `logit of ${shown} minus that of ${text.quote(other)} without a head`;
      return `${what} of the ${of}. ${screen?.says ?? ""}`.trim();
    }
    if (measure.startsWith("runner-up") && other === null) return `Token ${step + 1} has no such runner-up.`;
    const than =
      { attribution: "its alternatives, by their probability", "attribution-mean": "the mean of the vocabulary" }[
        measure
      ] ?? text.quote(other);
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
    const other = ledger.otherOf(facts, measure, step);
    const than =
      other !== null
        ? `that of ${text.quote(other)}`
        : `the mean of the ${measure === "attribution" ? "alternatives" : "vocabulary"}`;
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
  const explainedBy = (measure) => (ledger.isEffect(measure) ? "attribution" : measure.replace(/-foil-\d+$/, ""));

  /** Name the runners-up of a step in the list of measures, and show the chosen measure's question mark alone. */
  function nameMeasures(facts, { measure, step }) {
    for (const list of [byId("measure"), byId("contrast")].filter(Boolean)) {
      for (const option of list.options) {
        const rank = /^runner-up-(\d+)$/.exec(option.value)?.[1];
        if (!rank) continue;
        const runnerUp = ledger.otherOf(facts, option.value, step);
        option.textContent = `against ${runnerUp === null ? `runner-up ${rank}` : `“${runnerUp}”`}`;
      }
    }
    for (const answer of document.querySelectorAll("[data-explains]"))
      answer.hidden = answer.dataset.explains !== explainedBy(measure);
  }

  return { draw, nameMeasures };
})();
