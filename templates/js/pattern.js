// Lower triangles of codes: one byte for each query and key, row by row; a code is 255 times the square root of a weight.
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

  /** The largest code, the first key left out on demand. */
  function strongestCode(codes, n, withFirst) {
    let largest = 0;
    for (let queryPos = 0, cell = 0; queryPos < n; queryPos++) {
      for (let keyPos = 0; keyPos <= queryPos; keyPos++, cell++) {
        if (codes[cell] > largest && (withFirst || keyPos > 0)) largest = codes[cell];
      }
    }
    return largest;
  }

  /**
   * A pattern as a square image, rows downwards.
   * @param {Uint8Array} codes lower triangle of n positions
   * @param {Float32Array} display what to draw for each code
   * @param {number} side cells along a side; where it is below n, each cell is the strongest of those it stands for
   * @param {boolean} withFirst whether the first key is drawn
   * @returns {Float32Array} side × side; NaN where there is nothing to draw
   */
  function square(codes, n, display, side, withFirst) {
    const image = new Float32Array(side * side).fill(Number.NaN);
    const column = Uint32Array.from({ length: n }, (_, position) => cellOf(position, n, side));
    for (let queryPos = 0, cell = 0; queryPos < n; queryPos++) {
      const row = column[queryPos] * side;
      for (let keyPos = 0; keyPos <= queryPos; keyPos++, cell++) {
        if (keyPos === 0 && !withFirst) continue;
        const value = display[codes[cell]];
        const at = row + column[keyPos];
        if (!(image[at] >= value)) image[at] = value;
      }
    }
    return image;
  }

  /** Which of `side` cells a position falls into: the cell i covers floor(i n / side) up to floor((i + 1) n / side). */
  function cellOf(position, n, side) {
    return side >= n ? position : Math.floor(((position + 1) * side - 1) / n);
  }

  /** The keys with the largest codes, strongest first, equal ones in order of position. */
  function strongestKeys(row, count, withFirst) {
    const keys = Array.from(row, (code, keyPos) => ({ keyPos, code }));
    const shown = withFirst ? keys : keys.slice(1);
    return shown.sort((a, b) => b.code - a.code || a.keyPos - b.keyPos).slice(0, count);
  }

  return { triangleSize, headOf, rowOf, weightOf, strongestCode, square, cellOf, strongestKeys };
})();

if (typeof module !== "undefined") module.exports = reportgen.pattern;
