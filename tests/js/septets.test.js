const assert = require("node:assert/strict");
const { test } = require("node:test");
const { golden, septets } = require("./scripts.js");

test("bytes of every kind come back as Python wrote them", () => {
  for (const [text, bytes] of golden.septets) assert.deepEqual(Array.from(septets.decode(text)), bytes);
});
