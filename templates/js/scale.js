// Numbers to what is seen: colour scale, ticks, labels that have room, texts of numbers.
globalThis.reportgen ??= {};

reportgen.scale = (() => {
  "use strict";

  const SHOW = { sqrt: Math.sqrt, linear: (weight) => weight };
  const TICKS = {
    sqrt: [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1],
    linear: [0, 0.25, 0.5, 0.75, 1],
  };

  /** What is drawn for each of the 256 codes under a scale. */
  function displayOf(scale) {
    return Float32Array.from({ length: 256 }, (_, code) => SHOW[scale]((code / 255) ** 2));
  }

  /**
   * Ticks of a colour bar.
   * @param {number} high largest weight on the bar
   * @returns {{at: number, label: string}[]} where each stands, on the scale, and what it says
   */
  function ticksOf(scale, high) {
    const round = TICKS[scale].filter((weight) => weight < high * 0.86);
    const steps = round.length > 2 ? round : [0, high / (scale === "sqrt" ? 4 : 2)];
    return [...steps, high].map((weight) => ({ at: SHOW[scale](weight), label: formatWeight(weight) }));
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

  /** A log-probability as a percentage; null is an impossible token. */
  function formatPercent(logprob) {
    if (logprob === null) return "0 %";
    const percent = 100 * Math.exp(logprob);
    if (percent < 0.01) return "<0.01 %";
    return `${percent >= 99.95 && percent < 100 ? percent.toFixed(2) : Number(percent.toPrecision(3))} %`;
  }

  return { displayOf, ticksOf, thin, cut, formatWeight, formatPercent, show: SHOW };
})();

if (typeof module !== "undefined") module.exports = reportgen.scale;
