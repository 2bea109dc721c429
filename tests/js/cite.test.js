// Citations: one line, and one entry that TeX can read whatever a title holds.
const assert = require("node:assert/strict");
const { test } = require("node:test");
const {
  cite: { escapeTex, format, sayPlace },
} = require("./scripts.js");

const VIEW = {
  title: "A cat\nand a mat",
  model: "tiny",
  slug: "cat",
  place: "layer 1, head 2, step 0",
  link: "https://example.org/cat.html#layer=1&head=2&step=0",
  generator: "reportgen 0.1.0",
  day: "2026-01-31",
  settings: new Map([
    ["model", "tiny"],
    ["revision", "607a30d"],
    ["dtype and device", "float32 on cpu"],
    ["seed", "7"],
    ["torch", "2.13.0"],
    ["python", "3.11"],
  ]),
};

test("a line says what, where, made with what, and when it was seen", () => {
  assert.equal(
    format(VIEW).text,
    "A cat and a mat: attention of tiny, layer 1, head 2, step 0. Page made with reportgen 0.1.0, revision 607a30d, " +
      "float32 on cpu, seed 7, torch 2.13.0. https://example.org/cat.html#layer=1&head=2&step=0 (seen 2026-01-31).",
  );
});

test("an entry has the fields of a web page", () => {
  assert.deepEqual(format(VIEW).bibtex.split("\n"), [
    "@misc{attention-cat,",
    "  title = {A cat and a mat: attention of tiny, layer 1, head 2, step 0},",
    "  note = {Page made with reportgen 0.1.0, revision 607a30d, float32 on cpu, seed 7, torch 2.13.0},",
    "  url = {https://example.org/cat.html#layer=1&head=2&step=0},",
    "  urldate = {2026-01-31}",
    "}",
  ]);
});

test("a title cannot end its field or start a command", () => {
  assert.equal(
    escapeTex("}\\input{x} 50% a_b #1 $2 & ~^"),
    "\\}\\textbackslash{}input\\{x\\} 50\\% a\\_b \\#1 \\$2 \\& \\textasciitilde{}\\textasciicircum{}",
  );
  const { bibtex } = format({ ...VIEW, title: "} @misc{evil, title={" });
  assert.equal(bibtex.split("\n").length, 6);
  assert.match(bibtex, /title = \{\\\} @misc\\\{evil, title=\\\{: attention/);
});

test("a place is a token where its query predicted it, else a position", () => {
  const bounds = { numTokens: 5, numPromptTokens: 3 };
  const at = (step, queryPos) => sayPlace({ state: { layer: 1, head: 2, step, queryPos }, bounds });
  assert.equal(at(0, 2), "layer 1, head 2, token 1");
  assert.equal(at(1, 3), "layer 1, head 2, token 2");
  // Effects are on token 2, and a position of the prompt reads.
  assert.equal(at(1, 1), "layer 1, head 2, position 1");
  assert.equal(at(null, 2), "layer 1, head 2, position 2");
});
