// What wrote a token: the parts of the sum, and the heads and MLPs that wrote most for it and against it.
globalThis.reportgen ??= {};

reportgen.ledger = (() => {
  "use strict";

  const FOIL = /^(.*?)-?foil-(\d+)$/;

  /**
   * The foil that a measure compares a step with, by number; null where that is no foil.
   * @param {any[][]} foils of the page, the step last; each holds for its own step
   */
  function foilAt(foils, measure, step) {
    const asked = FOIL.exec(measure);
    if (!asked) return null;
    const stepOf = (foil) => foil?.at(-1);
    const number =
      stepOf(foils[Number(asked[2]) - 1]) === step
        ? Number(asked[2]) - 1
        : foils.findIndex((foil) => stepOf(foil) === step);
    return number < 0 ? null : number;
  }

  /** What a measure is at a step: where its foil is for another step, the step's own foil, or else the alternatives. */
  function held(foils, measure, step) {
    const asked = FOIL.exec(measure);
    if (!asked) return measure;
    const number = foilAt(foils, measure, step);
    const foil = number === null ? [] : [`foil-${number + 1}`];
    return [...(asked[1] ? [asked[1]] : []), ...foil].join("-") || "attribution";
  }

  /** Whether a measure is an effect on the logit, and no ablation or estimate of one. */
  const isEffect = (measure) => !/ablation|estimate/.test(measure);

  /** Which contrast of the attribution a measure is; null for an ablation or its estimate. */
  function contrastOf({ attribution }, measure) {
    return isEffect(measure) ? attribution.contrasts.indexOf(measure) : null;
  }

  /** What the values of a measure are counted in. */
  function unitOf(measure) {
    return isEffect(measure) || FOIL.test(measure) ? "logits" : "nats";
  }

  /** The token that a step's token is compared with, as text; null where that is no single token. */
  function otherOf({ attribution }, measure, step) {
    const foil = FOIL.exec(measure);
    if (foil) return attribution.foils[Number(foil[2]) - 1][1];
    const runnerUp = /^runner-up-(\d+)$/.exec(measure);
    return (runnerUp && step !== null && attribution.runners_up[step][Number(runnerUp[1]) - 1]?.[1]) || null;
  }

  /** Why a step's attribution is not shown; empty where it is. */
  function withheld(facts, measure, step) {
    const contrast = contrastOf(facts, measure);
    const reason = contrast === null ? "" : facts.attribution.withheld[contrast]?.[step];
    return reason ? `n/a: ${reason}` : "";
  }

  /** An ablation, its estimate and what the page says of both, `{ablation, estimate, says}`; null if all were ablated. */
  function screenOf(facts, measure) {
    return facts.screening?.[measure] ?? null;
  }

  /** What the MLPs of the captured layers wrote; null for ablations, which leave them alone. */
  function mlpsOf(facts, measure, step, layers) {
    const contrast = contrastOf(facts, measure);
    return contrast === null
      ? null
      : layers.map((layer) => facts.attribution.other_parts[contrast][step][layer] ?? Number.NaN);
  }

  /**
   * The sum of all parts and what the model gave, `{name, value}` each; null for ablations.
   * @param {{attribution: any}} facts of the evidence
   * @param {string} measure
   * @param {number} step
   * @param {{gaps: object[], has_all_heads: boolean}} content what the page says of layers and heads
   */
  function sumOf(facts, measure, step, { gaps, has_all_heads: hasAllHeads }) {
    const { attribution } = facts;
    const contrast = contrastOf(facts, measure);
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
      account: measure === "attribution" ? accountOf(attribution, step) : [],
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

  return { foilAt, held, isEffect, unitOf, otherOf, withheld, screenOf, mlpsOf, sumOf, rank, settledFrom };
})();

if (typeof module !== "undefined") module.exports = reportgen.ledger;
