const assert = require("node:assert/strict");
const { test } = require("node:test");
const { shows, pattern } = require("./scripts.js");

const { NaN: none } = Number;
/** Three positions: rows [1], [1/4, 1/4], [0, 1/4, 1/4], as far as bytes go. */
const codes = Uint8Array.of(255, 128, 128, 0, 128, 128);
const norms = Float32Array.of(0.25, 1, 1);
const close = (found, expected, least = 0.01) => {
  assert.equal(found.length, expected.length);
  for (const [i, value] of expected.entries()) assert.ok(Math.abs(found[i] - value) <= least, `${found} ${expected}`);
};

test("weights are those of the codes", () => {
  close(shows.weightsOf(pattern.rowOf(codes, 1)), [0.25, 0.25]);
  assert.deepEqual(shows.formOfWeights(codes), { codes, values: pattern.WEIGHTS });
});

test("weighted attention is a share of its row", () => {
  close(shows.sharesOf(pattern.rowOf(codes, 0), norms), [1]);
  close(shows.sharesOf(pattern.rowOf(codes, 1), norms), [0.2, 0.8]);
  close(shows.sharesOf(pattern.rowOf(codes, 2), norms), [0, 0.5, 0.5]);
});

test("a row that writes nothing has no shares to divide", () => {
  close(shows.sharesOf(Uint8Array.of(0), norms), [0], 0);
  close(shows.sharesOf(pattern.rowOf(codes, 1), new Float32Array(3)), [0, 0], 0);
  assert.deepEqual([...shows.sharesOf(Uint8Array.of(255), norms, 0.5)], [0.5]); // of a whole that is known
});

test("shares of all queries are those of each", () => {
  close(shows.allSharesOf(codes, norms, 3), [1, 0.2, 0.8, 0, 0.5, 0.5]);
  close(shows.allSharesOf(codes, norms, 3, [0.25, 0.625, 1]), [1, 0.1, 0.4, 0, 0.25, 0.25]);
});

test("sources are read by step, with their signs and the step's scale", () => {
  const sources = Int8Array.of(127, -64, -127, 0, -128);
  const [one, two] = shows.placesOf(2, [], 2);
  close(shows.attributionOf(sources, [4, 2], one), [4, -1], 0.03);
  const [first, second, third] = shows.attributionOf(sources, [4, 2], two);
  assert.deepEqual([first, second, third], [-2, 0, none]);
});

test("rows of foils stand behind those of all steps, each as long as that of its step", () => {
  const places = shows.placesOf(2, [1, 0], 5);
  assert.deepEqual(
    places.map(({ row, start, length }) => [row, start, length]),
    [
      [0, 0, 5],
      [1, 5, 6],
      [2, 11, 6],
      [3, 17, 5],
    ],
  );
});

test("a form of sources is empty but for the rows of steps", () => {
  const form = shows.formOfSources(Int8Array.of(127, -64, -127, 0, -128), [4, 2], 4, shows.placesOf(2, [], 2));
  const values = Array.from(form.codes, (code) => form.values[code]);
  // The row before the first step, and the last, whose next token nobody knows.
  assert.deepEqual(values.slice(0, 1), [none]);
  assert.deepEqual(values.slice(6), [none, none, none, none]);
  close(values.slice(1, 5), [4, -1, -2, 0], 0.03);
  assert.ok(Number.isNaN(values[5]));
});

test("sources of nothing are zeros", () => {
  const form = shows.formOfSources(new Int8Array(2), [0], 2, shows.placesOf(1, [], 2));
  assert.deepEqual(
    Array.from(form.codes.subarray(1), (code) => form.values[code]),
    [0, 0],
  );
});

test("a triangle is coded as finely as what is seen of it allows", () => {
  const triangle = Float32Array.of(1, 0.999, 0.001);
  const valuesOf = ({ codes: made, values }) => Array.from(made, (code) => values[code]);
  close(valuesOf(shows.formOfTriangle(triangle, 2, true)), [1, 0.999, 0.001], 0.004);
  assert.ok(Math.abs(valuesOf(shows.formOfTriangle(triangle, 2, false))[2] - 0.001) < 1e-9);
});
