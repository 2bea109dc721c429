const assert = require("node:assert/strict");
const { test } = require("node:test");
const { golden, payload, pattern, triangles } = require("./scripts.js");

const { blocks, content, fine } = golden;
const n = content.tokens.length;

test("codes of sixteen bits come back as Python wrote them", async () => {
  const codes = triangles.unpack(await payload.decodeBytes(blocks["fine-3"]), n, 16);
  assert.ok(codes instanceof Uint16Array);
  assert.deepEqual(Array.from(codes), fine);
});

test("a code of sixteen bits is a finer one of eight", async () => {
  const codes = triangles.unpack(await payload.decodeBytes(blocks["layer-3"]), n);
  const [coarse, exact] = [pattern.weightsOf(codes), pattern.weightsOf(Uint16Array.from(fine))];
  for (let cell = 0; cell < codes.length; cell++) {
    const weight = exact[fine[cell]];
    assert.ok(Math.abs(coarse[codes[cell]] - weight) <= Math.sqrt(weight) / 255 + 1 / 510 ** 2 + 1e-6);
  }
});

test("a thumbnail of sixteen bits holds the strongest cells too", () => {
  assert.deepEqual(pattern.shrink(Uint16Array.of(300, 2, 65535), 2, 2), Uint16Array.of(300, 0, 2, 65535));
  assert.deepEqual(pattern.shrink(Uint16Array.of(300, 2, 65535), 2, 1), Uint16Array.of(65535));
});
