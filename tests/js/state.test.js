const assert = require("node:assert/strict");
const { test } = require("node:test");
const { state } = require("./scripts.js");

const bounds = {
  layers: [2, 5, 7],
  heads: [1, 3],
  numTokens: 8,
  numPromptTokens: 5,
  opening: { layer: 5, head: 3, step: 1, query_pos: 5, key_pos: 2 },
  scores: ["sink", "induction"],
  heatmap_modes: ["weight", "weighted", "attribution"],
  grid_metrics: ["attribution", "attribution-mean", "runner-up-1", "ablation"],
  contrasts: ["attribution", "attribution-mean", "runner-up-1"],
};
const forwardOnly = {
  ...bounds,
  numTokens: 5,
  opening: { layer: 5, head: 3, step: null, query_pos: 4, key_pos: null },
  heatmap_modes: ["weight"],
  grid_metrics: [],
  contrasts: [],
};
const opening = () => state.initial(bounds);
const roundTrip = (given, within = bounds) => state.parse(state.format(given, within), within);

test("a page opens on the step, the head and the token read that Python chose", () => {
  assert.deepEqual(opening(), {
    layer: 5,
    head: 3,
    step: 1,
    queryPos: 5,
    keyPos: 2,
    scale: "sqrt",
    withFirst: true,
    renormalised: false,
    words: false,
    lines: false,
    marks: false,
    range: null,
    pin: null,
    over: { way: "mean", layers: "this", heads: "all" },
    by: "effect",
    show: "weight",
    contrast: "attribution",
    measure: "attribution",
    shading: "effect",
    layout: "rows",
    all: [],
  });
});

test("a step is predicted one position before its token", () => {
  assert.equal(state.numSteps(bounds), 3);
  assert.deepEqual(
    [0, 1, 2].map((step) => state.queryPosOfStep(step, bounds)),
    [4, 5, 6],
  );
  assert.deepEqual(
    [3, 4, 5, 6, 7].map((queryPos) => state.stepOf(queryPos, bounds)),
    [null, 0, 1, 2, null],
  );
  assert.equal(state.numSteps(forwardOnly), 0);
  assert.equal(state.stepOf(4, forwardOnly), null);
});

test("a click on a token of the prompt reads from it and keeps the step that effects are on", () => {
  assert.deepEqual(state.selectToken(1, bounds), { queryPos: 1, keyPos: null });
  const at = { ...opening(), ...state.selectToken(1, bounds) };
  assert.deepEqual([at.step, at.queryPos, state.readsForStep(at, bounds)], [1, 1, false]);
});

test("a click on a generated token means the step that wrote it", () => {
  assert.deepEqual(
    [5, 6, 7].map((position) => state.selectToken(position, bounds)),
    [0, 1, 2].map((step) => ({ step, queryPos: 4 + step, keyPos: null })),
  );
});

test("a position that reads selects the step that it predicted, where it predicted one", () => {
  assert.deepEqual(state.selectQuery(6, bounds), { step: 2, queryPos: 6, keyPos: null });
  for (const queryPos of [0, 3, 7]) assert.deepEqual(state.selectQuery(queryPos, bounds), { queryPos, keyPos: null });
});

test("every state has an address that leads back to it", () => {
  let count = 0;
  const { scale, by, show, contrast, measure } = state.choicesOf(bounds);
  for (const layer of bounds.layers)
    for (const head of bounds.heads)
      for (let step = 0; step < 3; step++)
        for (const queryPos of [0, 4, 5, 6, 7])
          for (const keyPos of [null, 0, queryPos])
            for (const first of Object.values(state.FIRST))
              for (const [i, word] of show.entries()) {
                const words = {
                  scale: scale[i],
                  by: by[i],
                  show: word,
                  contrast: contrast[i],
                  measure: measure[i + 1],
                };
                const given = { ...opening(), layer, head, step, queryPos, keyPos, ...first, ...words };
                assert.deepEqual(roundTrip(given), given);
                count++;
              }
  assert.equal(count, 2430);
});

test("every word that a page offers has an address, and is the opening's where it is the first", () => {
  const choices = state.choicesOf(bounds);
  assert.deepEqual(choices.by, ["effect", "weight", "pattern", "sink", "induction"]);
  const plain = state.format(opening(), bounds);
  for (const [name, words] of Object.entries(choices)) {
    for (const [i, word] of words.entries()) {
      const given = { ...opening(), [name]: word };
      assert.deepEqual(roundTrip(given), given);
      assert.equal(state.format(given, bounds) === plain, i === 0, `${name} ${word}`);
    }
  }
});

test("what is switched, pinned, cut out, shown whole or put together has an address that leads back to it", () => {
  for (const change of [
    { words: true },
    { lines: true, marks: true },
    { range: [1, 3] },
    { pin: [7, 1] },
    { all: ["heads", "columns"] },
    { over: { way: "max", layers: "2-5", heads: "this" } },
    { over: { way: "mean", layers: "all", heads: "1,3" }, pin: [2, 3], words: true },
  ]) {
    const given = { ...opening(), ...change };
    assert.deepEqual(roundTrip(given), given);
  }
});

test("a range is cut to what there is, and is none where it says all or nothing", () => {
  assert.deepEqual(state.parseRange("2-99", bounds), [2, 7]);
  assert.deepEqual(state.parseRange(" 2 – 3 ", bounds), [2, 3]);
  for (const text of ["", "0-7", "3-3", "5-2", "9-12", "a-b", "3"])
    assert.equal(state.parseRange(text, bounds), null, text);
});

