const assert = require("node:assert/strict");
const { test } = require("node:test");
const { difference, pattern } = require("./scripts.js");

/** Codes of a lower triangle of weights. */
const codesOf = (rows) => Uint8Array.from(rows.flat(), (weight) => Math.round(255 * Math.sqrt(weight)));
const first = codesOf([[1], [0, 1], [0.25, 0, 0.75]]);
const second = codesOf([[1], [1, 0], [0, 0, 1]]);
const whole = { starts: [0, 0], length: 3 };
const round = (values) => Array.from(values, (value) => Math.round(value * 100) / 100);

test("the difference of a query is that of its weights, key by key", () => {
  const row = difference.rowOf([first, second], whole, 2);
  assert.deepEqual(round(row.values), [0.25, 0, -0.25]);
  assert.deepEqual(round(row.weights[0]), [0.25, 0, 0.75]);
  assert.deepEqual(row.before, [0, 0]);
  assert.equal(Math.round(100 * difference.variationOf(row)), 25);
  assert.equal(difference.variationOf(difference.rowOf([first, second], whole, 1)), 1);
});

test("what is read before the common text counts as one", () => {
  const longer = codesOf([[1], [0, 1], [1, 0, 0], [0.25, 0.25, 0, 0.5]]);
  const row = difference.rowOf([first, longer], { starts: [1, 2], length: 2 }, 1);
  assert.deepEqual(round(row.values), [0, 0.25]);
  assert.deepEqual(round(row.before), [0.25, 0.5]);
  assert.equal(Math.round(100 * difference.variationOf(row)), 25);
});

test("a learned sink counts as a place of its own", () => {
  const [narrow, wide] = [codesOf([[0.5], [0.25, 0.5]]), codesOf([[0.25], [0.25, 0]])];
  const both = { starts: [0, 0], length: 2 };
  const row = difference.rowOf([narrow, wide], both, 1, [0.25, 0.75]);
  assert.deepEqual(row.sinks, [0.25, 0.75]);
  assert.equal(Math.round(100 * difference.variationOf(row)), 50);
  // Without the sink the same rows would be half as far apart.
  assert.equal(Math.round(100 * difference.variationOf(difference.rowOf([narrow, wide], both, 1))), 25);
});

test("a form holds all differences, with their signs, to the strongest", () => {
  const { codes, values } = difference.formOf([first, second], whole);
  const shown = round(Array.from(codes, (code) => values[code]));
  assert.deepEqual(shown, [0, -1, 1, 0.25, 0, -0.25]);
  assert.equal(codes.length, pattern.triangleSize(3));
});

test("heads that read alike have no difference", () => {
  const { codes, values } = difference.formOf([first, first], whole);
  assert.deepEqual(
    Array.from(codes, (code) => values[code] + 0),
    Array(6).fill(0),
  );
});

test("a position has a place among those that stand beside one another, or none", () => {
  const alignment = { starts: [1, 3], length: 2 };
  const placesOf = (side) => [0, 1, 2, 3, 4, 5].map((position) => difference.placeOf(position, side, alignment));
  assert.deepEqual(placesOf(0), [null, 0, 1, null, null, null]);
  assert.deepEqual(placesOf(1), [null, null, null, 0, 1, null]);
});

test("tokens that differ are both named", () => {
  const contents = [
    {
      tokens: [
        [1, "John", 0],
        [2, "␣ate", 0],
      ],
    },
    {
      tokens: [
        [9, "x", 0],
        [3, "<b>", 0],
        [2, "␣ate", 0],
      ],
    },
  ];
  const tokens = difference.tokensOf(contents, { starts: [0, 1], length: 2 });
  assert.deepEqual(tokens, [
    [null, "John | <b>", 0],
    [2, "␣ate", 0],
  ]);
});
