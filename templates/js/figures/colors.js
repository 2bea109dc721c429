// Colours of values: weights on the scale that the reader chose, effects on a linear one.
globalThis.reportgen ??= {};

reportgen.colors = (() => {
  "use strict";

  const { numbers } = reportgen;

  /** Colours of weights or other shares: up to 1, also where the first token is left out. */
  function ofWeights({ state, palette }) {
    return { palette, low: 0, high: numbers.show[state.scale](1) };
  }

  /** Colours of values with a sign, `high` logits to either side. */
  function ofEffects({ diverging }, high) {
    return { palette: diverging, low: -high || -Number.EPSILON, high };
  }

  /** Values as they are drawn under colours of weights. */
  const shown = ({ state }, values) => numbers.displayOf(state.scale, values);

  /** The colour of a value from `low` to `high`, and whether text on it must be inverted. */
  function colorOf({ palette, low, high }, value) {
    const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
    const deep = low < 0 ? Math.abs(value) / high > 0.55 : share > 0.55;
    return { color: palette[Math.round(share * (palette.length - 1))], deep };
  }

  return { ofWeights, ofEffects, shown, colorOf };
})();
