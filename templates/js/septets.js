// Bytes as text, seven bits to a character: the mirror of reportgen/pages/septets.py, which says why.
globalThis.reportgen ??= {};

reportgen.septets = (() => {
  "use strict";

  /** What does not stand for itself, in the order in which Python numbers it. */
  const REPLACED = Uint8Array.of(0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 26, 27, 60, 127);
  const PAIRS = 0x100;
  const ALONE = 0x80;

  /**
   * @param {string} text
   * @returns {Uint8Array}
   */
  function decode(text) {
    // The first script of a page runs this over a third of a megabyte: over bytes, since that is soon compiled.
    const encoded = new TextEncoder().encode(text);
    const septets = new Uint8Array(encoded.length);
    let count = 0;
    for (let i = 0; i < encoded.length; i++) {
      const one = encoded[i];
      if (one < 0x80) septets[count++] = one;
      else {
        const character = ((one & 31) << 6) | (encoded[++i] & 63);
        septets[count++] = REPLACED[character < PAIRS ? character - ALONE : (character - PAIRS) >> 7];
        if (character >= PAIRS) septets[count++] = character & 127;
      }
    }
    return join(septets, count);
  }

  /** Put septets together, the highest bits first. */
  function join(septets, count) {
    const bytes = new Uint8Array(Math.floor((count * 7) / 8));
    for (let at = 0, i = 0; at < bytes.length; at++) {
      const shift = (at % 7) + 1;
      bytes[at] = (septets[i] << shift) | (septets[i + 1] >> (7 - shift));
      i += shift === 7 ? 2 : 1;
    }
    return bytes;
  }

  return { decode };
})();

if (typeof module !== "undefined") module.exports = reportgen.septets;
