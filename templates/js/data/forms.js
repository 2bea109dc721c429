// Forms made of other forms: tokens summed into words, rows without the first key, many heads as one, a difference of two.
// A form is {codes, values, first, sink}, as evidence.js makes them. Those made here have 16 bits for a cell: what comes of
// 8 bits is not rounded to 8 bits again.
globalThis.reportgen ??= {};

reportgen.forms = (() => {
  "use strict";

  const { pattern } = reportgen;
  const ZERO = 32768;
  /** Rows that keep less than this without their first key are left blank: what is left is mostly rounding. */
  const LEAST_REST = 0.01;
  const tables = new Map();

  /** What 16-bit codes stand for: 0 for nothing, else the signed square of the distance from the middle, up to `high`. */
  function valuesUpTo(high) {
    if (!tables.has(high)) {
      if (tables.size >= 32) tables.delete(tables.keys().next().value);
      tables.set(
        high,
        Float32Array.from({ length: 2 * ZERO }, (_, code) =>
          code === 0 ? Number.NaN : Math.sign(code - ZERO) * ((code - ZERO) / (ZERO - 1)) ** 2 * high,
        ),
      );
    }
    return tables.get(high);
  }

  /** A triangle of values as a form; NaN is no value. Shares reach up to 1, others as far as the largest of them. */
  function encode(triangle, high = pattern.largest(triangle) || 1) {
    const codes = new Uint16Array(triangle.length);
    for (let cell = 0; cell < triangle.length; cell++) {
      const value = triangle[cell];
      if (Number.isNaN(value)) continue;
      codes[cell] = ZERO + Math.sign(value) * Math.round((ZERO - 1) * Math.sqrt(Math.min(1, Math.abs(value) / high)));
    }
    return { codes, values: valuesUpTo(high) };
  }

  /** The values of a form, cell by cell. */
  function decode({ codes, values }) {
    const triangle = new Float32Array(codes.length);
    for (let cell = 0; cell < codes.length; cell++) triangle[cell] = values[codes[cell]];
    return triangle;
  }

  /** The values of one row, NaN before the first key that its query sees. */
  function rowOf({ codes, values, first }, query) {
    const row = Float32Array.from(pattern.rowOf(codes, query), (code) => values[code]);
    return row.fill(Number.NaN, 0, first?.[query] ?? 0);
  }

  /**
   * A row without its first key, divided by what is left of it; where next to nothing is left, nothing is known.
   * @param {number | undefined} known what is left of the whole row, where the page has only part of it
   */
  function renormaliseRow(row, known) {
    let rest = known ?? 0;
    if (known === undefined)
      for (let keyPos = 1; keyPos < row.length; keyPos++) if (!Number.isNaN(row[keyPos])) rest += row[keyPos];
    return row.map((value, keyPos) => (keyPos === 0 || rest < LEAST_REST ? Number.NaN : value / rest));
  }

  /** A form in which every row is as `renormaliseRow` makes it; `rests` are what is known of each row. */
  function renormalise(form, n, rests) {
    const triangle = decode(form);
    for (let queryPos = 0; queryPos < n; queryPos++) {
      const row = pattern.rowOf(triangle, queryPos);
      triangle.set(renormaliseRow(row, rests?.[queryPos]), pattern.triangleSize(queryPos));
    }
    return { ...form, ...encode(triangle, 1) };
  }

  /**
   * Rows of tokens as the row of the word that they are: what each reads of a word is the sum over the word's tokens, and
   * the word reads the mean of that.
   * @param {Float32Array[]} rows those of the word's tokens, NaN where nothing is known
   * @param {object} words as `words.unitsOf` makes them
   */
  function sumRow(rows, words) {
    const last = words.of(Math.max(...rows.map((row) => row.length)) - 1);
    const [sums, known] = [new Float32Array(last + 1), new Uint8Array(last + 1)];
    let count = 0;
    for (const row of rows) {
      let any = false;
      for (let keyPos = 0; keyPos < row.length; keyPos++) {
        if (Number.isNaN(row[keyPos])) continue;
        any = true;
        sums[words.of(keyPos)] += row[keyPos];
        known[words.of(keyPos)] = 1;
      }
      if (any) count++;
    }
    return sums.map((sum, word) => (known[word] ? sum / count : Number.NaN));
  }

  /** A form of tokens as one of words; the first token alone is left out of its word. */
  function sumWords(form, words, signed, withFirst = true) {
    const triangle = decode(form);
    if (!withFirst)
      for (let cell = 0, queryPos = 0; cell < triangle.length; cell += ++queryPos) triangle[cell] = Number.NaN;
    const summed = new Float32Array(pattern.triangleSize(words.n));
    for (let word = 0; word < words.n; word++) {
      const rows = words.positions(word).map((queryPos) => pattern.rowOf(triangle, queryPos));
      summed.set(sumRow(rows, words), pattern.triangleSize(word));
    }
    const meanOf = (values, word) => {
      const own = values.subarray(words.first(word), words.last(word) + 1);
      return own.reduce((sum, value) => sum + value, 0) / own.length;
    };
    const each = (make) => Float32Array.from({ length: words.n }, (_, word) => make(word));
    return {
      ...encode(summed, signed ? undefined : 1),
      first: form.first && Uint32Array.from({ length: words.n }, (_, word) => words.of(form.first[words.first(word)])),
      sink: form.sink && each((word) => meanOf(form.sink, word)),
    };
  }

  const WAYS = {
    mean: (one, other) => one + other,
    max: (one, other) => (Math.abs(other) > Math.abs(one) ? other : one),
  };

  /** The first key that one of two forms sees, by query; null where one sees all. */
  const widest = (one, other) => one && other && one.map((keyPos, queryPos) => Math.min(keyPos, other[queryPos]));

  /**
   * Many heads as one: the mean of each cell, or its value farthest from 0, over those that know it.
   * @param {"mean" | "max"} way
   * @returns `add(form)` one after the other, then `result(signed)`
   */
  function gather(way) {
    let [gathered, counts, first] = [null, null, null];

    function add(form) {
      const values = decode(form);
      first = gathered ? widest(first, form.first) : form.first;
      gathered ??= new Float32Array(values.length).fill(Number.NaN);
      counts ??= new Uint16Array(values.length);
      for (let cell = 0; cell < values.length; cell++) {
        if (Number.isNaN(values[cell])) continue;
        gathered[cell] = counts[cell] ? WAYS[way](gathered[cell], values[cell]) : values[cell];
        counts[cell]++;
      }
    }

    function result(signed) {
      const triangle = way === "mean" ? gathered.map((value, cell) => value / counts[cell]) : gathered;
      return { ...encode(triangle, signed ? undefined : 1), first, sink: null };
    }

    return { add, result };
  }

  /** What one form has more than another, cell by cell; a cell that one of them does not know is known of neither. */
  function subtract(form, other) {
    const others = decode(other);
    const triangle = decode(form).map((value, cell) => value - others[cell]);
    return { ...encode(triangle), first: widest(form.first, other.first), sink: null };
  }

  /** The strongest key of each query, farthest from 0: null where a row knows none. */
  function strongestByRow({ codes, values, first }, n, withFirst) {
    return Array.from({ length: n }, (_, queryPos) => {
      const start = pattern.triangleSize(queryPos);
      let best = null;
      for (let keyPos = Math.max(withFirst ? 0 : 1, first?.[queryPos] ?? 0); keyPos <= queryPos; keyPos++) {
        const size = Math.abs(values[codes[start + keyPos]]);
        if (size > 0 && (best === null || size > best.size)) best = { keyPos, size };
      }
      return best ? best.keyPos : null;
    });
  }

  return {
    LEAST_REST,
    encode,
    decode,
    rowOf,
    renormaliseRow,
    renormalise,
    sumRow,
    sumWords,
    gather,
    subtract,
    strongestByRow,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.forms;
