// What one head reads in two texts, where positions of both stand for one another. An alignment is {starts: [a, b], length}:
// position `start + i` of the one side stands for position `start + i` of the other.
globalThis.reportgen ??= {};

reportgen.alignment = (() => {
  "use strict";

  const { pattern, shows } = reportgen;

  /** Weights of the aligned keys of one aligned query, and what lies on all keys before them. */
  function alignedRow(codes, start, query) {
    const row = shows.weightsOf(codes, start + query);
    return { aligned: row.subarray(start), before: row.subarray(0, start).reduce((sum, weight) => sum + weight, 0) };
  }

  /** Where a position of one side stands among the aligned ones; null where it does not. */
  function placeOf(position, side, { starts, length }) {
    const place = position - starts[side];
    return place >= 0 && place < length ? place : null;
  }

  /**
   * A query of both sides, key by key.
   * @param {number[]} sinks what a learned sink takes of the row of each side
   * @returns {{weights: Float32Array[], values: Float32Array, before: number[], sinks: number[]}} weights of both sides,
   *   those of the first less those of the second, what each has on keys before the aligned ones, and the sinks
   */
  function rowOf(codes, { starts }, query, sinks = [0, 0]) {
    const rows = codes.map((of, side) => alignedRow(of, starts[side], query));
    const [first, second] = rows.map(({ aligned }) => aligned);
    return {
      weights: [first, second],
      values: first.map((weight, key) => weight - second[key]),
      before: rows.map(({ before }) => before),
      sinks,
    };
  }

  /** A form as `shows` makes them: the weights of the first side less those of the second. */
  function formOf(codes, alignment) {
    const [first, second] = codes;
    const weights = codes.map(pattern.weightsOf);
    const { starts, length } = alignment;
    const values = new Float32Array(pattern.triangleSize(length));
    for (let query = 0, cell = 0; query < length; query++) {
      let [i, k] = starts.map((start) => pattern.triangleSize(start + query) + start);
      for (let key = 0; key <= query; key++) {
        values[cell++] = weights[0][first[i++]] - weights[1][second[k++]];
      }
    }
    const high = pattern.largest(values);
    const coded = Uint8Array.from(values, (value) => shows.signedCode(value, high));
    return { codes: coded, values: shows.signedValues(high), first: null, sink: null };
  }

  /** Share of weight that lies elsewhere: half of all differences; the keys before the aligned ones and the sink are one each. */
  function variationOf({ values, before, sinks }) {
    const apart = [before, sinks].reduce((sum, [first, second]) => sum + Math.abs(first - second), 0);
    return values.reduce((sum, value) => sum + Math.abs(value), apart) / 2;
  }

  /** Tokens of the aligned positions, as a page's content has them; where the sides differ, both. */
  function tokensOf(contents, { starts, length }) {
    return Array.from({ length }, (_, i) => {
      const [first, second] = contents.map(({ tokens }, side) => tokens[starts[side] + i]);
      return first[1] === second[1] ? first : [null, `${first[1]} | ${second[1]}`, 0];
    });
  }

  return { placeOf, rowOf, formOf, variationOf, tokensOf };
})();

if (typeof module !== "undefined") module.exports = reportgen.alignment;
