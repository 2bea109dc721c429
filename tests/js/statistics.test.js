const assert = require("node:assert/strict");
const { test } = require("node:test");
const { statistics } = require("./scripts.js");

const effect = { name: "effect", title: "effect", unit: "logits", lowest_first: false, bound: 0.1 };
const ablation = { name: "ablation", title: "ablation", unit: "nats", lowest_first: true, bound: -0.1 };
const sink = { name: "sink", title: "first token", unit: "share", lowest_first: false, bound: 0.5 };
const content = {
  kinds: [effect, ablation, sink],
  tables: [
    { name: "small", numbers: ["sink"], heads: [[0, 0]], tags: [], pages: [["a", "A", null, []]] },
    {
      name: "tiny",
      numbers: ["effect", "ablation", "sink"],
      heads: [
        [0, 1],
        [3, 2],
      ],
      tags: ["x", "y"],
      pages: [
        ["b", "B", 0, [0]],
        ["c", "C", 2, [0, 1]],
      ],
    },
  ],
};
const parse = (hash) => statistics.parse(hash, content);

test("cells are halves with their high bytes first", () => {
  const codes = [0x0000, 0x3c00, 0xc000, 0x0001, 0x7bff, 0x3555, 0x7c00, 0x7e00];
  const bytes = Uint8Array.from([...codes.map((code) => code >> 8), ...codes.map((code) => code & 255)]);
  const expected = [0, 1, -2, 2 ** -24, 65504, 0.333251953125, Number.POSITIVE_INFINITY, Number.NaN];
  assert.deepEqual([...statistics.decodeCells(bytes)], expected);
});

test("statistics are read field by field, group by group", () => {
  const floats = Float32Array.from({ length: 16 }, (_, i) => i / 2);
  const counts = Uint32Array.from({ length: 12 }, (_, i) => 100 + i);
  const bytes = Uint8Array.from([...new Uint8Array(floats.buffer), ...new Uint8Array(counts.buffer)]);
  const [all, tagged] = statistics.decodeStatistics(bytes, 2, 2);
  const plain = (group) => Object.fromEntries(Object.entries(group).map(([name, values]) => [name, [...values]]));
  assert.deepEqual(plain(all), {
    mean: [0, 0.5],
    deviation: [2, 2.5],
    lowest: [4, 4.5],
    highest: [6, 6.5],
    count: [100, 101],
    lowestPage: [104, 105],
    highestPage: [108, 109],
  });
  assert.deepEqual([...tagged.mean, ...tagged.highestPage], [1, 1.5, 110, 111]);
});

test("a bound holds on one side of it, and never where there is no value", () => {
  const values = [0.5, 0.6, -1, Number.NaN];
  assert.equal(statistics.countHolding(values, { side: "above", bound: 0.5 }), 1);
  assert.equal(statistics.countHolding(values, { side: "below", bound: 0.5 }), 1);
});

test("heads come in the order that is asked for, those without a value last", () => {
  const columns = { mean: [1, Number.NaN, 3, 3], count: [2, 0, 2, 1] };
  const sort = (sort, reverse, kind = effect) => statistics.sortHeads(4, columns, { sort, reverse }, kind);
  assert.deepEqual(sort("mean", false), [2, 3, 0, 1]);
  assert.deepEqual(sort("mean", true), [0, 2, 3, 1]);
  assert.deepEqual(sort("mean", false, ablation), [0, 2, 3, 1]);
  assert.deepEqual(sort("count", false, ablation), [0, 2, 3, 1]);
  assert.deepEqual(sort("head", false), [0, 1, 2, 3]);
  assert.deepEqual(sort("head", true), [3, 2, 1, 0]);
});

test("numbers have the digits of their unit, and a sign where they can be below 0", () => {
  assert.equal(statistics.format(-0.125, effect), "−0.13");
  assert.equal(statistics.format(0.125, effect, { signed: false }), "0.13");
  assert.equal(statistics.format(0.5, sink), "0.500");
  assert.equal(statistics.format(12.34, { unit: "tokens" }), "12.3");
  assert.equal(statistics.format(Number.NaN, effect), "n/a");
});

test("what holds is said of the prompts that count", () => {
  const say = (head, choice = { side: "above", bound: 0.5 }) =>
    statistics.sayHolds({ name: "L5 H1", ...head }, sink, choice);
  assert.equal(say({ count: 15, numPages: 15, holding: 14 }), "L5 H1 is above 0.5 on 14 of 15 prompts");
  assert.equal(
    say({ count: 1, numPages: 3, holding: 0 }, { side: "below", bound: -0.1 }),
    "L5 H1 is below −0.1 on 0 of 1 prompt (n/a on 2 more)",
  );
  assert.equal(say({ count: 10_000, numPages: 10_000, holding: null }), "L5 H1 has a value on 10,000 prompts");
  assert.equal(say({ count: 0, numPages: 1, holding: 0 }), "first token of L5 H1 is n/a on this prompt");
  assert.equal(say({ count: 0, numPages: 2, holding: 0 }), "first token of L5 H1 is n/a on all of these prompts");
});

test("a cell leads to the head on its page, at the step that the page opens with", () => {
  assert.equal(statistics.addressOf(["c", "C", 2], [3, 1]), "c.html#layer=3&head=1&step=2");
  assert.equal(statistics.addressOf(["a", "A", null], [3, 1]), "a.html#layer=3&head=1");
});

test("an address that says nothing opens with the first model and its first number", () => {
  const expected = { side: "above", sort: "mean", reverse: false, page: "", tag: "", head: null };
  assert.deepEqual(parse(""), { ...expected, model: 0, number: "sink", bound: 0.5 });
  assert.deepEqual(parse("#model=tiny"), { ...expected, model: 1, number: "effect", bound: 0.1 });
});

test("a page brings its model with it", () => {
  const { model, page, head } = parse("#page=c&layer=3&head=2");
  assert.deepEqual({ model, page, head }, { model: 1, page: "c", head: 1 });
  assert.deepEqual([parse("#page=none&layer=9&head=9").page, parse("#page=none&layer=9&head=9").head], ["", null]);
});

test("an address that is written is read again as it was", () => {
  const choices = [
    parse("#model=tiny&number=ablation&layer=3&head=2&tag=y&above=-0.5&sort=holds&reverse=&page=b"),
    parse("#model=tiny&number=sink&below=1e-3"),
    parse("#number=sink"),
  ];
  for (const choice of choices) assert.deepEqual(parse(statistics.write(choice, content)), choice);
  assert.equal(choices[0].bound, -0.5);
});

test("a bound is a number", () => {
  assert.deepEqual(["0.5", " −1 ", "1e-3", "", "x", null, "Infinity"].map(statistics.parseBound), [
    0.5,
    -1,
    0.001,
    null,
    null,
    null,
    null,
  ]);
});

test("what an address says wrongly is as at the beginning", () => {
  const wrong = parse("#model=none&number=none&layer=x&head=1&tag=none&above=x&sort=none");
  assert.deepEqual(wrong, parse(""));
});
