// What wrote a token: the parts of the sum, and the heads and MLPs that wrote most for it and against it.
globalThis.reportgen ??= {};

reportgen.ledger = (() => {
  "use strict";

  const [ALTERNATIVES, MEAN] = [0, 1];

  /** Which contrast of the attribution a measure is, first the alternatives, then the mean; null for an ablation or its estimate. */
  function contrastOf(measure) {
    if (measure === "attribution") return ALTERNATIVES;
    if (measure === "attribution-mean") return MEAN;
    const runnerUp = /^runner-up-(\d+)$/.exec(measure);
    return runnerUp ? MEAN + Number(runnerUp[1]) : null;
  }

  /** What the values of a measure are counted in. */
  function unitOf(measure) {
    return contrastOf(measure) === null ? "nats" : "logits";
  }

  /** The token that a step's token is compared with, as text; null where that is no single token. */
  function runnerUpOf({ attribution }, measure, step) {
    const contrast = contrastOf(measure);
    return (contrast > MEAN && step !== null && attribution.runners_up[step][contrast - MEAN - 1]?.[1]) || null;
  }

  /** Why a step's attribution is not shown; empty where it is. */
  function withheld({ attribution }, measure, step) {
    const contrast = contrastOf(measure);
    const reason = contrast === null ? "" : attribution.withheld[contrast]?.[step];
    return reason ? `n/a: ${reason}` : "";
  }

  /** An ablation, its estimate and what the page says of both, `{ablation, estimate, says}`; null if all were ablated. */
  function screenOf(facts, measure) {
    return facts.screening?.[measure] ?? null;
  }

  /** What the MLPs of the captured layers wrote; null for ablations, which leave them alone. */
  function mlpsOf({ attribution }, measure, step, layers) {
    const contrast = contrastOf(measure);
    return contrast === null
      ? null
      : layers.map((layer) => attribution.other_parts[contrast][step][layer] ?? Number.NaN);
  }

  /**
   * The sum of all parts and what the model gave, `{name, value}` each; null for ablations.
   * @param {{attribution: any}} facts of the evidence
   * @param {string} measure
   * @param {number} step
   * @param {{gaps: object[], has_all_heads: boolean}} content what the page says of layers and heads
   */
  function sumOf({ attribution }, measure, step, { gaps, has_all_heads: hasAllHeads }) {
    const contrast = contrastOf(measure);
    if (contrast === null || attribution.logits[contrast][step] === null) return null;
    const at = (name) => attribution[name][contrast][step];
    const parts = [
      ["heads", at("heads")],
      ...(hasAllHeads ? [] : [["heads not shown", at("other_heads")]]),
      [gaps.length ? "MLPs, and layers without attention" : "MLPs of all layers", at("other_parts_sum")],
      ["embedding", at("embedding")],
      ["biases", at("biases")],
      [`rounding of ${attribution.dtype}`, at("rounding")],
    ].map(([name, value]) => ({ name, value }));
    const total = parts.reduce((sum, { value }) => sum + value, 0);
    return {
      parts,
      total,
      logit: at("logits"),
      rounding: at("rounding"),
      account: contrast === ALTERNATIVES ? accountOf(attribution, step) : [],
    };
  }

  /** From the logit over the alternatives to the log-odds of the token, `{name, value}` each. */
  function accountOf(attribution, step) {
    const lines = [
      ["soft cap of the logits", attribution.soft_cap[step]],
      ["less the entropy of the alternatives", -attribution.entropy[step]],
      ["log-odds of the token, in nats", attribution.log_odds[step]],
    ].map(([name, value]) => ({ name, value }));
    return lines.filter(({ value }) => value !== 0);
  }

  /**
   * Heads and MLPs with the largest and the smallest values.
   * @returns {{most: object[], least: object[]}} `{name, layer, head, value}` each, `head` null for an MLP
   */
  function rank(grid, mlps, { layers, heads }, count) {
    const parts = [
      ...Array.from(grid, (value, i) => {
        const [layer, head] = [layers[Math.floor(i / heads.length)], heads[i % heads.length]];
        return { name: `L${layer} H${head}`, layer, head, value };
      }),
      ...(mlps ?? []).map((value, i) => ({ name: `L${layers[i]} MLP`, layer: layers[i], head: null, value })),
    ];
    const top = (sign) =>
      parts
        .filter(({ value }) => sign * value > 0)
        .sort((a, b) => sign * (b.value - a.value))
        .slice(0, count);
    return { most: top(1), least: top(-1) };
  }

  /** Index of the first layer from which on a token stays the most probable one; -1 where it is not at the end. */
  function settledFrom(ranks) {
    const lastOther = ranks.findLastIndex((rank) => rank !== 1);
    return lastOther === ranks.length - 1 ? -1 : lastOther + 1;
  }

  return { ALTERNATIVES, MEAN, contrastOf, unitOf, runnerUpOf, withheld, screenOf, mlpsOf, sumOf, rank, settledFrom };
})();

if (typeof module !== "undefined") module.exports = reportgen.ledger;
