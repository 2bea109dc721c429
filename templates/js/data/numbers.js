// Numbers to what is seen: the scale of colours, labels that have room, texts of numbers.
globalThis.reportgen ??= {};

reportgen.numbers = (() => {
  "use strict";

  /** On the logarithmic scale, values nearer to 0 look like 0. */
  const FLOOR = 1e-4;
  /** Where a value stands; roots and logarithms keep the sign. */
  const SHOW = {
    sqrt: (value) => Math.sign(value) * Math.sqrt(Math.abs(value)),
    linear: (value) => value,
    log: (value) => (value === 0 ? 0 : Math.sign(value) * Math.max(0, Math.log10(Math.abs(value) / FLOOR))),
  };
  const displays = new WeakMap();

  /** What is drawn under a scale for each of the values that codes stand for; tables that are kept are looked up. */
  function displayOf(scale, values) {
    const known = displays.get(values) ?? {};
    displays.set(values, known);
    known[scale] ??= values.map(SHOW[scale]);
    return known[scale];
  }

  /**
   * Positions whose labels fit.
   * @param {number} first first position in view, last the last one
   * @param {number} pixels how long the axis is
   * @param {number} least pixels that one label needs
   */
  function thin(first, last, pixels, least) {
    const count = last - first + 1;
    const room = Math.max(1, Math.floor(pixels / least));
    const stride = roundStride(Math.ceil(count / room));
    const start = Math.ceil(first / stride) * stride;
    const positions = [];
    for (let position = start; position <= last; position += stride) positions.push(position);
    return positions;
  }

  /** The next of 1, 2, 5, 10, 20 … so that labels stand at round positions. */
  function roundStride(least) {
    for (let power = 1; ; power *= 10) {
      for (const step of [1, 2, 5]) if (step * power >= least) return step * power;
    }
  }

  /** Text cut to so many characters, by code points, never inside one. */
  function cut(text, most) {
    const characters = Array.from(text);
    return characters.length <= most ? text : `${characters.slice(0, most - 1).join("")}…`;
  }

  /** A weight as eight bits know it: two digits. */
  function formatWeight(weight) {
    if (weight === 0) return "0";
    if (weight < 0.0001) return "<0.0001";
    return String(Number(weight.toPrecision(2)));
  }

  /** A share that is known better than eight bits know it. */
  function formatFine(share) {
    return share > 0 && share < 0.0001 ? share.toExponential(1) : formatWeight(share);
  }

  /** A value with its sign: two digits, or so many decimals. */
  function formatSigned(value, decimals) {
    if (value === null || Number.isNaN(value)) return "n/a";
    const size = Math.abs(value);
    const digits = decimals === undefined ? String(Number(size.toPrecision(2))) : size.toFixed(decimals);
    const shown = digits.includes("e") ? size.toExponential(1) : digits;
    if (Number(shown) === 0) return shown;
    return `${value < 0 ? "−" : "+"}${shown}`;
  }

  /** An effect in logits: one decimal. */
  function formatEffect(value) {
    return Math.abs(value) < 0.05 ? "0.0" : formatSigned(value, 1);
  }

  /** A log-probability as a percentage beside a row, as `format_percent` in Python writes it before any script runs. */
  function formatRound(logprob) {
    const percent = 100 * Math.exp(logprob ?? Number.NEGATIVE_INFINITY);
    if (percent === 0 || percent === 100) return `${percent} %`;
    if (percent < 0.01) return "<0.01 %";
    if (percent < 0.95) return `${Number(percent.toPrecision(1))} %`;
    if (percent >= 99.995) return ">99.99 %";
    return `${percent.toFixed(percent < 99 ? 0 : percent < 99.95 ? 1 : 2)} %`;
  }

  /** A weight beside a row: two decimals. */
  const formatShare = (share) => share.toFixed(2);

  /** A log-probability as a percentage; null is an impossible token. */
  function formatPercent(logprob) {
    if (logprob === null) return "0 %";
    const percent = 100 * Math.exp(logprob);
    if (percent < 0.01) return "<0.01 %";
    return `${percent >= 99.95 && percent < 100 ? percent.toFixed(2) : Number(percent.toPrecision(3))} %`;
  }

  return {
    displayOf,
    thin,
    cut,
    formatWeight,
    formatFine,
    formatSigned,
    formatEffect,
    formatShare,
    formatRound,
    formatPercent,
    show: SHOW,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.numbers;
