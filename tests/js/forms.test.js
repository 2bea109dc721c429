const assert = require("node:assert/strict");
const { test } = require("node:test");
const { forms, pattern, words } = require("./scripts.js");

const none = Number.NaN;
/** "Jon|athan ate" and a generated "x": words of two, one and one tokens. */
const content = {
  tokens: [
    [1, "Jon"],
    [2, "athan"],
    [3, "␣ate"],
    [4, "x"],
  ],
  words: [0, 2, 3],
  word_labels: ["Jonathan", "␣ate", "x"],
};
const units = words.unitsOf(content, true);
const close = (found, expected, least = 2e-4) => {
  assert.equal(found.length, expected.length);
  for (const [i, value] of expected.entries()) {
    if (Number.isNaN(value)) assert.ok(Number.isNaN(found[i]), `${i}: ${found[i]}`);
    else assert.ok(Math.abs(found[i] - value) <= least, `${i}: ${found[i]}, not ${value}`);
  }
};
const triangle = Float32Array.of(1, 0.75, 0.25, 0.5, 0.3, 0.2, 0.1, 0.2, 0.3, 0.4);
const form = { ...forms.encode(triangle, 1), first: null, sink: null };

test("sixteen bits keep what they are given, signs and what is nothing", () => {
  close(forms.decode(forms.encode(triangle, 1)), triangle, 3e-5);
  close(forms.decode(forms.encode(Float32Array.of(-2, none, 0, 0.01))), [-2, none, 0, 0.01], 1e-4);
  assert.equal(forms.decode(forms.encode(Float32Array.of(0)))[0], 0);
});

test("without its first key a row adds up to 1 again", () => {
  close(forms.renormaliseRow(Float32Array.of(0.5, 0.3, 0.2)), [none, 0.6, 0.4]);
  close(forms.decode(forms.renormalise(form, 4)), [none, none, 1, none, 0.6, 0.4, none, 2 / 9, 3 / 9, 4 / 9]);
});

test("a row that is all first key says nothing without it", () => {
  close(forms.renormaliseRow(Float32Array.of(0.995, 0.005)), [none, none]);
  close(forms.renormaliseRow(Float32Array.of(1)), [none]);
});

test("a word reads the mean of what its tokens read, and of a word the sum", () => {
  const summed = forms.sumWords(form, units, false);
  // "Jonathan" reads itself alone; "ate" reads 0.8 of it; "x" reads 0.3 of it.
  close(forms.decode(summed), [1, 0.8, 0.2, 0.3, 0.3, 0.4]);
});

test("words keep signs, and rows of nothing count for nothing", () => {
  const signed = Float32Array.of(none, none, none, -1, 2, 0.5, none, none, none, none);
  const summed = forms.decode(forms.sumWords({ ...forms.encode(signed), first: null, sink: null }, units, true));
  close(summed, [none, 1, 0.5, none, none, none]);
  close(forms.sumRow([Float32Array.of(none), Float32Array.of(0.5, 1)], units), [1.5]);
});

test("a word sees what the first of its tokens sees, and its sink takes the mean", () => {
  const windowed = { ...form, first: Uint32Array.of(0, 0, 1, 2), sink: Float32Array.of(0.1, 0.3, 0.5, 0.7) };
  const summed = forms.sumWords(windowed, units, false);
  assert.deepEqual([...summed.first], [0, 0, 1]);
  close(summed.sink, [0.2, 0.5, 0.7]);
});

test("the mean and the maximum of heads are taken cell by cell", () => {
  const other = { ...forms.encode(Float32Array.of(1, 0.25, 0.75), 1), first: null };
  const one = { ...forms.encode(Float32Array.of(1, 0.75, 0.25), 1), first: null };
  for (const [way, expected] of [
    ["mean", [1, 0.5, 0.5]],
    ["max", [1, 0.75, 0.75]],
  ]) {
    const gathered = forms.gather(way);
    for (const form of [one, other]) gathered.add(form);
    close(forms.decode(gathered.result(false)), expected);
  }
});

test("together, heads hide only what all of them hide, and what none knows is nothing", () => {
  const one = { ...forms.encode(Float32Array.of(-2, none, 1)), first: Uint32Array.of(0, 1) };
  const other = { ...forms.encode(Float32Array.of(1, none, none)), first: Uint32Array.of(0, 0) };
  const gathered = forms.gather("max");
  for (const form of [one, other]) gathered.add(form);
  const { first, ...result } = gathered.result(true);
  close(forms.decode(result), [-2, none, 1]);
  assert.deepEqual([...first], [0, 0]);
  const all = forms.gather("mean");
  for (const form of [one, { ...other, first: null }]) all.add(form);
  assert.equal(all.result(true).first, null);
});

test("a difference has a sign, and is nothing where one of the two is", () => {
  const one = { ...forms.encode(Float32Array.of(1, 0.75, 0.25), 1), first: null };
  const other = { ...forms.encode(Float32Array.of(1, 0.25, none), 1), first: null };
  close(forms.decode(forms.subtract(one, other)), [0, 0.5, none]);
});

test("the strongest key of a row may leave the first out", () => {
  assert.deepEqual(forms.strongestByRow(form, 4, true), [0, 0, 0, 3]);
  assert.deepEqual(forms.strongestByRow(form, 4, false), [null, 1, 1, 3]);
  assert.deepEqual(forms.strongestByRow({ ...form, first: Uint32Array.of(0, 1, 2, 2) }, 4, true), [0, 1, 2, 3]);
});

test("tokens are units of their own, words have several places", () => {
  const tokens = words.unitsOf(content);
  assert.deepEqual([tokens.n, tokens.shown(1), tokens.place(1), tokens.of(3)], [4, "athan", "1", 3]);
  assert.deepEqual([units.n, units.shown(0), units.place(0), units.place(1)], [3, "Jonathan", "0–1", "2"]);
  assert.deepEqual([0, 1, 2, 3].map(units.of), [0, 0, 1, 2]);
  assert.deepEqual([units.first(0), units.last(0), units.last(2)], [0, 1, 3]);
  assert.equal(words.unitsOf({ tokens: content.tokens }, true).n, 4);
  assert.equal(pattern.triangleSize(units.n), 6);
});

test("a row that is known in part is divided by the whole rest", () => {
  close(forms.renormaliseRow(Float32Array.of(0.5, 0.3, 0), 0.5), [none, 0.6, 0]);
  const thinned = { ...forms.encode(Float32Array.of(1, 0.75, 0.25, 0.5, 0.3, 0), 1), first: null, sink: null };
  close(forms.decode(forms.renormalise(thinned, 3, Float32Array.of(0, 0.25, 0.5))), [none, none, 1, none, 0.6, 0]);
});

test("without the first token its word keeps what its other tokens have", () => {
  const summed = forms.sumWords(form, units, false, false);
  // "Jonathan" without "Jon": of its two rows only that of "athan" reads it, 0.25; "ate" reads 0.3 of it, "x" 0.2.
  close(forms.decode(summed), [0.25, 0.3, 0.2, 0.2, 0.3, 0.4]);
  // Divided by the rest first, then summed.
  const divided = forms.sumWords(forms.renormalise(form, 4), units, false, false);
  close(forms.decode(divided), [1, 0.6, 0.4, 2 / 9, 3 / 9, 4 / 9]);
});
