// Bytes as text, seven bits to a character: the mirror of reportgen/pages/septets.py, which says why.
globalThis.reportgen ??= {};

reportgen.septets = (() => {
  "use strict";

  /** What does not stand for itself, in the order in which Python numbers it. */
  const REPLACED = Uint8Array.of(0, 7, 8, 9, 10, 11, 12, 13, 14, 15, 26, 27, 60, 127);
  const PAIRS = 0x100;
  const ALONE = 0x80;

  /** @param {string} text @returns {Uint8Array} */
  function decode(text) {
    let count = text.length;
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= PAIRS) count++;
    const bytes = new Uint8Array(Math.floor((count * 7) / 8));
    let [bits, held, at] = [0, 0, 0];
    const take = (septet) => {
      bits = ((bits & 127) << 7) | septet;
      held += 7;
      if (held < 8) return;
      held -= 8;
      bytes[at++] = bits >> held;
    };
    for (let i = 0; i < text.length; i++) {
      const character = text.charCodeAt(i);
      if (character < ALONE) take(character);
      else if (character < PAIRS) take(REPLACED[character - ALONE]);
      else {
        take(REPLACED[(character - PAIRS) >> 7]);
        take(character & 127);
      }
    }
    return bytes;
  }

  return { decode };
})();

if (typeof module !== "undefined") module.exports = reportgen.septets;