test("what becomes of the first key, and every choice of several words, go round", () => {
  let at = opening();
  const seen = [0, 1, 2].map(() => {
    at = { ...at, ...state.cycleFirst(at), ...state.cycle(at, "scale", bounds), ...state.cycle(at, "show", bounds) };
    return [state.firstOf(at), at.scale, at.show];
  });
  assert.deepEqual(seen, [
    ["out", "linear", "weighted"],
    ["renormalised", "log", "attribution"],
    ["in", "sqrt", "weight"],
  ]);
});

test("a head is pinned, and unpinned where it is", () => {
  assert.deepEqual(state.pin(opening()), { pin: [5, 3] });
  assert.deepEqual(state.pin({ ...opening(), pin: [5, 3] }), { pin: null });
  assert.deepEqual(state.pin({ ...opening(), pin: [2, 3] }), { pin: [5, 3] });
});

test("a figure is shown whole, and no longer whole, whatever others are", () => {
  const heads = { all: ["heads"] };
  assert.deepEqual(state.toggleAll(opening(), "heads"), heads);
  assert.deepEqual(state.toggleAll(heads, "layers"), { all: ["heads", "layers"] });
  assert.deepEqual(state.toggleAll({ all: ["heads", "layers"] }, "heads"), { all: ["layers"] });
});

test("an address names the step, and the position that reads where it is not the step's", () => {
  const at = (step, queryPos) => state.format({ ...opening(), step, queryPos, keyPos: null }, bounds);
  assert.equal(at(1, 5), "#layer=5&head=3&step=1");
  assert.equal(at(1, 2), "#layer=5&head=3&step=1&query=2");
  assert.equal(state.format(opening(), bounds), "#layer=5&head=3&step=1&key=2");
  assert.equal(state.format(state.initial(forwardOnly), forwardOnly), "#layer=5&head=3&query=4");
});

test("what an address does not say, or says wrongly, is as at the opening", () => {
  const wrong = [
    "",
    "#",
    "#layer=3&head=2",
    "#layer=-5",
    "#layer=5.0",
    "#layer=99999999999",
    "#step=3",
    "#query=8",
    "#query=-1",
    "#key=6",
    "#scale=cubic",
    "#first=in",
    "#first=toString",
    "#words=off",
    "#tokens=9-12",
    "#pin=3.3",
    "#pin=5",
    "#over=sum:all:all",
    "#over=mean:99:all",
    "#over=mean:all",
    "#by=entropy",
    "#show=logits",
    "#measure=runner-up-9",
    "#contrast=ablation",
    "#shading=none",
    "#layout=tiles",
    "#all=grid,",
    "#layer=",
    "#%E0%A4%A",
    "#layer=five&step=x",
  ];
  for (const hash of wrong) assert.deepEqual(state.parse(hash, bounds), opening(), hash);
});

test("the token read of the opening is kept for its own position alone", () => {
  assert.equal(state.parse("#layer=2&head=1", bounds).keyPos, 2);
  assert.equal(state.parse("#step=2", bounds).keyPos, null);
  assert.equal(state.parse("#query=3", bounds).keyPos, null);
  assert.equal(state.parse("#query=3&key=3", bounds).keyPos, 3);
  assert.equal(state.parse("#query=3&key=4", bounds).keyPos, null);
});

test("without evidence there is nothing to choose", () => {
  const bare = state.initial(forwardOnly);
  assert.deepEqual([bare.measure, bare.contrast, bare.by, bare.shading], ["", "", "weight", "weight"]);
  assert.deepEqual(
    state.parse("#show=weighted&measure=attribution&contrast=attribution&by=effect&shading=effect", forwardOnly),
    bare,
  );
  assert.deepEqual(state.cycle(bare, "show", forwardOnly), { show: "weight" });
});

test("a query beside a step keeps the step", () => {
  const both = state.parse("#query=1&step=2", bounds);
  assert.deepEqual([both.step, both.queryPos], [2, 1]);
  const [wrong] = [state.parse("#query=1&step=9", bounds)];
  assert.deepEqual([wrong.step, wrong.queryPos], [1, 1]);
});

test("moves go from one captured layer or head to the next, and the ends hold", () => {
  const after = (what, by, at = opening()) => ({ ...at, ...state.move(at, what, by, bounds) });
  assert.equal(after("layer", 1).layer, 7);
  assert.equal(after("layer", -1).layer, 2);
  assert.equal(after("layer", -9).layer, 2);
  assert.equal(after("head", 1).head, 3);
  assert.equal(after("head", -1).head, 1);
  assert.deepEqual([after("step", 1).step, after("step", 1).queryPos], [2, 6]);
  assert.deepEqual([after("step", -9).step, after("step", -9).queryPos], [0, 4]);
  assert.equal(after("step", 1, { ...opening(), queryPos: 0 }).queryPos, 6);
  assert.equal(state.move(state.initial(forwardOnly), "step", 1, forwardOnly), null);
  assert.deepEqual([after("query", 1).queryPos, after("query", 1).step], [6, 2]);
  assert.deepEqual([after("query", 9).queryPos, after("query", 9).step], [7, 1]);
  assert.equal(after("query", -9).queryPos, 0);
  assert.equal(opening().layer, 5);
});
