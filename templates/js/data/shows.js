// What a heatmap of a head can show: its weights, what its weights make of the values, or what it wrote from each key.
// A form is {codes, values}: a byte for each cell of a lower triangle, and what each of the 256 bytes stands for.
globalThis.reportgen ??= {};

reportgen.shows = (() => {
  "use strict";

  const { pattern } = reportgen;

  /** By the name of what is shown. */
  const KINDS = {
    weight: { label: "weight", unit: "weight", signed: false },
    weighted: { label: "weight × value", unit: "share", signed: false },
    attribution: { label: "effect", unit: "logits", signed: true },
  };

  /** What signed codes stand for: 0 for nothing, else 128 more than 127 times the signed root of the share of `high`. */
  function signedValues(high) {
    return Float32Array.from({ length: 256 }, (_, code) =>
      code === 0 ? Number.NaN : Math.sign(code - 128) * ((code - 128) / 127) ** 2 * high,
    );
  }

  function signedCode(value, high) {
    if (Number.isNaN(value)) return 0;
    return high ? 128 + Math.sign(value) * Math.round(127 * Math.sqrt(Math.abs(value) / high)) : 128;
  }

  /** Weights of one query, of which `row` are the codes. */
  function weightsOf(row) {
    const weights = pattern.weightsOf(row);
    const found = new Float32Array(row.length);
    for (let keyPos = 0; keyPos < row.length; keyPos++) found[keyPos] = weights[row[keyPos]];
    return found;
  }

  /**
   * Weighted attention of one query: share of the row of `weight × norm`. The scale of the norms cancels out.
   * @param {number | undefined} written the sum of the whole row, where the page has only part of it
   */
  function sharesOf(row, norms, written) {
    const lengths = weightsOf(row).map((weight, keyPos) => weight * norms[keyPos]);
    const whole = written ?? lengths.reduce((sum, length) => sum + length, 0);
    return whole ? lengths.map((length) => length / whole) : lengths;
  }

  /**
   * What a head wrote from each key.
   * @param {Int8Array} sources rows of effects one after the other
   * @param {number[]} scales of the rows
   * @param {{row: number, start: number, length: number}} place of a row, as `placesOf` lists them
   */
  function attributionOf(sources, scales, { row, start, length }) {
    return Float32Array.from(sources.subarray(start, start + length), (code) =>
      code === -128 ? Number.NaN : Math.sign(code) * (code / 127) ** 2 * scales[row],
    );
  }

  /** Where the rows of effects stand: of all steps, then of the foils, whose steps are `foilSteps`. */
  function placesOf(numSteps, foilSteps, numPromptTokens) {
    let start = 0;
    return [...Array(numSteps).keys(), ...foilSteps].map((step, row) => {
      const length = numPromptTokens + step;
      start += length;
      return { row, start: start - length, length };
    });
  }

  function formOfWeights(codes) {
    return { codes, values: pattern.weightsOf(codes) };
  }

  /** Weighted attention of every query, a triangle of shares; `written` as in `sharesOf`, by query. */
  function allSharesOf(codes, norms, n, written) {
    const shares = new Float32Array(codes.length);
    for (let queryPos = 0; queryPos < n; queryPos++) {
      const row = sharesOf(pattern.rowOf(codes, queryPos), norms, written?.[queryPos]);
      shares.set(row, pattern.triangleSize(queryPos));
    }
    return shares;
  }

  /** Rows of steps alone, at their `places`; at the others a head wrote towards no token that was chosen. */
  function formOfSources(sources, scales, n, places) {
    const rows = places.map((place) => attributionOf(sources, scales, place));
    const high = Math.max(0, ...rows.map(pattern.largest));
    const codes = new Uint8Array(pattern.triangleSize(n));
    for (const row of rows)
      codes.set(
        Array.from(row, (value) => signedCode(value, high)),
        pattern.triangleSize(row.length - 1),
      );
    return { codes, values: signedValues(high) };
  }

  /** Shares, coded as finely as the strongest that is seen allows. */
  function formOfTriangle(triangle, n, withFirst) {
    const seen = withFirst ? triangle : triangle.slice();
    if (!withFirst) for (let queryPos = 0; queryPos < n; queryPos++) seen[pattern.triangleSize(queryPos)] = 0;
    const high = pattern.largest(seen) || 1;
    const codes = Uint8Array.from(seen, (share) => Math.round(255 * Math.sqrt(share / high)));
    return { codes, values: pattern.WEIGHTS.map((share) => share * high) };
  }

  return {
    KINDS,
    signedValues,
    signedCode,
    weightsOf,
    sharesOf,
    attributionOf,
    placesOf,
    formOfWeights,
    allSharesOf,
    formOfSources,
    formOfTriangle,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.shows;
