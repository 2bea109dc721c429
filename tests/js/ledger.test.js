const assert = require("node:assert/strict");
const { test } = require("node:test");
const { ledger } = require("./scripts.js");

const { NaN: none } = Number;
const content = { layers: [2, 5], heads: [1, 3] };
/** One step against the mean and against one runner-up, and a second step that was withheld. */
const facts = {
  attribution: {
    runners_up: [[[7, "␣dog", 0]], []],
    heads: [
      [3, null],
      [1, null],
    ],
    other_heads: [
      [0, null],
      [-1, null],
    ],
    other_parts_sum: [
      [2, null],
      [0.5, null],
    ],
    embedding: [
      [1, null],
      [0.25, null],
    ],
    biases: [
      [0.5, null],
      [0.25, null],
    ],
    logits: [
      [6.5, null],
      [1, null],
    ],
    other_parts: [
      [
        [9, 9, 0.5, 9, 9, -0.25],
        [null, null, null, null, null, null],
      ],
      [
        [0, 0, 1, 0, 0, 2],
        [null, null, null, null, null, null],
      ],
    ],
    residuals: [1e-6, 2.1e-2],
    tolerance: 1e-3,
  },
};
const names = (parts) => parts.map(({ name }) => name);

test("a measure is a contrast, or an ablation, which counts in nats", () => {
  assert.deepEqual(["attribution", "runner-up-1", "runner-up-12", "ablation"].map(ledger.contrastOf), [0, 1, 12, null]);
  assert.deepEqual(["attribution", "runner-up-1", "mean-ablation"].map(ledger.unitOf), ["logits", "logits", "nats"]);
});

test("a runner-up is named where the step has it", () => {
  assert.equal(ledger.runnerUpOf(facts, "runner-up-1", 0), "␣dog");
  for (const [measure, step] of [
    ["attribution", 0],
    ["ablation", 0],
    ["runner-up-1", 1],
    ["runner-up-2", 0],
    ["runner-up-1", null],
  ]) {
    assert.equal(ledger.runnerUpOf(facts, measure, step), null);
  }
});

test("a step whose parts do not add up is withheld, with the reason", () => {
  assert.equal(ledger.withheld(facts, "attribution", 0), "");
  assert.equal(
    ledger.withheld(facts, "attribution", 1),
    "withheld: the parts add up to within 2.1e-2, more than 0.001",
  );
  assert.equal(ledger.withheld(facts, "ablation", 1), "");
  const broken = { attribution: { ...facts.attribution, residuals: [null] } };
  assert.match(ledger.withheld(broken, "runner-up-1", 0), /not a number/);
});

test("parts of a sum are named, and heads that were left out only where there are any", () => {
  const sum = ledger.sumOf(facts, "attribution", 0);
  assert.deepEqual(names(sum.parts), ["heads", "MLPs of all layers", "embedding", "biases"]);
  assert.deepEqual([sum.total, sum.logit, sum.residual], [6.5, 6.5, 1e-6]);
  const against = ledger.sumOf(facts, "runner-up-1", 0);
  assert.equal(against.parts[1].name, "heads not shown");
  assert.equal(against.total, against.logit);
});

test("there is no sum of an ablation, nor of a step that was withheld", () => {
  assert.equal(ledger.sumOf(facts, "ablation", 0), null);
  assert.equal(ledger.sumOf(facts, "attribution", 1), null);
});

test("MLPs are those of the captured layers", () => {
  assert.deepEqual(ledger.mlpsOf(facts, "attribution", 0, [2, 5]), [0.5, -0.25]);
  assert.deepEqual(ledger.mlpsOf(facts, "attribution", 1, [2, 5]), [none, none]);
  assert.equal(ledger.mlpsOf(facts, "ablation", 0, [2, 5]), null);
});

test("parts are ranked on both sides, those at 0 and without a value on neither", () => {
  const { most, least } = ledger.rank(Float32Array.of(0.25, -2, 0, none), [0.5, -0.25], content, 9);
  assert.deepEqual(names(most), ["L2 MLP", "L2 H1"]);
  assert.deepEqual(names(least), ["L2 H3", "L5 MLP"]);
  assert.deepEqual(most[0], { name: "L2 MLP", layer: 2, head: null, value: 0.5 });
  assert.deepEqual(least[0], { name: "L2 H3", layer: 2, head: 3, value: -2 });
});

test("so many parts are listed, equal ones in their order", () => {
  const { most, least } = ledger.rank(Float32Array.of(1, 1, -1, -1), null, content, 1);
  assert.deepEqual([names(most), names(least)], [["L2 H1"], ["L5 H1"]]);
});

test("a token is settled from where it stays the most probable", () => {
  assert.deepEqual([[3, 0, 1, 0, 0], [0, 0], [0, 1], [2], [0]].map(ledger.settledFrom), [3, 0, -1, -1, 0]);
});
