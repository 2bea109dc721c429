// Colours of ramps out of their steps: the mirror of palettes.describe_ramps.
globalThis.reportgen ??= {};

reportgen.ramps = (() => {
  "use strict";

  /** The numbers that differ from one to the next by these. */
  function sum(steps) {
    let value = 0;
    return steps.map((step) => {
      value += step;
      return value;
    });
  }

  const hex = (level) => level.toString(16).padStart(2, "0");

  /** @param {object} ramps by name, steps of red, green and blue @returns {object} by name, colours as `#rrggbb` */
  function decode(ramps) {
    const colors = ([red, green, blue]) => red.map((level, i) => `#${hex(level)}${hex(green[i])}${hex(blue[i])}`);
    return Object.fromEntries(Object.entries(ramps).map(([name, steps]) => [name, colors(steps.map(sum))]));
  }

  return { decode };
})();

if (typeof module !== "undefined") module.exports = reportgen.ramps;
