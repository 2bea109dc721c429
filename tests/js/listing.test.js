const assert = require("node:assert/strict");
const { test } = require("node:test");
const { listing } = require("./scripts.js");

const cards = [
  {
    slug: "a",
    title: "Prompt 10",
    text: "The cat",
    completion: " sat",
    model: "tiny",
    tags: ["b"],
    tokens: 8,
    prob: 0.5,
  },
  { slug: "b", title: "Prompt 9", text: "the RAT", model: "gpt2", tokens: 12, head: "L10 H1", effect: -0.5 },
  { slug: "c", title: "Äpfel", model: "Tiny", compares: ["Prompt 9", "zebra"], sides: ["b", "d"], head: "L2 H3" },
  {
    slug: "d",
    title: "zebra",
    text: "cat and rat",
    model: "tiny",
    tags: ["a", "z"],
    tokens: 8,
    head: "L2 H11",
    effect: 2,
  },
].map((card) => ({ ...card, words: listing.wordsOf(card) }));
const initial = listing.parse("");
const choose = (change) => listing.choose(cards, { ...initial, ...change });

test("the filter asks for every word, in any order", () => {
  const card = { words: "the cat and the rat smollm2-135m names" };
  const matches = (words) => listing.matches(card, { ...initial, words });
  assert.deepEqual(["rat cat", "smol", "", " CAT ", "rat dog"].map(matches), [true, true, true, true, false]);
});

test("the filter searches title, prompt, answer, model, tags, head and both sides", () => {
  assert.deepEqual(choose({}), [0, 1, 2, 3]);
  assert.deepEqual(choose({ words: " CAT rat " }), [3]);
  assert.deepEqual(choose({ words: "sat" }), [0]);
  assert.deepEqual(choose({ words: "gpt2" }), [1]);
  assert.deepEqual(choose({ words: "zebra" }), [2, 3]);
  assert.deepEqual(choose({ words: "L10 h1" }), [1]);
  assert.deepEqual(choose({ words: "z" }), [2, 3]);
});

test("a tag and a model are whole ones", () => {
  assert.deepEqual(choose({ tag: "z" }), [3]);
  assert.deepEqual(choose({ model: "tiny" }), [0, 3]);
  assert.deepEqual(choose({ model: "tiny", tag: "a", words: "cat" }), [3]);
  assert.deepEqual(choose({ tag: "cat" }), []);
});

test("texts are sorted as people sort them", () => {
  assert.deepEqual(choose({ sort: "title" }), [2, 1, 0, 3]);
  assert.deepEqual(choose({ sort: "title", reverse: true }), [3, 0, 1, 2]);
  assert.deepEqual(choose({ sort: "head" }), [2, 3, 1, 0]);
});

test("numbers are sorted as numbers, equal ones in the order of the prompt file", () => {
  assert.deepEqual(choose({ sort: "tokens" }), [0, 3, 1, 2]);
  assert.deepEqual(choose({ sort: "tokens", reverse: true }), [1, 0, 3, 2]);
});

test("what lacks a value comes last, whichever way round", () => {
  assert.deepEqual(choose({ sort: "effect" }), [1, 3, 0, 2]);
  assert.deepEqual(choose({ sort: "effect", reverse: true }), [3, 1, 0, 2]);
  assert.deepEqual(choose({ sort: "order", reverse: true }), [3, 2, 1, 0]);
});

test("an address holds a choice, and what is wrong in it is left out", () => {
  const choice = { words: "a & b", tag: "x=y", model: "m", sort: "tokens", reverse: true, view: "table" };
  assert.deepEqual(listing.parse(listing.format(choice)), choice);
  assert.equal(listing.format(initial), "");
  assert.deepEqual(listing.parse("#sort=toString&filter=&view=list"), initial);
});

test("a column is sorted by, then turned round; the largest probability and effect come first", () => {
  assert.deepEqual(listing.sortBy(initial, "title"), { sort: "title", reverse: false });
  assert.deepEqual(listing.sortBy(initial, "effect"), { sort: "effect", reverse: true });
  assert.deepEqual(listing.sortBy({ sort: "effect", reverse: true }, "effect"), { sort: "effect", reverse: false });
});

test("sorting goes on to the next and comes round", () => {
  let choice = initial;
  const seen = [];
  do {
    seen.push(choice.sort);
    choice = { ...choice, ...listing.cycleSort(choice) };
  } while (choice.sort !== initial.sort);
  assert.equal(seen.join(" "), "order title text prob head through effect prompt generated tokens model");
});

test("the comparison of two pages is found, whichever is A", () => {
  assert.equal(listing.findComparison(cards, ["b", "d"]).slug, "c");
  assert.equal(listing.findComparison(cards, ["d", "b"]).slug, "c");
  assert.equal(listing.findComparison(cards, ["a", "b"]), undefined);
  const series = { slug: "s", sides: ["b", "a", "d"] };
  assert.equal(listing.findComparison([series], ["a", "b"]), undefined);
});

test("the count says how many are shown and how many failed", () => {
  assert.equal(listing.count(4, 4, 1), "4 pages, 1 failed");
  assert.equal(listing.count(2, 4, 0), "2 of 4 pages");
  assert.equal(listing.count(1, 1, 0), "1 page");
  assert.equal(listing.count(1234, 1234, 5000), "1,234 pages, 5,000 failed");
});
