// What one head reads in two texts, position by position. An axis is {start, length, has_before}: the positions of one side
// that its heatmaps show, as reportgen/pages/pair_panels.py chose them. Its units are, where there is one, the column of all
// that stands before them, then the positions themselves.
globalThis.reportgen ??= {};

reportgen.alignment = (() => {
  "use strict";

  const { forms, pattern } = reportgen;

  /** Units before the first position. */
  const leadOf = ({ has_before: hasBefore }) => (hasBefore ? 1 : 0);
  const countOf = (axis) => axis.length + leadOf(axis);

  /** The unit of a position; -1 where it has none of its own. */
  function unitOf(position, axis) {
    const place = position - axis.start;
    return place >= 0 && place < axis.length ? place + leadOf(axis) : -1;
  }

  const positionOf = (unit, axis) => unit - leadOf(axis) + axis.start;

  /** The sum of what is known; NaN where something stands there and nothing of it is known. */
  function sum(row) {
    const known = row.filter((weight) => !Number.isNaN(weight));
    return row.length && !known.length ? Number.NaN : known.reduce((all, weight) => all + weight, 0);
  }

  /** A form of a whole text as one of an axis: a row for each position, with what lies before the axis as one. */
  function formOf(form, axis, withFirst) {
    const lead = leadOf(axis);
    const values = new Float32Array(pattern.triangleSize(countOf(axis))).fill(Number.NaN);
    for (let place = 0; place < axis.length; place++) {
      const row = forms.rowOf(form, axis.start + place);
      if (!withFirst) row[0] = Number.NaN;
      const cell = pattern.triangleSize(place + lead);
      if (lead) values[cell] = sum(row.subarray(0, axis.start));
      values.set(row.subarray(axis.start), cell + lead);
    }
    // Which keys a query cannot see is in the values; that there are some shows in the hatching.
    return { ...forms.encode(values, 1), first: form.first && new Uint32Array(countOf(axis)), sink: null };
  }

  /** Tokens of an axis, as a page's content has them, and how their positions are told. `contents` of one side, or of both. */
  function tokensOf(contents, axes, before) {
    const [{ length, has_before: hasBefore }] = axes;
    const names = contents.length > 1 ? [" in A", " in B"] : [""];
    const told = (positions) =>
      new Set(positions).size > 1 ? positions.map((place, side) => `${place}${names[side]}`).join(", ") : positions[0];
    const range = ({ start }) => (start > 1 ? `0–${start - 1}` : start ? "0" : "none");
    const own = Array.from({ length }, (_, i) => {
      const tokens = contents.map(({ tokens }, side) => tokens[axes[side].start + i]);
      const shown = [...new Set(tokens.map(([, text]) => text))];
      return [shown.length > 1 ? null : tokens[0][0], shown.join(" | "), tokens[0][2]];
    });
    const places = own.map((_, i) => told(axes.map(({ start }) => String(start + i))));
    if (!hasBefore) return { tokens: own, places };
    return { tokens: [[null, before, 0], ...own], places: [told(axes.map(range)), ...places] };
  }

  return { leadOf, countOf, unitOf, positionOf, formOf, tokensOf };
})();

if (typeof module !== "undefined") module.exports = reportgen.alignment;
