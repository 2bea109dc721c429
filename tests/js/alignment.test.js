const assert = require("node:assert/strict");
const { test } = require("node:test");
const { alignment, forms, pattern } = require("./scripts.js");

/** A form of a lower triangle of weights. */
const formOf = (rows, first = null) => ({ ...forms.encode(Float32Array.from(rows.flat()), 1), first, sink: null });
const rowsOf = (form, count) =>
  Array.from({ length: count }, (_, query) =>
    Array.from(forms.rowOf(form, query), (value) => (Number.isNaN(value) ? null : Math.round(value * 1000) / 1000)),
  );
const TEXT = formOf([[1], [0.25, 0.75], [0.5, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]]);
const whole = { start: 0, length: 4, has_before: false };
const ending = { start: 2, length: 2, has_before: true };

test("a whole text is its own axis", () => {
  assert.deepEqual(rowsOf(alignment.formOf(TEXT, whole, true), 4), [
    [1],
    [0.25, 0.75],
    [0.5, 0.25, 0.25],
    [0.1, 0.2, 0.3, 0.4],
  ]);
});

test("all that stands before an axis is one column, and reads nothing itself", () => {
  assert.deepEqual(rowsOf(alignment.formOf(TEXT, ending, true), 3), [[null], [0.75, 0.25], [0.3, 0.3, 0.4]]);
});

test("the first token is left out, alone or of what stands before", () => {
  assert.deepEqual(rowsOf(alignment.formOf(TEXT, whole, false), 2), [[null], [null, 0.75]]);
  assert.deepEqual(rowsOf(alignment.formOf(TEXT, ending, false), 3), [[null], [0.25, 0.25], [0.2, 0.3, 0.4]]);
});

test("what a query cannot see stays unknown, and is known to be so", () => {
  const windowed = formOf([[1], [0.25, 0.75], [0, 0.75, 0.25], [0, 0, 0.6, 0.4]], Uint32Array.of(0, 0, 1, 2));
  const form = alignment.formOf(windowed, ending, true);
  assert.deepEqual(rowsOf(form, 3), [[null], [0.75, 0.25], [null, 0.6, 0.4]]);
  assert.ok(form.first);
  assert.equal(alignment.formOf(TEXT, ending, true).first, null);
});

test("a side with nothing before reads nothing there", () => {
  const form = alignment.formOf(formOf([[1], [0.5, 0.5]]), { start: 0, length: 2, has_before: true }, true);
  assert.deepEqual(rowsOf(form, 3), [[null], [0, 1], [0, 0.5, 0.5]]);
});

test("the difference of two forms is that of their weights, with its sign", () => {
  const other = alignment.formOf(formOf([[1], [0, 1], [0.5, 0, 0.5]]), { start: 1, length: 2, has_before: true }, true);
  const difference = forms.subtract(alignment.formOf(TEXT, ending, true), other);
  assert.deepEqual(rowsOf(difference, 3), [[null], [0.75, -0.75], [-0.2, 0.3, -0.1]]);
  assert.equal(difference.codes.length, pattern.triangleSize(3));
});

test("positions have units, and units positions", () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((position) => alignment.unitOf(position, ending)),
    [-1, -1, 1, 2, -1],
  );
  assert.deepEqual(
    [1, 2].map((unit) => alignment.positionOf(unit, ending)),
    [2, 3],
  );
  assert.equal(alignment.unitOf(0, whole), 0);
  assert.equal(alignment.countOf(ending), 3);
});

test("tokens that differ are both named, with their positions", () => {
  const contents = [
    {
      tokens: [
        [1, "Jo", 0],
        [2, "na", 0],
        [3, "␣ate", 0],
        [4, "x", 0],
      ],
    },
    {
      tokens: [
        [9, "A", 0],
        [3, "␣ate", 0],
        [5, "<b>", 0],
      ],
    },
  ];
  const axes = [
    { start: 2, length: 2, has_before: true },
    { start: 1, length: 2, has_before: true },
  ];
  assert.deepEqual(alignment.tokensOf(contents, axes, "(before)"), {
    tokens: [
      [null, "(before)", 0],
      [3, "␣ate", 0],
      [null, "x | <b>", 0],
    ],
    places: ["0–1 in A, 0 in B", "2 in A, 1 in B", "3 in A, 2 in B"],
  });
  assert.deepEqual(alignment.tokensOf(contents.slice(1), axes.slice(1), "(before)").places, ["0", "1", "2"]);
  const alike = [
    { start: 0, length: 1, has_before: false },
    { start: 0, length: 1, has_before: false },
  ];
  assert.deepEqual(alignment.tokensOf(contents, alike, "").places, ["0"]);
});
