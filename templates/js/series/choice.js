// What a reader chose on the page of a series, as {number, head, member, sort, reverse}, its address, and where its line
// runs: the mirror of place_values in reportgen/pages/series.py. `head` is an index into the heads of the content.
globalThis.reportgen ??= {};

reportgen.choice = (() => {
  "use strict";

  const isIndex = (text, count) => /^\d+$/.test(text ?? "") && Number(text) < count;

  /** The choice of an address; what it does not say is what the page opens with. */
  function parse(hash, { kinds, heads, opening, members }) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const head = heads.findIndex((place) => ["layer", "head"].every((name, i) => given.get(name) === String(place[i])));
    const sort = given.get("sort");
    return {
      number: kinds.some(({ name }) => name === given.get("number")) ? given.get("number") : kinds[0]?.name,
      head: head < 0 ? opening : head,
      member: isIndex(given.get("member"), members.length) ? Number(given.get("member")) : 0,
      sort: sort === "head" || isIndex(sort, members.length) ? sort : "change",
      reverse: given.has("reverse"),
    };
  }

  /** The address of a choice. */
  function write({ number, head, member, sort, reverse }, { heads }) {
    const given = new URLSearchParams({ number, layer: heads[head][0], head: heads[head][1], member });
    if (sort !== "change") given.set("sort", sort);
    if (reverse) given.set("reverse", "");
    return `#${given}`;
  }

  /** The largest value of each head minus its smallest; NaN where fewer than two members have one. */
  function measureChanges(values, numHeads) {
    return Float64Array.from({ length: numHeads }, (_, head) => {
      const known = [];
      for (let at = head; at < values.length; at += numHeads) if (!Number.isNaN(values[at])) known.push(values[at]);
      return known.length > 1 ? Math.max(...known) - Math.min(...known) : Number.NaN;
    });
  }

  /** Where each value of a line stands, null where there is none; `low` and `high` are the values at the edges. */
  function place(values, { left, right, top, bottom }, { low, high }) {
    const step = (right - left) / (values.length - 1);
    return Array.from(values, (value, i) =>
      Number.isNaN(value) ? null : [left + i * step, bottom - ((value - low) / (high - low)) * (bottom - top)],
    );
  }

  /** The path through these places, with a gap where one is missing. */
  function draw(places) {
    return places
      .map((at, i) => at && `${i && places[i - 1] ? "L" : "M"}${at[0].toFixed(1)} ${at[1].toFixed(1)}`)
      .filter(Boolean)
      .join("");
  }

  return { parse, write, measureChanges, place, draw };
})();

if (typeof module !== "undefined") module.exports = reportgen.choice;
