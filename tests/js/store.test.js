const assert = require("node:assert/strict");
const { test } = require("node:test");
const { store } = require("./scripts.js");

/** What is known before any layer is: the codes 7 of a head, and rows of the second query, each its place. */
const OPENING = {
  head: async () => Uint8Array.of(7, 7, 7),
  rows: Uint8Array.from({ length: 16 }, (_, place) => 100 + place),
};

const describe = (layers, tokens) => ({
  layers,
  tokens,
  heads: [4, 6],
  precision: 8,
  opening: { layer: 3, head: 6, query_pos: 1 },
});

/** A store of 2 heads and 2 tokens; every code of a layer is its number. */
function makeStore({ layers = [0, 3, 5, 9], tokens = [1, 2], opening = OPENING } = {}) {
  const read = [];
  const made = store.makeStore(describe(layers, tokens), opening, async (layer) => {
    read.push(layer);
    return new Uint8Array(6).fill(layer).fill(layer + 1, 3);
  });
  return { ...made, read };
}

test("the opening head is there before its layer is", async () => {
  const { headCodes, read } = makeStore();
  assert.deepEqual(Array.from(await headCodes(3, 6)), [7, 7, 7]);
  assert.deepEqual(read, []);
});

test("once its layer is there, the opening head comes out of it", async () => {
  const { headCodes, layerCodes } = makeStore();
  await layerCodes(3);
  assert.deepEqual(Array.from(await headCodes(3, 6)), [4, 4, 4]);
});

test("a row of the opening query is there in every head before any layer is", async () => {
  const { rowCodes, read } = makeStore();
  assert.deepEqual(Array.from(await rowCodes(0, 4, 1)), [100, 101]);
  assert.deepEqual(Array.from(await rowCodes(5, 6, 1)), [110, 111]);
  assert.deepEqual(read, []);
});

test("rows of other queries, or of a layer that is there, come out of layers", async () => {
  const { rowCodes, layerCodes, read } = makeStore();
  assert.deepEqual(Array.from(await rowCodes(5, 6, 0)), [6]);
  await layerCodes(9);
  assert.deepEqual(Array.from(await rowCodes(9, 4, 1)), [9, 9]);
  assert.deepEqual(read, [5, 9]);
});

test("without rows of the opening query its layer is read, but for the opening head", async () => {
  const { rowCodes, read } = makeStore({ opening: { ...OPENING, rows: null } });
  assert.deepEqual(Array.from(await rowCodes(3, 6, 1)), [7, 7]);
  assert.deepEqual(Array.from(await rowCodes(5, 4, 1)), [5, 5]);
  assert.deepEqual(read, [5]);
});

test("what is asked for goes before what is only near", async () => {
  const { readAhead, layerCodes, read } = makeStore();
  const ahead = readAhead(9);
  await layerCodes(0);
  assert.ok(read.indexOf(0) <= 1, String(read));
  await ahead;
  assert.deepEqual([...read].sort(), [0, 3, 5, 9]);
});

test("heads are found by their numbers", async () => {
  const { headCodes } = makeStore();
  assert.deepEqual(Array.from(await headCodes(5, 4)), [5, 5, 5]);
  assert.deepEqual(Array.from(await headCodes(5, 6)), [6, 6, 6]);
});

test("a layer is read once, even when asked for twice at the same time", async () => {
  const { headCodes, layerCodes, read } = makeStore();
  await Promise.all([headCodes(5, 4), layerCodes(5), headCodes(5, 6)]);
  await layerCodes(5);
  assert.deepEqual(read, [5]);
});

test("layers are decoded one at a time, that asked for last before those that wait", async () => {
  const read = [];
  let decoding = 0;
  const { layerCodes } = store.makeStore(describe([0, 3, 5, 9], [1, 2]), OPENING, async (layer) => {
    assert.equal(decoding++, 0);
    await new Promise((done) => setTimeout(done));
    decoding--;
    read.push(layer);
    return new Uint8Array(6);
  });
  await Promise.all([0, 3, 5, 9, 3].map(layerCodes));
  assert.deepEqual(read, [3, 9, 5, 0]);
});

test("of more layers than are kept, all that were asked for come, and those that wait are not asked for twice", async () => {
  const { layerCodes, read } = makeStore({ layers: [0, 3, 5, 9, 11], tokens: Array.from({ length: 8000 }) });
  const asked = [0, 3, 5, 9, 11, 0, 3].map(layerCodes);
  assert.equal((await Promise.all(asked)).length, 7);
  assert.deepEqual(read, [3, 0, 11, 9, 5]);
});

test("the preferred layer is decoded before all others, whenever it is asked for", async () => {
  const { layerCodes, prefer, read } = makeStore();
  prefer(3);
  await Promise.all([0, 3, 5, 9].map(layerCodes));
  assert.deepEqual(read, [3, 9, 5, 0]);
});

test("a layer that cannot be decoded fails for who asked, and keeps no other waiting", async () => {
  const { layerCodes } = store.makeStore(describe([0, 3], [1, 2]), OPENING, async (layer) => {
    if (layer === 0) throw new Error("broken");
    return new Uint8Array(6).fill(layer);
  });
  const [broken, whole] = await Promise.allSettled([layerCodes(0), layerCodes(3)]);
  assert.equal(broken.reason.message, "broken");
  assert.equal(whole.value[0], 3);
});

test("layers are read ahead in order of nearness", async () => {
  const { readAhead, read } = makeStore();
  await readAhead(5);
  assert.deepEqual(read, [5, 3, 9, 0]);
});

test("of a capture that would fill the memory only the nearest are read ahead", async () => {
  // Two heads of 7,000 tokens are 49 MB: four layers are more than is read ahead.
  const { readAhead, read } = makeStore({ tokens: Array.from({ length: 7000 }) });
  await readAhead(9);
  assert.deepEqual(read, [9, 5, 3]);
});

test("layers that were looked at long ago are decoded anew, once too many are kept", async () => {
  // Two heads of 8,000 tokens are 64 MB: three layers are kept, whatever they take.
  const { layerCodes, read } = makeStore({ tokens: Array.from({ length: 8000 }) });
  for (const layer of [0, 3, 5, 0, 9]) await layerCodes(layer);
  assert.deepEqual(read, [0, 3, 5, 9]);
  await layerCodes(0);
  assert.deepEqual(read, [0, 3, 5, 9]);
  await layerCodes(3);
  assert.deepEqual(read, [0, 3, 5, 9, 3]);
});
