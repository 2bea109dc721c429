const assert = require("node:assert/strict");
const { test } = require("node:test");
const { lines } = require("./scripts.js");

const box = (x, top) => ({ x, top, bottom: top + 20 });

test("a line arches over one line of text, higher the farther it goes", () => {
  const heightOf = (to) => 100 - Number(/C\S+ (\S+) /.exec(lines.pathOf(box(200, 100), box(to, 100)))[1]);
  assert.ok(heightOf(150) < heightOf(20));
  assert.match(lines.pathOf(box(200, 100), box(20, 100)), /^M200 100C.* 20 100$/);
});

test("a line to another line of text leaves on that side", () => {
  assert.match(lines.pathOf(box(200, 100), box(50, 20)), /^M200 100C.* 50 40$/);
  assert.match(lines.pathOf(box(200, 20), box(50, 100)), /^M200 40C.* 50 100$/);
});

test("what a query reads of itself is a loop", () => {
  assert.match(lines.pathOf(box(200, 100), box(200, 100)), /^M200 100C190 78 210 78 200 100$/);
});

test("the strongest keys get a line, as wide as their share of the strongest", () => {
  const keys = lines.keysOf(Float32Array.of(0.5, 0.25, 0.001, -0.25), true);
  assert.deepEqual(
    keys.map(({ keyPos, share }) => [keyPos, share]),
    [
      [0, 1],
      [1, 0.5],
      [3, 0.5],
    ],
  );
  assert.equal(lines.keysOf(Float32Array.of(0.5, 0.25), false)[0].keyPos, 1);
  assert.deepEqual(lines.keysOf(new Float32Array(3), true), []);
});
