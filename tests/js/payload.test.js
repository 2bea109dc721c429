const assert = require("node:assert/strict");
const { test } = require("node:test");
const { deflateSync } = require("node:zlib");
const { golden, payload, pattern } = require("./scripts.js");

const { content, weights, strongest, blocks } = golden;
const n = content.tokens.length;
const block = (bytes) => deflateSync(bytes).toString("base64");

test("bytes and text come back", async () => {
  assert.deepEqual(await payload.decodeBytes(block(Uint8Array.of(0, 7, 255))), Uint8Array.of(0, 7, 255));
  assert.equal(await payload.decodeText(block("naïve 🤷🏽\n")), "naïve 🤷🏽\n");
  assert.deepEqual(await payload.decodeBytes(block("")), new Uint8Array());
});

test("white space around a block does not matter", async () => {
  assert.equal(await payload.decodeText(`\n  ${block("cat")} \n`), "cat");
});

test("bytes come back without the newest built-in function too", async () => {
  const own = Uint8Array.fromBase64;
  Uint8Array.fromBase64 = undefined;
  try {
    assert.equal(await payload.decodeText(block("cat")), "cat");
  } finally {
    Uint8Array.fromBase64 = own;
  }
});

test("a broken block is an error", async () => {
  await assert.rejects(payload.decodeBytes(block("a long enough text").slice(0, 12)));
  await assert.rejects(payload.decodeBytes("!"));
  await assert.rejects(payload.decodeJson(block("{")));
});

test("hostile tokens arrive as Python sent them", async () => {
  assert.deepEqual(await payload.decodeJson(blocks.content), content);
  assert.equal(content.tokens[0][1], "</script><script>document.title='owned'</script>");
});

test("every weight is as close as its byte allows", async () => {
  for (const [layerIndex, layer] of content.layers.entries()) {
    const codes = await payload.decodeBytes(blocks[`layer-${layer}`]);
    assert.equal(codes.length, content.heads.length * pattern.triangleSize(n));
    for (const headIndex of content.heads.keys()) {
      pattern.headOf(codes, headIndex, n).forEach((code, cell) => {
        const weight = weights[layerIndex][headIndex][cell];
        // The golden weights are rounded to six digits.
        const bound = Math.sqrt(weight) / 255 + 1 / 510 ** 2 + 1e-6;
        assert.ok(Math.abs(pattern.weightOf(code) - weight) <= bound, `layer ${layer}, cell ${cell}`);
      });
    }
  }
});

test("the strongest keys are those that Python found", async () => {
  for (const [place, keys] of Object.entries(strongest)) {
    const [layer, head, queryPos] = place.split(" ").map(Number);
    const codes = await payload.decodeBytes(blocks[`layer-${layer}`]);
    const row = pattern.rowOf(pattern.headOf(codes, content.heads.indexOf(head), n), queryPos);
    const found = pattern.strongestKeys(row, 5, true).map(({ keyPos }) => keyPos);
    assert.deepEqual(found, keys, place);
  }
});

test("the opening head is the one of its layer", async () => {
  const [layer, head] = content.opening;
  const codes = await payload.decodeBytes(blocks[`layer-${layer}`]);
  const opening = await payload.decodeBytes(blocks.opening);
  assert.deepEqual(opening, new Uint8Array(pattern.headOf(codes, content.heads.indexOf(head), n)));
});

test("a thumbnail holds the strongest cells of its head", async () => {
  const side = content.thumbnail_side;
  const overview = await payload.decodeBytes(blocks.overview);
  const display = Float32Array.from({ length: 256 }, (_, code) => code);
  let tile = 0;
  for (const layer of content.layers) {
    const codes = await payload.decodeBytes(blocks[`layer-${layer}`]);
    for (const headIndex of content.heads.keys()) {
      const image = pattern.square(pattern.headOf(codes, headIndex, n), n, display, side, true);
      const cells = overview.subarray(tile * side * side, ++tile * side * side);
      assert.deepEqual(
        Array.from(image, (code) => (Number.isNaN(code) ? 0 : code)),
        Array.from(cells),
      );
    }
  }
  assert.equal(overview.length, tile * side * side);
});
