const assert = require("node:assert/strict");
const { test } = require("node:test");
const { pair } = require("./scripts.js");

const base = { scores: [], heatmap_modes: ["weight"], grid_metrics: [], contrasts: [] };
const open = (layer, head, query) => ({ layer, head, step: null, query_pos: query, key_pos: null });
const first = { ...base, layers: [0, 1, 2], heads: [0, 1], numTokens: 8, numPromptTokens: 5, opening: open(1, 1, 4) };
const second = { ...base, layers: [1, 4], heads: [0, 3], numTokens: 12, numPromptTokens: 10, opening: open(1, 0, 9) };
const bounds = pair.makeBounds([first, second], { layer: 1, head: 1, queries: [4, 9] }, 6);
const initial = pair.initial(bounds);

test("what at least one side has can be chosen", () => {
  assert.deepEqual(bounds.layers, [0, 1, 2, 4]);
  assert.deepEqual(bounds.heads, [0, 1, 3]);
});

test("a page opens on what its stills show", () => {
  assert.deepEqual(initial, {
    ...{ layer: 1, head: 1, queries: [4, 9], scale: "sqrt", withFirst: true, renormalised: false },
    ...{ linked: true, range: null },
  });
});

test("an address holds a state, and what is wrong in it is as at the opening", () => {
  const state = {
    ...{ layer: 4, head: 3, queries: [0, 11], scale: "linear", withFirst: false, renormalised: true },
    ...{ linked: false, range: [1, 4] },
  };
  assert.deepEqual(pair.parse(pair.format(state), bounds), state);
  const wrong = "#layer=3&head=x&a=8&b=-1&scale=toString&first=valueOf&linked=&tokens=0-5";
  assert.deepEqual(pair.parse(wrong, bounds), initial);
  assert.equal(pair.format(initial), "#layer=1&head=1&a=4&b=9");
});

test("linked positions are as far from the end of their prompts, as far as there are tokens", () => {
  assert.deepEqual(pair.setQuery(initial, 0, 6, bounds), { queries: [6, 11] });
  assert.deepEqual(pair.setQuery(initial, 0, 7, bounds), { queries: [7, 11] });
  assert.deepEqual(pair.setQuery(initial, 1, 0, bounds), { queries: [0, 0] });
  assert.deepEqual(pair.setQuery({ ...initial, linked: false }, 1, 0, bounds), { queries: [4, 0] });
  assert.deepEqual(pair.setQuery(initial, 0, 99, bounds), { queries: [7, 11] });
});

test("a move goes along what there is, and the ends hold", () => {
  assert.deepEqual(pair.move({ ...initial, layer: 2 }, "layer", 1, bounds), { layer: 4 });
  assert.deepEqual(pair.move({ ...initial, layer: 4 }, "layer", 1, bounds), { layer: 4 });
  assert.deepEqual(pair.move(initial, "head", -5, bounds), { head: 0 });
  assert.deepEqual(pair.move(initial, "query", -1, bounds), { queries: [3, 8] });
  assert.deepEqual(pair.move({ ...initial, linked: false }, "query", 1, bounds, 1), { queries: [4, 10] });
});

test("scales follow one another", () => {
  const second = pair.cycleScale(initial);
  const third = pair.cycleScale(second);
  assert.deepEqual([second, third, pair.cycleScale(third)], [{ scale: "linear" }, { scale: "log" }, { scale: "sqrt" }]);
});

test("a side shows the nearest of what it lacks, and says so", () => {
  const state = { ...initial, layer: 4, head: 3 };
  const shown = [0, 1].map((side) => pair.sideOf(state, side, bounds));
  assert.deepEqual(
    shown.map(({ layer, head }) => [layer, head]),
    [
      [2, 1],
      [4, 3],
    ],
  );
  assert.equal(
    pair.sayStandIn(state, 0, bounds),
    "A: layer 4 is not here, layer 2 stands in for it; head 3 is not here, head 1 stands in for it.",
  );
  assert.equal(pair.sayStandIn(state, 1, bounds), "");
  assert.equal(pair.nearest([1, 3], 2), 1);
});

test("a side's state is one that the views of a page take", () => {
  const side = pair.sideOf({ ...initial, scale: "linear", withFirst: false }, 1, bounds);
  assert.equal(side.queryPos, 9);
  assert.deepEqual([side.show, side.by, side.scale, side.withFirst], ["weight", "weight", "linear", false]);
});
