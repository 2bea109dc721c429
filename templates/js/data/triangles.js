// Codes of attention weights, put back where they were: the mirror of reportgen/pages/triangles.py, which says why.
globalThis.reportgen ??= {};

reportgen.triangles = (() => {
  "use strict";

  const GROUPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32, 48, 64, 96];
  const GROUP_OF = Uint8Array.from({ length: 256 }, (_, code) => GROUPS.findLastIndex((from) => code >= from));

  /**
   * @param {Uint8Array} packed counts of all groups, then codes, group by group
   * @param {number} n positions along a side of each triangle
   * @param {number} precision bits of a code; of 16 the lower ones stand behind the others as they are
   * @returns {Uint8Array | Uint16Array} lower triangles of codes, row by row, one head after the other
   */
  function unpack(packed, n, precision = 8) {
    const header = 4 * GROUPS.length;
    const counts = new DataView(packed.buffer, packed.byteOffset, header);
    const next = new Uint32Array(GROUPS.length);
    let end = header;
    for (let group = 0; group < GROUPS.length; group++) {
      next[group] = end;
      end += counts.getUint32(4 * group, true);
    }
    const codes = new Uint8Array(end - header);
    restore(codes, packed, next, n);
    return precision === 8 ? codes : Uint16Array.from(codes, (high, cell) => (high << 8) | packed[end + cell]);
  }

  /** Fill in codes, of which `next` says where the next one of each group stands. */
  function restore(codes, packed, next, n) {
    // Most codes are foretold as 0: those of the first group are counted here, which takes half as long.
    let zeros = next[0];
    for (let cell = 0; cell < codes.length; ) {
      for (let queryPos = 0; queryPos < n; queryPos++) {
        let left = 0;
        let corner = 0;
        for (const last = cell + queryPos; cell <= last; cell++) {
          const above = cell < last ? codes[cell - queryPos] : 0;
          const foretold = left === above ? left : foretell(left, above, corner);
          left = foretold === 0 ? packed[zeros++] : packed[next[GROUP_OF[foretold]]++];
          codes[cell] = left;
          corner = above;
        }
      }
    }
  }

  function foretell(left, above, corner) {
    const low = Math.min(left, above);
    const high = left + above - low;
    return Math.min(high, Math.max(low, left + above - corner));
  }

  return { unpack };
})();

if (typeof module !== "undefined") module.exports = reportgen.triangles;
