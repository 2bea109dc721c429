// Blocks to bytes, text and values: the mirror of reportgen/pages/encoding.py.
globalThis.reportgen = globalThis.reportgen || {};

reportgen.payload = (() => {
  "use strict";

  /** Bytes in base64; browsers before 2025 have no function of their own for them. */
  function decodeBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }

  /** @param {string} block zlib in base64 @returns {Promise<Uint8Array>} */
  async function decodeBytes(block) {
    // Written by hand: a blob's stream would take its way through other processes, and the page waits for this.
    const { writable, readable } = new DecompressionStream("deflate");
    const writer = writable.getWriter();
    const written = [writer.write(decodeBase64(block)), writer.close()];
    const [inflated] = await Promise.all([new Response(readable).arrayBuffer(), ...written]);
    return new Uint8Array(inflated);
  }

  /** @param {string} block @returns {Promise<string>} */
  async function decodeText(block) {
    return new TextDecoder().decode(await decodeBytes(block));
  }

  /** @param {string} block @returns {Promise<any>} */
  async function decodeJson(block) {
    return JSON.parse(await decodeText(block));
  }

  return { decodeBytes, decodeText, decodeJson };
})();

if (typeof module !== "undefined") module.exports = reportgen.payload;
