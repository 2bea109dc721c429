// Units of the axes: tokens, or words with the labels that the page's data gives them.
const assert = require("node:assert/strict");
const { test } = require("node:test");
const { words } = require("./scripts.js");

const CONTENT = {
  tokens: [
    [4, "Die"],
    [9, "␣⟨C3⟩"],
    [8, "Ä"],
    [7, "pfel"],
    [5, "!"],
  ],
  words: [0, 1, 4],
  word_labels: ["Die", "␣Äpfel", "!"],
};

test("a word is shown with its label, not with what its tokens show", () => {
  const units = words.unitsOf(CONTENT, true);
  assert.equal(units.n, 3);
  assert.deepEqual([0, 1, 2].map(units.shown), CONTENT.word_labels);
  assert.deepEqual([0, 1, 2].map(units.place), ["0", "1–3", "4"]);
});

test("a token is shown as it is", () => {
  const units = words.unitsOf(CONTENT, false);
  assert.deepEqual([0, 1, 2, 3, 4].map(units.shown), ["Die", "␣⟨C3⟩", "Ä", "pfel", "!"]);
});
