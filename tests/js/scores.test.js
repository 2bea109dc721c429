const assert = require("node:assert/strict");
const { test } = require("node:test");
const { scores } = require("./scripts.js");

const content = {
  layers: [2, 5],
  heads: [1, 3],
  label_from: 0.5,
  score_kinds: [
    { name: "sink", label: "rests", is_share: true },
    { name: "induction", label: "induction head", is_share: true },
    { name: "distance", label: "", is_share: false },
  ],
  scores: {
    sink: [
      [0.2, 0.5],
      [0.5, null],
    ],
    induction: [
      [null, null],
      [null, null],
    ],
    distance: [
      [3, 1],
      [2, 12.34],
    ],
  },
};
const places = (rows) => rows.map(({ layer, head }) => [layer, head]);

test("a score is found by the model's own numbers", () => {
  assert.equal(scores.scoreOf(content, "sink", 2, 3), 0.5);
  assert.equal(scores.scoreOf(content, "distance", 5, 1), 2);
  assert.equal(scores.scoreOf(content, "sink", 5, 3), null);
});

test("every head is listed with all its scores", () => {
  const rows = scores.listHeads(content);
  assert.deepEqual(places(rows), [
    [2, 1],
    [2, 3],
    [5, 1],
    [5, 3],
  ]);
  assert.deepEqual(rows[3].values, { sink: null, induction: null, distance: 12.34 });
});

test("equal heads share a rank, and those without the score have none", () => {
  assert.deepEqual(scores.rankOf(content, "sink", 2, 3), { rank: 1, count: 3 });
  assert.deepEqual(scores.rankOf(content, "sink", 5, 1), { rank: 1, count: 3 });
  assert.deepEqual(scores.rankOf(content, "sink", 2, 1), { rank: 3, count: 3 });
  assert.equal(scores.rankOf(content, "sink", 5, 3), null);
});

test("the largest score is over all heads, 0 where none has it", () => {
  assert.equal(scores.largest(content, "distance"), 12.34);
  assert.equal(scores.largest(content, "sink"), 0.5);
  assert.equal(scores.largest(content, "induction"), 0);
});

test("heads are sorted both ways, those without the score last, equal ones in their order", () => {
  const rows = scores.listHeads(content);
  assert.deepEqual(places(scores.sortHeads(rows, "sink", true)), [
    [2, 3],
    [5, 1],
    [2, 1],
    [5, 3],
  ]);
  assert.deepEqual(places(scores.sortHeads(rows, "sink", false)), [
    [2, 1],
    [2, 3],
    [5, 1],
    [5, 3],
  ]);
  assert.deepEqual(places(scores.sortHeads(rows, "", true)), [
    [5, 3],
    [5, 1],
    [2, 3],
    [2, 1],
  ]);
  assert.deepEqual(places(rows), [
    [2, 1],
    [2, 3],
    [5, 1],
    [5, 3],
  ]);
});

test("a name is earned from the threshold on, by scores that have one", () => {
  assert.deepEqual(scores.labelsOf(content, 2, 3), ["rests"]);
  assert.deepEqual(scores.labelsOf(content, 2, 1), []);
  assert.deepEqual(scores.labelsOf(content, 5, 3), []);
});

test("a share has three decimals, a number of tokens one, nothing is n/a", () => {
  assert.equal(scores.format(0.41872, { is_share: true }), "0.419");
  assert.equal(scores.format(12.34, { is_share: false }), "12.3");
  assert.equal(scores.format(null, { is_share: true }), "n/a");
});
