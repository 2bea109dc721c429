// Colours of values: weights on the scale that the reader chose, effects on a linear one.
globalThis.reportgen ??= {};

reportgen.colors = (() => {
  "use strict";

  const { numbers } = reportgen;

  /** Colours of weights or other shares on the chosen scale: up to 1, also where the first token is left out. */
  function ofWeights({ state, palette }, unscaled = 1) {
    return { palette, low: 0, high: numbers.show[state.scale](unscaled), unscaled };
  }

  /** Colours of values with a sign, `high` to either side; where all are 0, they have the colour in the middle. */
  function ofEffects({ diverging }, high) {
    const most = high || Number.EPSILON;
    return { palette: diverging, low: -most, high: most };
  }

  /** Values as they are drawn under colours of weights. */
  const shown = ({ state }, values) => numbers.displayOf(state.scale, values);

  /** Which colour of its palette a ramp has for a value from `low` to `high`. */
  function indexOf({ palette, low, high }, value) {
    const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
    return Math.round(share * (palette.length - 1));
  }

  const colorOf = (ramp, value) => ramp.palette[indexOf(ramp, value)];

  const channelsOf = (color) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));

  /** Text is black on colours from this relative luminance on, and white on darker ones: both then have a contrast of 4.5. */
  const LIGHT_FROM = 0.18;

  /** Whether text on a colour, `#rrggbb`, is white. */
  function isDark(color) {
    const linear = channelsOf(color).map((level) => {
      const share = level / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    return luminance < LIGHT_FROM;
  }

  /** The class of text on a colour. */
  const classOn = (color) => (isDark(color) ? "on-dark-shade" : "on-light-shade");

  /** The colour of text on a colour, in a picture. */
  const inkOn = (color) => (isDark(color) ? "#ffffff" : "#000000");

  const pixelsOf = new WeakMap();

  /** An image of one pixel a cell, as a canvas; cells without a value are transparent. */
  function paint({ values, rows, columns }, ramp) {
    const { palette } = ramp;
    const canvas = Object.assign(document.createElement("canvas"), { width: columns, height: rows });
    const context = canvas.getContext("2d");
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    if (!pixelsOf.has(palette)) {
      const channels = palette.flatMap((color) => [...channelsOf(color), 255]);
      pixelsOf.set(palette, new Uint32Array(Uint8Array.from(channels).buffer));
    }
    const colors = pixelsOf.get(palette);
    for (let cell = 0; cell < values.length; cell++)
      if (!Number.isNaN(values[cell])) pixels[cell] = colors[indexOf(ramp, values[cell])];
    context.putImageData(image, 0, 0);
    return canvas;
  }

  return { ofWeights, ofEffects, shown, colorOf, classOn, inkOn, paint };
})();
