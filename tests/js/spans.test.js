const assert = require("node:assert/strict");
const { test } = require("node:test");
const { evidence, spanSums } = require("./scripts.js");

/** Two layers of two heads, two spans; the number of a cell says where it stands. */
const COUNT = 2;
const WEIGHTS = Float32Array.from({ length: 4 * COUNT * (COUNT + 1) }, (_, i) => i / 8);
const EFFECTS = Float32Array.from({ length: 3 * 4 * (COUNT + 1) }, (_, i) => i / 4 - 2);

const numbers = (rows) => rows.map((row) => [...row]);

test("the block of a head has a row for each span that reads", () => {
  assert.deepEqual(numbers(spanSums.ofHead(WEIGHTS, 3, COUNT)), [
    [18 / 8, 19 / 8, 20 / 8],
    [21 / 8, 22 / 8, 23 / 8],
  ]);
});

test("the mean is over all heads, and unknown where no query sees a key", () => {
  const weights = WEIGHTS.slice();
  for (let head = 0; head < 4; head++) weights[head * 6 + 1] = Number.NaN;
  assert.deepEqual(numbers(spanSums.mean(weights, COUNT)), [
    [9 / 8, Number.NaN, 11 / 8],
    [12 / 8, 13 / 8, 14 / 8],
  ]);
});

test("the page reads the blocks of the selected head and step", async () => {
  const content = {
    tokens: Array.from({ length: 8 }, () => []),
    layers: [1, 4],
    heads: [0, 5],
    num_prompt_tokens: 5,
    heatmap_modes: [],
    grid_metrics: [],
  };
  const blocks = { "span-weights": WEIGHTS, "span-effects": EFFECTS, "span-read": EFFECTS.subarray(0, 9) };
  const asked = [];
  const bytes = async (name) => {
    asked.push(name);
    return new Uint8Array(blocks[name].slice().buffer);
  };
  const facts = { spans: { names: ["a", "b"], has_effects: true } };
  const made = evidence.makeEvidence(content, null, bytes, async () => facts);
  const found = await made.spans(4, 0, 2);
  assert.deepEqual(found.names, ["a", "b"]);
  assert.deepEqual(numbers(found.block), numbers(spanSums.ofHead(WEIGHTS, 2, COUNT)));
  assert.deepEqual([...found.effects], [...EFFECTS.subarray(30, 33)]);
  assert.deepEqual([...found.read], [...EFFECTS.subarray(6, 9)]);
  facts.spans.has_effects = false;
  const without = await made.spans(1, 5, 0);
  assert.deepEqual([without.effects, without.read], [null, null]);
  assert.deepEqual(asked, ["span-weights", "span-effects", "span-read"]);
});
