const assert = require("node:assert/strict");
const { test } = require("node:test");
const { golden, payload, triangles, pattern, store, evidence } = require("./scripts.js");

const { content, blocks, facts } = golden;
const n = content.tokens.length;
const NUM_STEPS = n - content.num_prompt_tokens;

/** The evidence of the golden capture, and the names of the blocks that were read for it. */
function makeEvidence(more = {}) {
  const read = [];
  const reader = (decode) => async (name) => {
    read.push(name);
    return decode(blocks[name]);
  };
  const bytes = reader(payload.decodeBytes);
  const weights = store.makeStore(content, new Uint8Array(), async (layer) =>
    triangles.unpack(await bytes(`layer-${layer}`), content.tokens.length),
  );
  return { ...evidence.makeEvidence({ ...content, ...more }, weights, bytes, reader(payload.decodeJson)), read };
}

const isClose = (found, expected, least, where) =>
  expected === null
    ? assert.ok(Number.isNaN(found), where)
    : assert.ok(Math.abs(found - expected) <= least, `${where}: ${found}, not ${expected}`);

test("what is looked up arrives as Python sent it", async () => {
  assert.deepEqual(await makeEvidence().facts(), facts);
});

test("every number of every grid is as close as its sixteen bits allow", async () => {
  const { grid } = makeEvidence();
  for (const measure of content.grid_metrics) {
    for (let step = 0; step < NUM_STEPS; step++) {
      const found = await grid(measure, step);
      const expected = golden.grids[measure][step].flat();
      assert.equal(found.length, expected.length);
      for (const [i, value] of expected.entries()) {
        isClose(found[i], value, facts.grid_scales[measure][step] / 32767 + 2e-6, `${measure} ${step} ${i}`);
      }
    }
  }
});

test("weighted attention is the share that weights and norms make", async () => {
  const { row } = makeEvidence();
  for (const [layerIndex, layer] of content.layers.entries()) {
    for (const [headIndex, head] of content.heads.entries()) {
      for (const queryPos of [0, 13, n - 1]) {
        const start = pattern.triangleSize(queryPos);
        const weights = golden.weights[layerIndex][headIndex].slice(start, start + queryPos + 1);
        const lengths = weights.map((weight, keyPos) => weight * golden.norms[layerIndex][headIndex][keyPos]);
        const whole = lengths.reduce((a, b) => a + b, 0);
        const { weighted } = await row(layer, head, queryPos);
        for (const [keyPos, length] of lengths.entries()) {
          isClose(weighted[keyPos], whole ? length / whole : 0, 0.02, `L${layer} H${head} ${queryPos} ${keyPos}`);
        }
      }
    }
  }
});

test("every source has its sign and is as close as its byte allows", async () => {
  const { row } = makeEvidence();
  for (const [layerIndex, layer] of content.layers.entries()) {
    for (const [headIndex, head] of content.heads.entries()) {
      let cell = 0;
      for (let step = 0; step < NUM_STEPS; step++) {
        const queryPos = content.num_prompt_tokens - 1 + step;
        const scale = facts.source_scales[step];
        for (const value of (await row(layer, head, queryPos)).attribution) {
          const expected = golden.sources[layerIndex][headIndex][cell++];
          const root = Math.sqrt(Math.abs(expected ?? 0) / scale);
          const least = (root / 127 + 1 / 254 ** 2 + golden.source_floor) * scale + 2e-6;
          isClose(value, expected, least, `L${layer} H${head} ${step}`);
          if (Math.abs(expected ?? 0) > golden.source_floor * scale)
            assert.equal(Math.sign(value), Math.sign(expected));
        }
      }
    }
  }
});

test("a query that is no step has no attribution", async () => {
  const { row, read } = makeEvidence();
  for (const queryPos of [0, n - 1]) assert.equal((await row(3, 1, queryPos)).attribution, null);
  assert.deepEqual(
    read.filter((name) => name.startsWith("sources")),
    [],
  );
});

test("what is not asked for is not read", async () => {
  const { row, form, read } = makeEvidence();
  const known = await row(3, 1, 25, ["weight"]);
  await form("weight", 3, 2);
  assert.deepEqual([known.weighted, known.attribution], [null, null]);
  assert.deepEqual(read, ["layer-3"]);
});

test("a block is read once", async () => {
  const { row, form, rollout, read } = makeEvidence();
  await Promise.all([
    row(0, 1, 24),
    row(0, 2, 25),
    form("attribution", 0, 1),
    form("weighted", 0, 1),
    rollout(),
    rollout(),
  ]);
  assert.deepEqual(read.toSorted(), ["evidence", "layer-0", "norms", "rollout", "sources-0"]);
});

test("a form is made once and shows what the row says", async () => {
  const { row, form } = makeEvidence();
  const made = await form("weighted", 3, 1);
  assert.equal(await form("weighted", 3, 1), made);
  const { weighted } = await row(3, 1, 20);
  pattern.rowOf(made.codes, 20).forEach((code, keyPos) => {
    isClose(made.values[code], weighted[keyPos], 0.004, `key ${keyPos}`);
  });
});

test("rollout comes back to a part in ten thousand", async () => {
  const found = await makeEvidence().rollout();
  for (const [i, value] of golden.rollout.entries()) isClose(found[i], value, 4e-5, `cell ${i}`);
});

test("what a row loses to the page's limit is as close as its byte allows", async () => {
  const { row } = makeEvidence({ min_weight: 0.006 });
  for (const [at, layer] of content.layers.entries()) {
    const [found, expected] = [(await row(layer, 2, 20)).dropped, golden["dropped-mass"][at][1][20]];
    assert.ok(Math.abs(found - expected) <= Math.sqrt(expected) / 255 + 1e-5, `${found}, not ${expected}`);
  }
});

test("a page that leaves out nothing says nothing of it", async () => {
  const { row, read } = makeEvidence();
  assert.equal((await row(3, 2, 20)).dropped, null);
  assert.ok(!read.includes("dropped-mass"));
});
