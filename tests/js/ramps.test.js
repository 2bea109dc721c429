const assert = require("node:assert/strict");
const { test } = require("node:test");
const { golden, ramps } = require("./scripts.js");

test("colours come back as Python wrote them", () => {
  assert.deepEqual(ramps.decode(golden.ramp_steps), golden.ramps);
});

test("a ramp is the sum of its steps", () => {
  assert.deepEqual(
    ramps.decode({
      one: [
        [0, 255],
        [16, -6],
        [1, 1],
      ],
    }),
    { one: ["#001001", "#ff0a02"] },
  );
});
