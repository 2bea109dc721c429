const assert = require("node:assert/strict");
const { test } = require("node:test");
const { listing } = require("./scripts.js");

const cards = [
  { title: "Prompt 10", text: "The cat", model: "tiny", tags: ["b"], tokens: 8, prompt: -2, generated: -0.5 },
  { title: "Prompt 9", text: "the RAT", model: "gpt2", tokens: 12, prompt: -3 },
  { title: "Äpfel", model: "Tiny", error: "prompts.yaml:5: too long" },
  { title: "zebra", text: "cat and rat", model: "tiny", tags: ["a", "z"], tokens: 8, generated: -0.25 },
].map((card) => ({ ...card, words: listing.wordsOf(card) }));
const initial = listing.parse("");
const choose = (change) => listing.choose(cards, { ...initial, ...change });

test("the filter asks for every word, in any order", () => {
  const words = "the cat and the rat smollm2-135m names";
  assert.ok(listing.matches("rat cat", words));
  assert.ok(listing.matches("smol", words));
  assert.ok(listing.matches("", words));
  assert.ok(!listing.matches("rat dog", words));
});

test("the filter searches title, text, model, tags and error", () => {
  assert.deepEqual(choose({}), [0, 1, 2, 3]);
  assert.deepEqual(choose({ words: " CAT rat " }), [3]);
  assert.deepEqual(choose({ words: "gpt2" }), [1]);
  assert.deepEqual(choose({ words: "too long" }), [2]);
  assert.deepEqual(choose({ words: "z" }), [3]);
  assert.deepEqual(choose({ failed: true }), [2]);
  assert.deepEqual(choose({ words: "cat", failed: true }), []);
});

test("texts are sorted as people sort them", () => {
  assert.deepEqual(choose({ sort: "title" }), [2, 1, 0, 3]);
  assert.deepEqual(choose({ sort: "title", reverse: true }), [3, 0, 1, 2]);
  assert.deepEqual(choose({ sort: "model" }), [1, 0, 3, 2]);
});

test("numbers are sorted as numbers, equal ones in the order of the run", () => {
  assert.deepEqual(choose({ sort: "tokens" }), [0, 3, 1, 2]);
  assert.deepEqual(choose({ sort: "tokens", reverse: true }), [1, 0, 3, 2]);
});

test("what lacks a value comes last, whichever way round", () => {
  assert.deepEqual(choose({ sort: "generated" }), [0, 3, 1, 2]);
  assert.deepEqual(choose({ sort: "generated", reverse: true }), [3, 0, 1, 2]);
  assert.deepEqual(choose({ sort: "tag" }), [3, 0, 1, 2]);
  assert.deepEqual(choose({ sort: "order", reverse: true }), [3, 2, 1, 0]);
});

test("an address holds a choice, and what is wrong in it is left out", () => {
  const choice = { words: "a & b", sort: "tokens", reverse: true, failed: true };
  assert.deepEqual(listing.parse(listing.format(choice)), choice);
  assert.equal(listing.format(initial), "");
  assert.deepEqual(listing.parse("#sort=toString&filter="), initial);
  assert.deepEqual(listing.parse("#sort=size"), initial);
});

test("sorting goes on to the next and comes round", () => {
  let choice = initial;
  const seen = [];
  do {
    seen.push(choice.sort);
    choice = listing.cycleSort(choice);
  } while (choice.sort !== initial.sort);
  assert.deepEqual(seen, ["order", "title", "model", "tag", "tokens", "prompt", "generated"]);
});

test("the count says how many are shown and how many failed", () => {
  assert.equal(listing.count(4, cards), "4 reports, 1 failed.");
  assert.equal(listing.count(2, cards), "2 of 4 reports, 1 failed.");
  assert.equal(listing.count(1, [cards[0]]), "1 report.");
  assert.equal(listing.count(0, []), "0 reports.");
  assert.equal(listing.count(1234, Array(1234).fill(cards[0])), "1,234 reports.");
});
