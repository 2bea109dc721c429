const assert = require("node:assert/strict");
const { test } = require("node:test");
const { golden, payload, pattern, triangles } = require("./scripts.js");

const { content, weights, strongest, blocks } = golden;
const n = content.tokens.length;
const layerCodes = async (layer) => triangles.unpack(await payload.decodeBytes(blocks[`layer-${layer}`]), n);

test("bytes and text come back as Python sent them", async () => {
  assert.deepEqual(Array.from(await payload.decodeBytes(blocks.bytes)), golden.bytes);
  assert.equal(await payload.decodeText(blocks.text), golden.text);
});

test("a broken block is an error", async () => {
  await assert.rejects(payload.decodeBytes(blocks.text.slice(0, -3)));
  await assert.rejects(payload.decodeBytes("!"));
  await assert.rejects(payload.decodeJson(blocks.text));
});

test("hostile tokens arrive as Python sent them", async () => {
  assert.deepEqual(await payload.decodeJson(blocks.content), content);
  assert.equal(content.tokens[0][1], "</script><script>document.title='owned'</script>");
});

test("every weight is as close as its byte allows", async () => {
  for (const [layerIndex, layer] of content.layers.entries()) {
    const codes = await layerCodes(layer);
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
    const codes = await layerCodes(layer);
    const row = pattern.rowOf(pattern.headOf(codes, content.heads.indexOf(head), n), queryPos);
    const found = pattern.strongestKeys(row, 5, true).map(({ keyPos }) => keyPos);
    assert.deepEqual(found, keys, place);
  }
});

test("the opening head is the one of its layer", async () => {
  const { layer, head } = content.opening;
  const codes = await layerCodes(layer);
  const opening = triangles.unpack(await payload.decodeBytes(blocks["opening-head"]), n);
  assert.deepEqual(opening, new Uint8Array(pattern.headOf(codes, content.heads.indexOf(head), n)));
});

test("a thumbnail holds the strongest cells of its head", async () => {
  const side = content.thumbnail_side;
  const overview = await payload.decodeBytes(blocks.overview);
  const display = Float32Array.from({ length: 256 }, (_, code) => code);
  let tile = 0;
  for (const layer of content.layers) {
    const codes = await layerCodes(layer);
    for (const headIndex of content.heads.keys()) {
      const head = pattern.headOf(codes, headIndex, n);
      const image = pattern.crop({ codes: head, first: null }, display, true, 0, n - 1, side);
      const cells = overview.subarray(tile * side * side, ++tile * side * side);
      assert.deepEqual(pattern.shrink(head, n, side), new Uint8Array(cells));
      assert.deepEqual(
        Array.from(image, (code) => (Number.isNaN(code) ? 0 : code)),
        Array.from(cells),
      );
    }
  }
  assert.equal(overview.length, tile * side * side);
});
