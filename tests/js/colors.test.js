const assert = require("node:assert/strict");
const { test } = require("node:test");
const { colors, golden } = require("./scripts.js");

const { blues, night, light, dark } = golden.ramps;

test("a weight has the colour of its share on the scale that was chosen", () => {
  for (const [scale, weight, place] of [
    ["sqrt", 0.25, 128],
    ["linear", 0.25, 64],
    ["log", 0.01, 128],
    ["sqrt", 1, 255],
    ["log", 1, 255],
    ["linear", 0, 0],
  ]) {
    const scene = { state: { scale }, palette: blues };
    const [value] = colors.shown(scene, Float32Array.of(weight));
    assert.equal(colors.colorOf(colors.ofWeights(scene), value), blues[place], `${scale} ${weight}`);
  }
});

test("an effect has the colour of its share of the largest, nothing the one in the middle", () => {
  const ramp = colors.ofEffects({ diverging: light }, 4);
  const found = [-4, -9, -1, 0, 2, 4, 9].map((effect) => light.indexOf(colors.colorOf(ramp, effect)));
  assert.deepEqual(found, [0, 0, 95, 127, 191, 254, 254]);
  const empty = colors.ofEffects({ diverging: light }, 0);
  assert.equal(colors.colorOf(empty, 0), light[127]);
});

test("text on every colour is told from it, in the theme that it belongs to", () => {
  const luminanceOf = (color) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const share = Number.parseInt(color.slice(at, at + 2), 16) / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  for (const color of [...blues, ...night, ...light, ...dark]) {
    const isWhite = colors.classOn(color) === "on-dark-shade";
    const contrast = isWhite ? 1.05 / (luminanceOf(color) + 0.05) : (luminanceOf(color) + 0.05) / 0.05;
    assert.ok(contrast >= 4.5, color);
  }
});
