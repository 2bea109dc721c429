const assert = require("node:assert/strict");
const { test } = require("node:test");
const { numbers, pattern } = require("./scripts.js");

test("codes are drawn by their weight or its root", () => {
  for (const [name, middle] of [
    ["linear", (102 / 255) ** 2],
    ["sqrt", 102 / 255],
  ]) {
    const display = numbers.displayOf(name, pattern.WEIGHTS);
    assert.equal(display.length, 256);
    assert.deepEqual([display[0], display[255]], [0, 1]);
    assert.ok(Math.abs(display[102] - middle) < 1e-6);
  }
});

test("a logarithmic scale counts decades above a ten-thousandth", () => {
  const expected = [0, 0, 1, 4];
  for (const [i, weight] of [0, 1e-4, 1e-3, 1].entries()) {
    assert.ok(Math.abs(numbers.show.log(weight) - expected[i]) < 1e-9, `${weight}`);
    assert.ok(Math.abs(numbers.show.log(-weight) + expected[i]) < 1e-9, `${-weight}`);
  }
});

test("a scale keeps the sign, and what is nothing", () => {
  assert.deepEqual(Array.from(numbers.displayOf("sqrt", Float32Array.of(-4, 0, 9, Number.NaN))), [
    -2,
    0,
    3,
    Number.NaN,
  ]);
});

test("labels are all shown where they have room", () => {
  assert.deepEqual(numbers.thin(0, 4, 100, 12), [0, 1, 2, 3, 4]);
});

test("labels that have no room are thinned to round positions", () => {
  assert.deepEqual(numbers.thin(0, 10, 60, 12), [0, 5, 10]);
  assert.deepEqual(numbers.thin(3, 12, 60, 12), [4, 6, 8, 10, 12]);
  assert.deepEqual(numbers.thin(0, 399, 120, 12), [0, 50, 100, 150, 200, 250, 300, 350]);
  for (const [last, pixels] of [
    [20, 100],
    [399, 340],
    [1023, 600],
  ]) {
    assert.ok(numbers.thin(0, last, pixels, 12).length * 12 <= pixels);
  }
});

test("a text is cut between characters, not inside one", () => {
  assert.equal(numbers.cut("cat", 3), "cat");
  assert.equal(numbers.cut("cats", 3), "ca…");
  assert.equal(numbers.cut("🤷🤷🤷", 3), "🤷🤷🤷");
  assert.equal(numbers.cut("🤷🤷🤷🤷", 3), "🤷🤷…");
});

test("a weight has the digits that eight bits know", () => {
  const shown = [0, 0.00002, 0.00123, 0.0456, 0.5, 0.994, 0.996, 1].map(numbers.formatWeight);
  assert.deepEqual(shown, ["0", "<0.0001", "0.0012", "0.046", "0.5", "0.99", "1", "1"]);
});

test("a share that is known well is not rounded away", () => {
  assert.deepEqual([0, 0.00002, 0.00123, 1].map(numbers.formatFine), ["0", "2.0e-5", "0.0012", "1"]);
});

test("a value with a sign has it said", () => {
  const shown = [0, 0.0123, -0.0123, -12.345, 1e-9, Number.NaN, null].map((value) => numbers.formatSigned(value));
  assert.deepEqual(shown, ["0", "+0.012", "−0.012", "−12", "+1.0e-9", "n/a", "n/a"]);
  assert.deepEqual(
    [0.5, -0.00001, -2].map((value) => numbers.formatSigned(value, 3)),
    ["+0.500", "0.000", "−2.000"],
  );
});

test("a probability is never rounded to certainty or to nothing", () => {
  const percents = [1, 0.99999, 0.9994, 0.607, 0.0104, 0.00001].map((prob) => numbers.formatPercent(Math.log(prob)));
  assert.deepEqual(percents, ["100 %", "100.00 %", "99.9 %", "60.7 %", "1.04 %", "<0.01 %"]);
  assert.equal(numbers.formatPercent(null), "0 %");
});

test("a percentage beside a row is written as before any script runs", () => {
  const expected = [
    [0.7731, "77 %"],
    [0.0951, "10 %"],
    [0.01, "1 %"],
    [0.0095, "1 %"],
    [0.004, "0.4 %"],
    [0.00012, "0.01 %"],
    [0.00001, "<0.01 %"],
    [0, "0 %"],
    [1, "100 %"],
    [0.9899, "99 %"],
    [0.991, "99.1 %"],
    [0.9997, "99.97 %"],
    [0.99999, ">99.99 %"],
  ];
  for (const [prob, text] of expected) assert.equal(numbers.formatRound(Math.log(prob)), text);
  assert.equal(numbers.formatRound(null), "0 %");
});

test("an effect has one decimal and its sign, unless it prints as nothing", () => {
  const shown = [2.84, -0.66, 0.05, 0.049, -0.049, 0, Number.NaN].map(numbers.formatEffect);
  assert.deepEqual(shown, ["+2.8", "−0.7", "+0.1", "0.0", "0.0", "0.0", "n/a"]);
  assert.deepEqual([0.904, 1, 0.004].map(numbers.formatShare), ["0.90", "1.00", "0.00"]);
});
