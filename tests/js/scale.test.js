const assert = require("node:assert/strict");
const { test } = require("node:test");
const { scale, pattern } = require("./scripts.js");

test("codes are drawn by their weight or its root", () => {
  for (const [name, middle] of [
    ["linear", (102 / 255) ** 2],
    ["sqrt", 102 / 255],
  ]) {
    const display = scale.displayOf(name, pattern.WEIGHTS);
    assert.equal(display.length, 256);
    assert.deepEqual([display[0], display[255]], [0, 1]);
    assert.ok(Math.abs(display[102] - middle) < 1e-6);
  }
});

test("ticks go from nothing to the largest weight", () => {
  for (const name of ["sqrt", "linear"]) {
    for (const high of [1, 0.7, 0.3, 0.09, 0.004, 0.0001]) {
      const ticks = scale.ticksOf(name, high);
      assert.ok(ticks.length >= 3, `${name} ${high}`);
      assert.equal(ticks[0].at, 0);
      assert.equal(ticks.at(-1).at, scale.show[name](high));
      for (const [i, tick] of ticks.entries()) if (i) assert.ok(tick.at > ticks[i - 1].at, `${name} ${high}`);
    }
  }
  assert.deepEqual(
    scale.ticksOf("sqrt", 1).map(({ label }) => label),
    ["0", "0.01", "0.05", "0.1", "0.25", "0.5", "1"],
  );
});

test("a logarithmic scale counts decades above a ten-thousandth", () => {
  const expected = [0, 0, 1, 4];
  for (const [i, weight] of [0, 1e-4, 1e-3, 1].entries()) {
    assert.ok(Math.abs(scale.show.log(weight) - expected[i]) < 1e-9, `${weight}`);
    assert.ok(Math.abs(scale.show.log(-weight) + expected[i]) < 1e-9, `${-weight}`);
  }
  assert.equal(scale.ticksOf("log", 1)[0].label, "≤0.0001");
});

test("a scale keeps the sign, and what is nothing", () => {
  assert.deepEqual(Array.from(scale.displayOf("sqrt", Float32Array.of(-4, 0, 9, Number.NaN))), [-2, 0, 3, Number.NaN]);
});

test("ticks of values with a sign stand as far on both sides", () => {
  for (const name of ["sqrt", "linear"]) {
    const ticks = scale.signedTicksOf(name, 0.5);
    assert.deepEqual(
      ticks.map(({ at }) => at),
      ticks.map(({ at }) => -at || 0).reverse(),
    );
    assert.deepEqual([ticks[0].label, ticks[2].label, ticks[4].label], ["−0.5", "0", "+0.5"]);
  }
});

test("labels are all shown where they have room", () => {
  assert.deepEqual(scale.thin(0, 4, 100, 12), [0, 1, 2, 3, 4]);
});

test("labels that have no room are thinned to round positions", () => {
  assert.deepEqual(scale.thin(0, 10, 60, 12), [0, 5, 10]);
  assert.deepEqual(scale.thin(3, 12, 60, 12), [4, 6, 8, 10, 12]);
  assert.deepEqual(scale.thin(0, 399, 120, 12), [0, 50, 100, 150, 200, 250, 300, 350]);
  for (const [last, pixels] of [
    [20, 100],
    [399, 340],
    [1023, 600],
  ]) {
    assert.ok(scale.thin(0, last, pixels, 12).length * 12 <= pixels);
  }
});

test("a text is cut between characters, not inside one", () => {
  assert.equal(scale.cut("cat", 3), "cat");
  assert.equal(scale.cut("cats", 3), "ca…");
  assert.equal(scale.cut("🤷🤷🤷", 3), "🤷🤷🤷");
  assert.equal(scale.cut("🤷🤷🤷🤷", 3), "🤷🤷…");
});

test("a weight has the digits that eight bits know", () => {
  const shown = [0, 0.00002, 0.00123, 0.0456, 0.5, 0.994, 0.996, 1].map(scale.formatWeight);
  assert.deepEqual(shown, ["0", "<0.0001", "0.0012", "0.046", "0.5", "0.99", "1", "1"]);
});

test("a share that is known well is not rounded away", () => {
  assert.deepEqual([0, 0.00002, 0.00123, 1].map(scale.formatFine), ["0", "2.0e-5", "0.0012", "1"]);
});

test("a value with a sign has it said", () => {
  const shown = [0, 0.0123, -0.0123, -12.345, 1e-9, Number.NaN, null].map((value) => scale.formatSigned(value));
  assert.deepEqual(shown, ["0", "+0.012", "−0.012", "−12", "+1.0e-9", "n/a", "n/a"]);
  assert.deepEqual(
    [0.5, -0.00001, -2].map((value) => scale.formatSigned(value, 3)),
    ["+0.500", "0.000", "−2.000"],
  );
});

test("a probability is never rounded to certainty or to nothing", () => {
  const percents = [1, 0.99999, 0.9994, 0.607, 0.0104, 0.00001].map((prob) => scale.formatPercent(Math.log(prob)));
  assert.deepEqual(percents, ["100 %", "100.00 %", "99.9 %", "60.7 %", "1.04 %", "<0.01 %"]);
  assert.equal(scale.formatPercent(null), "0 %");
});
