// Lower triangles of codes: one for each query and key, row by row. What a code stands for is a table of 256 values, or of
// 65536, NaN where it stands for nothing; for weights it is their square root, 1 being the largest code.
globalThis.reportgen ??= {};

reportgen.pattern = (() => {
  "use strict";

  /** Cells of a lower triangle of n positions. */
  function triangleSize(n) {
    return (n * (n + 1)) / 2;
  }

  /** Codes of one head out of a layer's. */
  function headOf(layerCodes, headIndex, n) {
    const size = triangleSize(n);
    return layerCodes.subarray(headIndex * size, (headIndex + 1) * size);
  }

  /** Codes of one query: its keys 0 .. queryPos. */
  function rowOf(codes, queryPos) {
    const start = triangleSize(queryPos);
    return codes.subarray(start, start + queryPos + 1);
  }

  /** Weight of a code. */
  function weightOf(code) {
    return (code / 255) ** 2;
  }

  /** What the codes of weights stand for. */
  const WEIGHTS = Float32Array.from({ length: 256 }, (_, code) => weightOf(code));
  let fine = null;

  /** The same for codes of 16 bits too, by the array that holds the codes. */
  function weightsOf(codes) {
    if (codes instanceof Uint8Array) return WEIGHTS;
    fine ??= Float32Array.from({ length: 65536 }, (_, code) => (code / 65535) ** 2);
    return fine;
  }

  /** The largest absolute value; what is not a number is none. */
  function largest(values) {
    let most = 0;
    for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
    return most;
  }

  /** The largest absolute value in a pattern, the first key left out on demand; 0 where there is none. */
  function strongest({ codes, values }, n, withFirst) {
    const seen = new Uint8Array(values.length);
    for (let queryPos = 0, cell = 0; queryPos < n; queryPos++) {
      if (withFirst) seen[codes[cell]] = 1;
      cell++;
      for (let keyPos = 1; keyPos <= queryPos; keyPos++, cell++) seen[codes[cell]] = 1;
    }
    return largest(values.filter((_, code) => seen[code]));
  }

  /**
   * A part of a pattern as a square image, rows downwards.
   * @param {{codes: Uint8Array | Uint16Array, first: Uint32Array | null}} form lower triangle, and the first key that each
   *   query can see, null where that is 0 for all
   * @param {Float32Array} display what to draw for each code
   * @param {boolean} withFirst whether the first key is drawn
   * @param {number} from first position that is drawn, `to` the last
   * @param {number} side cells along a side; where there are more positions, each cell is that of those it stands for which
   *   is farthest from 0, with its sign
   * @returns {Float32Array} side × side; NaN where there is nothing to draw
   */
  function crop({ codes, first }, display, withFirst, from, to, side = to + 1 - from) {
    const image = new Float32Array(side * side).fill(Number.NaN);
    const n = to + 1 - from;
    const column = Uint32Array.from({ length: n }, (_, position) => cellOf(position, n, side));
    for (let queryPos = from; queryPos <= to; queryPos++) {
      const row = column[queryPos - from] * side;
      const start = triangleSize(queryPos);
      for (let keyPos = from; keyPos <= queryPos; keyPos++) {
        if ((keyPos === 0 && !withFirst) || keyPos < first?.[queryPos]) continue;
        const value = display[codes[start + keyPos]];
        const at = row + column[keyPos - from];
        if (!Number.isNaN(value) && !(Math.abs(image[at]) >= Math.abs(value))) image[at] = value;
      }
    }
    return image;
  }

  /** Codes of weights as a square of so many cells, row by row: each the strongest that it stands for, 0 above the diagonal. */
  function shrink(codes, n, side) {
    const cells = new codes.constructor(side * side);
    const column = Uint32Array.from({ length: n }, (_, position) => cellOf(position, n, side));
    for (let queryPos = 0, cell = 0; queryPos < n; queryPos++) {
      const row = column[queryPos] * side;
      for (let keyPos = 0; keyPos <= queryPos; keyPos++, cell++) {
        const at = row + column[keyPos];
        if (codes[cell] > cells[at]) cells[at] = codes[cell];
      }
    }
    return cells;
  }

  /** Squares of `side` cells `[layer, head, row, column]` beside one another, the last layer at the top; NaN above the diagonals. */
  function mosaic(codes, rows, columns, side, display) {
    const width = columns * side;
    const values = new Float32Array(rows * side * width).fill(Number.NaN);
    for (let tile = 0; tile < rows * columns; tile++) {
      const corner = (rows - 1 - Math.floor(tile / columns)) * side * width + (tile % columns) * side;
      for (let y = 0; y < side; y++)
        for (let x = 0; x <= y; x++) values[corner + y * width + x] = display[codes[(tile * side + y) * side + x]];
    }
    return values;
  }

  /** Which of `side` cells a position falls into: the cell i covers floor(i n / side) up to floor((i + 1) n / side). */
  function cellOf(position, n, side) {
    return side >= n ? position : Math.floor(((position + 1) * side - 1) / n);
  }

  /** The keys with the values farthest from 0, strongest first, equal ones in order of position; NaN is none. */
  function strongestKeys(row, count, withFirst) {
    const keys = Array.from(row, (value, keyPos) => ({ keyPos, value }));
    return keys
      .filter(({ keyPos, value }) => !Number.isNaN(value) && (withFirst || keyPos > 0))
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value) || a.keyPos - b.keyPos)
      .slice(0, count);
  }

  return {
    WEIGHTS,
    weightsOf,
    triangleSize,
    headOf,
    rowOf,
    weightOf,
    largest,
    strongest,
    crop,
    shrink,
    mosaic,
    cellOf,
    strongestKeys,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.pattern;
