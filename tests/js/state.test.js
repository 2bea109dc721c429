const assert = require("node:assert/strict");
const { test } = require("node:test");
const { state } = require("./scripts.js");

const bounds = {
  layers: [2, 5, 7],
  heads: [1, 3],
  numTokens: 8,
  numPromptTokens: 5,
  default_head: [5, 3],
  scores: ["sink", "induction"],
  heatmap_modes: ["weight", "weighted", "attribution"],
  grid_metrics: ["attribution", "attribution-mean", "runner-up-1", "ablation"],
};
const forwardOnly = { ...bounds, numTokens: 5 };

test("a page opens on its opening head, at the query that chose the first token", () => {
  assert.deepEqual(state.initial(bounds), {
    layer: 5,
    head: 3,
    queryPos: 4,
    scale: "sqrt",
    withFirst: true,
    renormalised: false,
    words: false,
    lines: false,
    marks: false,
    range: null,
    pin: null,
    over: { way: "mean", layers: "this", heads: "all" },
    by: "pattern",
    show: "weight",
    measure: "attribution",
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

test("a click on a generated token means the step that chose it", () => {
  assert.deepEqual(
    [0, 4, 5, 7].map((position) => state.queryPosOfToken(position, bounds)),
    [0, 4, 4, 6],
  );
});

test("every state has an address that leads back to it", () => {
  let count = 0;
  for (const layer of bounds.layers)
    for (const head of bounds.heads)
      for (let queryPos = 0; queryPos < bounds.numTokens; queryPos++)
        for (const scale of ["sqrt", "linear", "log"])
          for (const first of Object.values(state.FIRST))
            for (const by of ["pattern", "sink", "ablation"])
              for (const show of bounds.heatmap_modes)
                for (const measure of bounds.grid_metrics) {
                  const chosen = { layer, head, queryPos, scale, by, show, measure };
                  const given = { ...state.initial(bounds), ...first, ...chosen };
                  assert.deepEqual(state.parse(state.format(given, bounds), bounds), given);
                  count++;
                }
  assert.equal(count, 15552);
});

test("what is switched, pinned, cut out or put together has an address that leads back to it", () => {
  for (const change of [
    { words: true },
    { lines: true, marks: true },
    { range: [1, 3] },
    { pin: [7, 1] },
    { over: { way: "max", layers: "2-5", heads: "this" } },
    { over: { way: "mean", layers: "all", heads: "1,3" }, pin: [2, 3], words: true },
  ]) {
    const given = { ...state.initial(bounds), ...change };
    assert.deepEqual(state.parse(state.format(given, bounds), bounds), given);
  }
});

test("a range is cut to what there is, and is none where it says all or nothing", () => {
  assert.deepEqual(state.parseRange("2-99", bounds), [2, 7]);
  assert.deepEqual(state.parseRange(" 2 – 3 ", bounds), [2, 3]);
  for (const text of ["", "0-7", "3-3", "5-2", "9-12", "a-b", "3"])
    assert.equal(state.parseRange(text, bounds), null, text);
});

test("what becomes of the first key, and the scale, go round", () => {
  let at = state.initial(bounds);
  const seen = [0, 1, 2].map(() => {
    at = state.cycleScale(state.cycleFirst(at));
    return [state.firstOf(at), at.scale];
  });
  assert.deepEqual(seen, [
    ["out", "linear"],
    ["renormalised", "log"],
    ["in", "sqrt"],
  ]);
});

test("a head is pinned, and unpinned where it is", () => {
  const start = state.initial(bounds);
  assert.deepEqual(state.pin(start), { pin: [5, 3] });
  assert.deepEqual(state.pin({ ...start, pin: [5, 3] }), { pin: null });
  assert.deepEqual(state.pin({ ...start, pin: [2, 3] }), { pin: [5, 3] });
});

test("an address names a step where there is one, else the query", () => {
  const at = (queryPos) => state.format({ ...state.initial(bounds), queryPos }, bounds);
  assert.equal(at(5), "#layer=5&head=3&step=1");
  assert.equal(at(2), "#layer=5&head=3&query=2");
  assert.equal(at(7), "#layer=5&head=3&query=7");
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
    "#layer=",
    "#%E0%A4%A",
    "#layer=five&step=x",
  ];
  for (const hash of wrong) assert.deepEqual(state.parse(hash, bounds), state.initial(bounds), hash);
});

test("without evidence there is nothing to choose", () => {
  const bare = { ...bounds, heatmap_modes: ["weight"], grid_metrics: [] };
  const opening = state.initial(bare);
  assert.equal(opening.measure, "");
  assert.deepEqual(state.parse("#show=weighted&measure=attribution", bare), opening);
  assert.equal(state.format(opening, bare), "#layer=5&head=3&step=0");
  assert.deepEqual(state.cycleShow(opening, bare), opening);
});

test("what is shown goes round", () => {
  let at = state.initial(bounds);
  const seen = bounds.heatmap_modes.map(() => {
    at = state.cycleShow(at, bounds);
    return at.show;
  });
  assert.deepEqual(seen, ["weighted", "attribution", "weight"]);
});

test("a step goes over a query", () => {
  assert.equal(state.parse("#query=1&step=2", bounds).queryPos, 6);
  assert.equal(state.parse("#query=1&step=9", bounds).queryPos, 1);
});

test("moves go from one captured layer or head to the next, and the ends hold", () => {
  const start = state.initial(bounds);
  const after = (what, by) => state.move(start, what, by, bounds);
  assert.equal(after("layer", 1).layer, 7);
  assert.equal(after("layer", -1).layer, 2);
  assert.equal(after("layer", -9).layer, 2);
  assert.equal(after("head", 1).head, 3);
  assert.equal(after("head", -1).head, 1);
  assert.equal(after("step", 1).queryPos, 5);
  assert.equal(after("step", -1).queryPos, 4);
  assert.equal(state.move({ ...start, queryPos: 0 }, "step", 1, bounds).queryPos, 4);
  assert.equal(state.move({ ...start, queryPos: 7 }, "step", 1, bounds).queryPos, 6);
  assert.equal(after("query", 9).queryPos, 7);
  assert.equal(after("query", -9).queryPos, 0);
  assert.equal(start.layer, 5);
});
