const assert = require("node:assert/strict");
const { test } = require("node:test");
const { sets } = require("./scripts.js");

const bounds = { layers: [2, 5, 7], heads: [1, 3] };
const chosen = { layer: 5, head: 3 };
const placesOf = (text) =>
  sets.headsOf(sets.parse(text, bounds), bounds, chosen).map(({ layer, head }) => `${layer}.${head}`);

test("a set is every head of its layers", () => {
  assert.deepEqual(placesOf("mean:this:all"), ["5.1", "5.3"]);
  assert.deepEqual(placesOf("max:all:this"), ["2.3", "5.3", "7.3"]);
  assert.deepEqual(placesOf("mean:0-6:3"), ["2.3", "5.3"]);
  assert.deepEqual(placesOf("mean: 7, 2 :1–2"), ["2.1", "7.1"]);
});

test("what cannot be read, or has no head, is no set", () => {
  for (const text of [
    "",
    "mean",
    "sum:all:all",
    "mean:x:all",
    "mean:all:9",
    "mean:3:all",
    "mean:1-:all",
    "mean:all:1:2",
  ]) {
    assert.equal(sets.parse(text, bounds), null, text);
  }
});

test("a set has a text that leads back to it, and a name", () => {
  const set = sets.parse("max:0-6, 7:this", bounds);
  assert.deepEqual(sets.parse(sets.format(set), bounds), set);
  assert.equal(sets.name(set, bounds, chosen), "Maximum of 3 heads: layers 0–6, 7, head 3");
  assert.equal(sets.name(sets.OPENING, bounds, chosen), "Mean of 2 heads: layer 5, all heads");
  assert.equal(sets.name(sets.parse("mean:2:1", bounds), bounds, chosen), "Mean of 1 head: layer 2, head 1");
});
