const assert = require("node:assert/strict");
const { test } = require("node:test");
const { kinds, ledger, pattern } = require("./scripts.js");

const plain = { num_kv_heads: 2 };
const sliding = { num_kv_heads: 2, window: 3 };
const chunked = { num_kv_heads: 2, chunk: 3 };
const tokens = Array.from({ length: 8 });

test("a query sees the last tokens of its window, itself among them", () => {
  const seen = (kind) => [0, 1, 2, 3, 4, 7].map((queryPos) => kinds.firstKey(kind, queryPos));
  assert.deepEqual(seen(plain), [0, 0, 0, 0, 0, 0]);
  assert.deepEqual(seen(sliding), [0, 0, 0, 1, 2, 5]);
  assert.deepEqual(seen(chunked), [0, 0, 0, 3, 3, 6]);
});

test("a window longer than the text hides nothing", () => {
  assert.equal(kinds.firstKeys(plain, 8), null);
  assert.equal(kinds.firstKeys(sliding, 3), null);
  assert.deepEqual(Array.from(kinds.firstKeys(sliding, 5)), [0, 0, 0, 1, 2]);
});

/** Whether a point lies inside a polygon. */
function contains(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [polygon[i], polygon[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

for (const kind of [sliding, chunked]) {
  test(`the outline holds the hidden cells and no others: ${JSON.stringify(kind)}`, () => {
    const first = kinds.firstKeys(kind, 8);
    const polygon = kinds.outline(first);
    for (let queryPos = 0; queryPos < 8; queryPos++) {
      for (let keyPos = 0; keyPos < 8; keyPos++) {
        assert.equal(contains(polygon, keyPos, queryPos), keyPos < first[queryPos], `${queryPos} ${keyPos}`);
      }
    }
  });
}

test("where all is seen there is no outline", () => {
  assert.deepEqual(kinds.outline(null), []);
});

test("a crop leaves hidden cells out, and merges those that are seen", () => {
  const codes = Uint8Array.from({ length: 10 }, (_, i) => i + 1);
  const identity = Float32Array.from({ length: 256 }, (_, code) => code);
  const first = Uint32Array.of(0, 0, 1, 2);
  const none = Number.NaN;
  assert.deepEqual(Array.from(pattern.crop({ codes, first }, identity, true, 0, 3)), [
    ...[1, none, none, none],
    ...[2, 3, none, none],
    ...[none, 5, 6, none],
    ...[none, none, 9, 10],
  ]);
  assert.deepEqual(Array.from(pattern.crop({ codes, first }, identity, true, 0, 3, 2)), [3, none, 5, 10]);
});

const content = (more = {}) => ({ num_heads: 8, layers: [3], layer_types: [plain], paired: false, tokens, ...more });

test("heads of a group are named with those that share their key head", () => {
  assert.deepEqual(kinds.describeHead(content(), 3, 5), ["key head 1, shared with H4 H6 H7"]);
  assert.equal(kinds.keyHeadOf(content(), 3, 5), 1);
});

test("many heads of a group are named from the first to the last, and all of them as all", () => {
  const wide = content({ num_heads: 16 });
  assert.deepEqual(kinds.describeHead(wide, 3, 9), ["key head 1, shared by H8–H15"]);
  assert.deepEqual(kinds.describeHead(content({ layer_types: [{ num_kv_heads: 1 }] }), 3, 2), [
    "key head 0, shared by all heads",
  ]);
});

test("a head that shares nothing is not described", () => {
  const own = content({ layer_types: [{ num_kv_heads: 8 }] });
  assert.deepEqual(kinds.describeHead(own, 3, 2), []);
  assert.equal(kinds.keyHeadOf(own, 3, 2), null);
});

test("what is special is said in a few words each", () => {
  const kind = { num_kv_heads: 8, window: 3, has_sink: true, what: "Mamba", note: "a note" };
  assert.deepEqual(kinds.describeHead(content({ layer_types: [kind] }), 3, 2), [
    "window of 3 tokens",
    "learned sink",
    "beside Mamba",
    "a note",
  ]);
  assert.equal(kinds.nameLayer(content({ layer_types: [kind] }), 3), "layer 3 · window 3");
  assert.equal(kinds.nameLayer(content(), 3), "layer 3");
});

test("a window that the text does not reach is said to be longer", () => {
  const kind = { num_kv_heads: 8, window: 512 };
  assert.deepEqual(kinds.describeHead(content({ layer_types: [kind] }), 3, 2), [
    "window of 512 tokens, longer than this text",
  ]);
});

test("differential heads are named with the other of their pair", () => {
  const paired = content({ paired: true, layer_types: [{ num_kv_heads: 8 }] });
  assert.deepEqual(kinds.describeHead(paired, 3, 1), ["less λ times H5"]);
  assert.deepEqual(kinds.describeHead(paired, 3, 5), ["subtracted, λ times, from H1"]);
});

test("what is hidden is called by what hides it", () => {
  assert.equal(kinds.sayOutside(sliding), "outside this layer's window of 3 tokens");
  assert.equal(kinds.sayOutside(chunked), "in an earlier chunk of 3 tokens");
});

test("a sum that holds layers without attention says so", () => {
  const zeros = {
    contrasts: ["attribution"],
    heads: [[0]],
    other_heads: [[0]],
    other_parts_sum: [[1]],
    embedding: [[0]],
    biases: [[0]],
    rounding: [[0]],
    logits: [[1]],
    ...{ soft_cap: [0], entropy: [0], log_odds: [0], dtype: "float32" },
  };
  const facts = { attribution: zeros };
  const names = (gaps) =>
    ledger.sumOf(facts, "attribution", 0, { gaps, has_all_heads: true }).parts.map(({ name }) => name);
  assert.ok(names([]).includes("MLPs of all layers"));
  assert.ok(names([{ layers: [0, 1], what: "Mamba" }]).includes("MLPs, and layers without attention"));
});
