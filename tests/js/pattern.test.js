const assert = require("node:assert/strict");
const { test } = require("node:test");
const { pattern } = require("./scripts.js");

const codes = Uint8Array.of(255, 10, 20, 30, 40, 50);
const identity = Float32Array.from({ length: 256 }, (_, code) => code);
const { NaN: none } = Number;
const form = (codes) => ({ codes, first: null });

test("a triangle has a row more for each position", () => {
  assert.deepEqual([0, 1, 2, 3, 400].map(pattern.triangleSize), [0, 1, 3, 6, 80200]);
});

test("heads and rows are parts of a layer, not copies", () => {
  const layer = Uint8Array.of(1, 2, 3, 4, 5, 6);
  assert.deepEqual(Array.from(pattern.headOf(layer, 1, 2)), [4, 5, 6]);
  assert.equal(pattern.headOf(layer, 1, 2).buffer, layer.buffer);
  assert.deepEqual(Array.from(pattern.rowOf(codes, 0)), [255]);
  assert.deepEqual(Array.from(pattern.rowOf(codes, 2)), [30, 40, 50]);
});

test("a code is the square root of its weight", () => {
  assert.equal(pattern.weightOf(0), 0);
  assert.equal(pattern.weightOf(255), 1);
  assert.ok(Math.abs(pattern.weightOf(51) - 0.04) < 1e-12);
});

test("the strongest cell may leave the first key out", () => {
  assert.equal(pattern.strongest({ codes, values: identity }, 3, true), 255);
  assert.equal(pattern.strongest({ codes, values: identity }, 3, false), 50);
  assert.equal(pattern.strongest({ codes: Uint8Array.of(255), values: identity }, 1, false), 0);
});

test("codes may have sixteen bits", () => {
  const fine = { codes: Uint16Array.of(1, 300, 2), values: Float32Array.from({ length: 65536 }, (_, code) => code) };
  assert.equal(pattern.strongest(fine, 2, true), 300);
});

test("the strongest cell may be a negative one, and none where nothing is", () => {
  const values = identity.map((code) => (code === 30 ? -300 : code === 255 ? none : code));
  assert.equal(pattern.strongest({ codes, values }, 3, true), 300);
  assert.equal(pattern.strongest({ codes, values: values.fill(none) }, 3, true), 0);
  assert.equal(pattern.largest([none, -2, 1]), 2);
  assert.equal(pattern.largest([]), 0);
});

test("a crop has its rows downwards and nothing above the diagonal", () => {
  const image = pattern.crop(form(codes), identity, true, 0, 2);
  assert.deepEqual(Array.from(image), [255, none, none, 10, 20, none, 30, 40, 50]);
});

test("a crop may leave the first key out", () => {
  const image = pattern.crop(form(codes), identity, false, 0, 2);
  assert.deepEqual(Array.from(image), [none, none, none, none, 20, none, none, 40, 50]);
});

test("a smaller image keeps the strongest of the cells that it merges", () => {
  const four = Uint8Array.of(1, 2, 3, 4, 9, 6, 7, 8, 5, 10);
  assert.deepEqual(Array.from(pattern.crop(form(four), identity, true, 0, 3, 2)), [3, none, 9, 10]);
});

test("a smaller image keeps signs, and what is nothing hides nothing", () => {
  const four = Uint8Array.of(1, 2, 3, 4, 9, 6, 7, 8, 5, 10);
  const values = identity.map((code) => (code === 9 ? -9 : code === 10 ? none : code));
  assert.deepEqual(Array.from(pattern.crop(form(four), values, true, 0, 3, 2)), [3, none, -9, 6]);
});

test("a crop begins and ends anywhere, and its cells merge those of the range alone", () => {
  const four = Uint8Array.of(1, 2, 3, 4, 9, 6, 7, 8, 5, 10);
  assert.deepEqual(Array.from(pattern.crop(form(four), identity, true, 1, 2)), [3, none, 9, 6]);
  // The first key is no column of a range that begins after it.
  assert.deepEqual(Array.from(pattern.crop(form(four), identity, false, 1, 2)), [3, none, 9, 6]);
  const halves = pattern.crop(form(Uint8Array.from({ length: 15 }, (_, i) => i)), identity, true, 1, 4, 2);
  assert.deepEqual(Array.from(halves), [5, none, 12, 14]);
});

test("cells of a smaller image follow one another and take their share", () => {
  for (const [n, side] of [
    [27, 24],
    [7, 3],
    [400, 100],
    [5, 5],
    [3, 8],
  ]) {
    const cells = Array.from({ length: n }, (_, position) => pattern.cellOf(position, n, side));
    for (const [position, cell] of cells.entries()) {
      if (side >= n) assert.equal(cell, position);
      else assert.ok(Math.floor((cell * n) / side) <= position && position < Math.floor(((cell + 1) * n) / side));
    }
  }
});

test("the strongest keys come first, equal ones in order of position", () => {
  const row = Uint8Array.of(9, 3, 7, 7, 0);
  const keys = (count, withFirst) => pattern.strongestKeys(row, count, withFirst).map(({ keyPos }) => keyPos);
  assert.deepEqual(keys(3, true), [0, 2, 3]);
  assert.deepEqual(keys(3, false), [2, 3, 1]);
  assert.deepEqual(keys(9, true), [0, 2, 3, 1, 4]);
  assert.deepEqual(pattern.strongestKeys(row, 1, true), [{ keyPos: 0, value: 9 }]);
});

test("keys far below 0 are strong, and those without a value are none", () => {
  const keys = pattern.strongestKeys([1, none, -3, 2], 9, true);
  assert.deepEqual(keys, [
    { keyPos: 2, value: -3 },
    { keyPos: 3, value: 2 },
    { keyPos: 0, value: 1 },
  ]);
});
