const assert = require("node:assert/strict");
const { test } = require("node:test");
const { choice } = require("./scripts.js");

const content = {
  kinds: [{ name: "sink" }, { name: "effect" }],
  heads: [
    [0, 1],
    [3, 2],
    [3, 4],
  ],
  opening: 1,
  members: [{}, {}, {}],
};
const opening = { number: "sink", head: 1, member: 0, sort: "change", reverse: false };

test("an address holds a choice, and what is wrong in it is what the page opens with", () => {
  const chosen = { number: "effect", head: 2, member: 2, sort: "1", reverse: true };
  assert.deepEqual(choice.parse(choice.write(chosen, content), content), chosen);
  assert.deepEqual(choice.parse("", content), opening);
  for (const wrong of ["number=x", "layer=3", "layer=9&head=2", "member=3", "member=-1", "member=1.5", "sort=3"])
    assert.deepEqual(choice.parse(`#${wrong}`, content), opening, wrong);
});

test("a change is the largest value less the smallest, of two known values at least", () => {
  const { NaN: none } = Number;
  const values = [1, none, none, 5, 2, 1, 3, -2, none];
  assert.deepEqual([...choice.measureChanges(values, 3)], [4, 4, none]);
});

test("a line stands where its values are, with a gap where one is missing", () => {
  const plot = { left: 10, right: 30, top: 0, bottom: 100 };
  const places = choice.place([0, 0.5, Number.NaN, 2, 1], plot, { low: 0, high: 2 });
  assert.deepEqual(places, [[10, 100], [15, 75], null, [25, 0], [30, 50]]);
  assert.equal(choice.draw(places), "M10.0 100.0L15.0 75.0M25.0 0.0L30.0 50.0");
});
