const assert = require("node:assert/strict");
const { test } = require("node:test");
const { ledger } = require("./scripts.js");

const { NaN: none } = Number;
const content = { layers: [2, 5], heads: [1, 3] };
/** One step against the alternatives, the mean and one runner-up, and a second step that was withheld. */
const facts = {
  attribution: {
    contrasts: ["attribution", "attribution-mean", "runner-up-1", "foil-1"],
    foils: [[9, "␣John", 0]],
    runners_up: [[[7, "␣dog", 0]], []],
    heads: [
      [3, null],
      [2, null],
      [1, null],
    ],
    other_heads: [
      [0, null],
      [0, null],
      [-1, null],
    ],
    other_parts_sum: [
      [2, null],
      [2, null],
      [0.5, null],
    ],
    embedding: [
      [1, null],
      [1, null],
      [0.25, null],
    ],
    biases: [
      [0.5, null],
      [0.5, null],
      [0.25, null],
    ],
    rounding: [
      [-0.25, null],
      [0, null],
      [0, null],
    ],
    logits: [
      [6.25, null],
      [5.5, null],
      [1, null],
    ],
    log_odds: [4.25, null],
    entropy: [2.5, null],
    soft_cap: [0.5, null],
    other_parts: [
      [
        [9, 9, 0.5, 9, 9, -0.25],
        [null, null, null, null, null, null],
      ],
      [
        [0, 0, 1, 0, 0, 2],
        [null, null, null, null, null, null],
      ],
      [
        [0, 0, 1, 0, 0, 2],
        [null, null, null, null, null, null],
      ],
    ],
    withheld: [
      ["", "its parts add up only to within 2.1e-02 of the largest"],
      ["", "x"],
      ["", "y"],
    ],
    dtype: "bfloat16",
  },
};
const ALL_HEADS = { gaps: [], has_all_heads: true };
const SOME_HEADS = { gaps: [], has_all_heads: false };
const names = (parts) => parts.map(({ name }) => name);

test("effects and what is over a foil count in logits, other ablations in nats", () => {
  assert.deepEqual(["attribution", "runner-up-1", "foil-2", "ablation-foil-1", "mean-ablation"].map(ledger.unitOf), [
    ...Array(4).fill("logits"),
    "nats",
  ]);
  assert.deepEqual(["attribution", "foil-1", "ablation-foil-1", "estimate"].map(ledger.isEffect), [
    true,
    true,
    false,
    false,
  ]);
});

test("a single token that a step is compared with is named where the step has it", () => {
  assert.equal(ledger.otherOf(facts, "runner-up-1", 0), "␣dog");
  assert.equal(ledger.otherOf(facts, "foil-1", 0), "␣John");
  assert.equal(ledger.otherOf(facts, "mean-ablation-foil-1", 0), "␣John");
  for (const [measure, step] of [
    ["attribution", 0],
    ["attribution-mean", 0],
    ["ablation", 0],
    ["runner-up-1", 1],
    ["runner-up-2", 0],
    ["runner-up-1", null],
  ]) {
    assert.equal(ledger.otherOf(facts, measure, step), null);
  }
});

test("a foil holds at its own step; elsewhere the step's own foil, or the alternatives", () => {
  const foils = [
    [9, "␣John", 0, 0],
    [8, "␣Bob", 0, 0],
    [7, "␣her", 0, 2],
  ];
  const cases = [
    ["foil-1", 0, "foil-1", 0],
    ["foil-2", 0, "foil-2", 1],
    ["foil-2", 2, "foil-3", 2],
    ["foil-3", 0, "foil-1", 0],
    ["foil-1", 1, "attribution", null],
    ["runner-up-1", 0, "runner-up-1", null],
    ["ablation", 0, "ablation", null],
    ["ablation-foil-1", 0, "ablation-foil-1", 0],
    ["mean-ablation-foil-2", 1, "mean-ablation", null],
  ];
  for (const [measure, step, name, number] of cases) {
    assert.equal(ledger.held(foils, measure, step), name);
    assert.equal(ledger.foilAt(foils, measure, step), number);
  }
});

test("a step whose parts do not add up is withheld, with the reason", () => {
  assert.equal(ledger.withheld(facts, "attribution", 0), "");
  assert.equal(ledger.withheld(facts, "attribution", 1), "n/a: its parts add up only to within 2.1e-02 of the largest");
  assert.equal(ledger.withheld(facts, "runner-up-1", 1), "n/a: y");
  assert.equal(ledger.withheld(facts, "ablation", 1), "");
});

test("an ablation and its estimate know each other and what is said of both, where heads were only estimated", () => {
  const both = { ablation: "ablation", estimate: "estimate", says: "5 of 12 heads were ablated." };
  const screened = { ...facts, screening: { ablation: both, estimate: both } };
  assert.equal(ledger.screenOf(screened, "ablation"), both);
  assert.equal(ledger.screenOf(screened, "estimate"), both);
  assert.equal(ledger.screenOf(screened, "mean-ablation"), null);
  assert.equal(ledger.screenOf(facts, "ablation"), null);
  assert.equal(ledger.unitOf("estimate"), "nats");
});

test("parts of a sum are named, rounding among them, and heads that were left out only where there are any", () => {
  const sum = ledger.sumOf(facts, "attribution", 0, ALL_HEADS);
  assert.equal(ledger.sumOf(facts, "attribution", 0, SOME_HEADS).parts[1].name, "heads not shown");
  assert.deepEqual(names(sum.parts), ["heads", "MLPs of all layers", "embedding", "biases", "rounding of bfloat16"]);
  assert.deepEqual([sum.total, sum.logit, sum.rounding], [6.25, 6.25, -0.25]);
  const against = ledger.sumOf(facts, "runner-up-1", 0, SOME_HEADS);
  assert.equal(against.parts[1].name, "heads not shown");
  assert.equal(against.total, against.logit);
});

test("the account goes on from the sum to the log-odds of the token", () => {
  const { total, account } = ledger.sumOf(facts, "attribution", 0, ALL_HEADS);
  const [cap, entropy, odds] = account.map(({ value }) => value);
  assert.equal(total + cap + entropy, odds);
  assert.deepEqual(ledger.sumOf(facts, "attribution-mean", 0, ALL_HEADS).account, []);
  const uncapped = { attribution: { ...facts.attribution, soft_cap: [0, null] } };
  assert.equal(ledger.sumOf(uncapped, "attribution", 0, ALL_HEADS).account.length, 2);
});

test("there is no sum of an ablation, nor of a step that was withheld", () => {
  assert.equal(ledger.sumOf(facts, "ablation", 0, ALL_HEADS), null);
  assert.equal(ledger.sumOf(facts, "attribution", 1, ALL_HEADS), null);
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
  assert.deepEqual([[4, 1, 2, 1, 1], [1, 1], [1, 2], [3], [1]].map(ledger.settledFrom), [3, 0, -1, -1, 0]);
});
